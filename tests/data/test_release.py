"""Release archives: what is written comes back, a damaged or hostile one costs a sentence and writes nothing."""

import contextlib
import functools
import http.server
import json
import threading
import zipfile

import pytest

from data import release


@pytest.fixture
def archive(tmp_path):
    """A release of two files."""
    (tmp_path / "net.bin").write_bytes(bytes(range(256)))
    with release.writing(tmp_path / "release.zip", {"cells": ["a"]}) as add:
        add("a/net.bin", tmp_path / "net.bin")
        add("a/row.json", b"{}")
    return tmp_path / "release.zip"


def rewritten(path, change):
    """The release with its members (name -> bytes) changed by a function, as a new zip."""
    with zipfile.ZipFile(path) as old:
        members = {name: old.read(name) for name in old.namelist()}
    change(members)
    with zipfile.ZipFile(path, "w") as new:
        for name, content in members.items():
            new.writestr(name, content)


def test_files_and_facts_come_back(archive, tmp_path):
    with release.reading(archive) as opened:
        assert opened.facts == {"cells": ["a"]} and opened.names == ["a/net.bin", "a/row.json"]
        assert opened.extract("a/net.bin", tmp_path / "").read_bytes() == bytes(range(256))
        with pytest.raises(ValueError, match="holds no b"):
            opened.content("b")


def test_an_error_of_the_reader_is_no_damage(archive):
    with pytest.raises(KeyError, match="mine"), release.reading(archive):
        raise KeyError("mine")


def test_the_same_files_give_the_same_archive(archive, tmp_path):
    with release.writing(tmp_path / "again.zip", {"cells": ["a"]}) as add:
        add("a/net.bin", bytes(range(256)))
        add("a/row.json", b"{}")
    assert (tmp_path / "again.zip").read_bytes() == archive.read_bytes()


def test_a_release_appears_whole_or_not_at_all(tmp_path):
    with pytest.raises(RuntimeError, match="killed"), release.writing(tmp_path / "release.zip", {}) as add:
        add("a", b"1")
        raise RuntimeError("killed")
    assert not (tmp_path / "release.zip").exists()
    with pytest.raises(ValueError, match="a is given twice"), release.writing(tmp_path / "release.zip", {}) as add:
        add("a", b"1")
        add("a", b"2")


def manifest(**changes):
    return lambda members: members.update(
        {release.MANIFEST: json.dumps({**json.loads(members[release.MANIFEST]), **changes}).encode()}
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda members: members.update({"a/net.bin": b"other"}), "a/net.bin is not as its manifest says"),
        (lambda members: members.pop("a/row.json"), "holds 1 files"),
        (lambda members: members.update({"../../evil": b""}), "holds 3 files"),
        (lambda members: members.pop(release.MANIFEST), "not a whole release"),
        (lambda members: members.update({release.MANIFEST: b"[1"}), "not a whole release"),
        (lambda members: members.update({release.MANIFEST: b"[" * 100_000}), "not a whole release"),
        (manifest(kind="else"), "is not that of a release"),
        (manifest(files=["a"]), "lists no files"),
        (manifest(files={"a/net.bin": 1}), "lists no files"),
        (manifest(facts=None), "lists no files"),
        (lambda members: members.update({"zeros": bytes(1 << 27)}), "announces"),
    ],
)  # fmt: skip
def test_a_changed_release_is_named(archive, change, message):
    rewritten(archive, change)
    if message == "announces":  # a bomb: 128 MiB in a few kilobytes
        with zipfile.ZipFile(archive) as old:
            members = {name: old.read(name) for name in old.namelist()}
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as new:
            for name, content in members.items():
                new.writestr(name, content)
    with pytest.raises(ValueError) as error, release.reading(archive) as opened:
        opened.content("a/net.bin")
    assert message in str(error.value) and str(archive) in str(error.value)


@pytest.mark.parametrize("content", [b"", b"no zip", b"PK\x03\x04cut"])
def test_what_is_no_zip_is_named(tmp_path, content):
    (tmp_path / "release.zip").write_bytes(content)
    with pytest.raises(ValueError, match="not a whole release"), release.reading(tmp_path / "release.zip"):
        pass
    with pytest.raises(FileNotFoundError, match=r"scripts/pack\.py writes one"), release.reading(tmp_path / "none.zip"):
        pass


@contextlib.contextmanager
def serving(folder):
    """The address of a local server of a folder, and the paths that it was asked for."""
    requests = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            requests.append(self.path)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", requests
        server.shutdown()


def test_an_address_is_fetched_once(archive, tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "home"))
    with serving(tmp_path) as (address, requests):
        for _ in range(2):
            with release.reading(f"{address}/release.zip") as opened:
                assert opened.content("a/row.json") == b"{}"
        assert requests == ["/release.zip"]
        with pytest.raises(FileNotFoundError, match="cannot be downloaded"), release.reading(f"{address}/none.zip"):
            pass
