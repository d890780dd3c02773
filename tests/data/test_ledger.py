"""Ledgers: the lines for the files of a folder, and files that differ from those written."""

import hashlib
import os
import shutil

import pytest

from data import files, ledger


@pytest.fixture
def folder(tmp_path):
    """A folder with an open ledger."""
    path = tmp_path / "stage"
    path.mkdir()
    with ledger.kept(path):
        yield path


def sha(text):
    return hashlib.sha256(text.encode()).hexdigest()


def test_a_line_for_every_file_as_sha256sum_prints_it(folder):
    files.write_text(folder / "a.txt", "one")
    files.write_json(folder / "deep" / "b.json", {})
    files.write_text(folder / ".hidden", "not noted")
    files.write_text(folder.parent / "elsewhere.txt", "not noted")
    lines = (folder / ledger.NAME).read_text().splitlines()
    digest = files.digest(folder / "deep" / "b.json")
    assert lines == [f"{sha('one')}  a.txt", "named  a.txt", f"{digest}  deep/b.json", "named  deep/b.json"]


def test_the_last_two_contents_count_and_what_was_removed_or_changes_has_none(folder):
    for text in ("one", "two", "three"):
        files.write_text(folder / "a.txt", text)
    files.write_text(folder / "b.txt", "b")
    files.remove(folder / "b.txt")
    ledger.changing(folder / "c.bin")
    assert ledger.read(folder) == {
        "a.txt": (ledger.NAMED, (sha("two"), sha("three"))),
        "b.txt": (ledger.REMOVED, ()),
        "c.bin": (ledger.CHANGING, ()),
    }


def test_a_line_that_was_cut_does_not_count(folder):
    files.write_text(folder / "a.txt", "one")
    with open(folder / ledger.NAME, "a") as file:
        file.write(sha("two")[:40])
    assert ledger.read(folder) == {"a.txt": (ledger.NAMED, (sha("one"),))}


def test_a_process_that_is_killed_before_a_file_has_its_name_leaves_either_content(folder, monkeypatch):
    files.write_text(folder / "a.txt", "one")
    monkeypatch.setattr(os, "replace", lambda *names: (_ for _ in ()).throw(OSError("killed")))
    with pytest.raises(OSError, match="killed"):
        files.write_text(folder / "a.txt", "two")
    assert ledger.read(folder) == {"a.txt": (sha("two"), (sha("one"), sha("two")))}


def test_a_folder_without_a_ledger_has_no_lines(tmp_path):
    assert ledger.read(tmp_path) == {}


def test_a_folder_is_removed_file_by_file(folder):
    files.write_text(folder / "deep" / "er" / "a.txt", "one")
    files.remove(folder / "deep")
    assert ledger.read(folder) == {"deep/er/a.txt": (ledger.REMOVED, ())} and not (folder / "deep").exists()


@pytest.mark.parametrize("again", [False, True])
def test_a_file_is_compared_with_what_is_expected_of_it(tmp_path, again):
    path = tmp_path / "a.txt"
    path.write_text("one")
    assert ledger.check(path) is False, "nothing is known of it"
    ledger.expect(tmp_path, {"a.txt": sha("one")})
    if again:
        assert ledger.check(path) and ledger.check(path)
    path.write_text("two!")
    with pytest.raises(ValueError, match=r"a\.txt: is not the file that was written there: put it back, or delete"):
        ledger.check(path)
    path.write_text("one")
    assert ledger.check(path)


def test_an_artefact_with_its_own_checksum_is_still_compared(tmp_path):
    for name in ("fgsm", "pgd"):
        files.save_artefact(tmp_path / f"{name}.h5", "kind", {"x": [len(name)]})
    ledger.expect(tmp_path, {"fgsm.h5": files.digest(tmp_path / "fgsm.h5")})
    files.load_artefact(tmp_path / "fgsm.h5", "kind")
    shutil.copy(tmp_path / "pgd.h5", tmp_path / "fgsm.h5")
    with pytest.raises(ValueError, match="is not the file that was written there"):
        files.load_artefact(tmp_path / "fgsm.h5", "kind")


@pytest.mark.parametrize("also", [False, True])
def test_a_folder_that_was_deleted_meanwhile_is_named(folder, also):
    shutil.rmtree(folder)
    if also:
        folder.mkdir()
    with pytest.raises(FileNotFoundError, match="was deleted or replaced while its stage was at work"):
        files.write_text(folder / "a.txt", "one")
    assert not (folder / "a.txt").exists()
    folder.mkdir(exist_ok=True)


def test_a_link_is_noted_like_a_copy(folder, monkeypatch):
    files.write_text(folder.parent / "source.h5", "weights")
    files.link(folder.parent / "source.h5", folder / "linked.h5")
    monkeypatch.setattr(os, "link", lambda *names: (_ for _ in ()).throw(OSError("no links here")))
    files.link(folder.parent / "source.h5", folder / "copied.h5")
    assert (folder / "linked.h5").read_text() == (folder / "copied.h5").read_text() == "weights"
    assert {entry for entry in ledger.read(folder).values()} == {(ledger.NAMED, (sha("weights"),))}
