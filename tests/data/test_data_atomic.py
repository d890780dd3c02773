"""Only a regular file is replaced, JSON is bounded, and every error of a reader is one sentence."""

import json
import os
import socket

import pytest

import data
from data import damage, files


def place(kind, path):
    """Something that is no regular file under the name `path`."""
    if kind == "socket":
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
    {
        "folder": os.mkdir, "pipe": os.mkfifo, "link": lambda path: os.symlink("target", path), "socket": lambda _: None
    }[kind](path)  # fmt: skip


@pytest.mark.parametrize("kind", ["folder", "pipe", "link", "socket"])
def test_only_a_regular_file_is_replaced(kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "target").write_text("old")
    place(kind, "out.json")
    before = os.lstat("out.json")
    with pytest.raises(ValueError, match=f"out.json: is a {kind}, expected a regular file or nothing of that name"):
        files.write_json("out.json", 1)
    assert os.lstat("out.json") == before and (tmp_path / "target").read_text() == "old"
    assert sorted(os.listdir()) == ["out.json", "target"]


@pytest.mark.parametrize(("path", "kind"), [("/dev/null", "device"), ("/dev/stdout", "link"), (".", "folder")])
def test_devices_stay_what_they_are(path, kind):
    with pytest.raises(ValueError, match=f"is a {kind}"):
        files.write_text(path, "x")


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_the_umask_decides_who_may_read(mask, mode, tmp_path):
    before = os.umask(mask)
    try:
        files.write_text(tmp_path / "a", "x")
    finally:
        os.umask(before)
    assert (tmp_path / "a").stat().st_mode & 0o777 == mode


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 100_000 + "]" * 100_000, "nested too deeply"),
        ("1" * 10**6, "limit"),
        ("[NaN]", "holds NaN, expected a finite number or null"),
        ("[-Infinity]", "holds -Infinity"),
        ('"\\ud800', "Invalid"),
        ("", "Expecting value"),
    ],
)
def test_json(text, message, tmp_path):
    (tmp_path / "a.json").write_text(text)
    for read in (files.read_json, files.read_sealed):
        with pytest.raises(ValueError, match=f"a.json: damaged .*{message}"):
            read(tmp_path / "a.json")
    (tmp_path / "a.json").write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match=r"a.json: damaged .*utf-8"):
        files.read_json(tmp_path / "a.json")


def test_a_user_without_a_home():
    for name in ("folder:~nosuchuser/x", "cifar10"):
        with pytest.raises(ValueError, match="~nosuchuser.*: there is no such user's home"):
            data.load(name, "~nosuchuser")


@pytest.mark.parametrize(
    "error", [MemoryError(), RecursionError("x"), KeyError("x"), UnicodeDecodeError("utf-8", b"", 0, 1, "")]
)
def test_every_error_is_one_sentence(error):
    with pytest.raises(ValueError, match=r"^a: damaged \(.+\): delete it and make it again$"), damage.named("a"):
        raise error


def test_errors_of_the_system_and_sentences_stay(tmp_path):
    with pytest.raises(FileNotFoundError, match="absent"), damage.named(tmp_path / "absent"):
        open(tmp_path / "absent")
    with pytest.raises(ValueError, match="^a: said$"), damage.named("a"):
        raise ValueError("a: said")
    assert json.dumps(damage.reason(ValueError("x" * 10**6))).count("x") == damage.LONGEST
