"""--overwrite: the former stage stays until the new one is finished."""

import os

import pytest

from data import files, ledger
from pipeline import run_directory


@pytest.mark.parametrize("state", ["whole", "killed"])
def test_overwrite_begins_anew(stages, arguments, state):
    folder = getattr(stages, state)("train", arguments())
    stage = run_directory.begin("train", arguments(epochs=5, overwrite=True))
    assert stages.listing(folder) == [".written", "started.json"] and not stage.resumed
    run_directory.finish(stage)
    assert run_directory.record(folder)["arguments"]["epochs"] == 5


def test_what_fails_before_it_writes_replaces_nothing(stages, arguments, tmp_path):
    folder = stages.whole("train", arguments())
    before = stages.listing(tmp_path), (folder / "run.json").read_bytes()
    run_directory.begin("train", arguments(epochs=5, overwrite=True))
    run_directory.abandon()
    assert (stages.listing(tmp_path), (folder / "run.json").read_bytes()) == before
    assert run_directory.begin("train", arguments()) is None


def vanish(stage):
    """As kill -9: no clearing up, the lock is gone."""
    os.close(stage.lock)
    run_directory._unfinished.remove(stage)
    ledger.close(stage.folder)


def test_a_replacement_that_was_killed_before_it_wrote_is_none(stages, arguments, tmp_path):
    stages.whole("train", arguments())
    before = stages.listing(tmp_path)
    vanish(run_directory.begin("train", arguments(epochs=5, overwrite=True)))
    assert run_directory.begin("train", arguments()) is None
    assert stages.listing(tmp_path) == before


def test_a_kill_within_the_first_write_leaves_the_former_stage(stages, arguments, tmp_path):
    stages.whole("train", arguments())
    before = stages.listing(tmp_path)
    for end in (lambda stage: run_directory.abandon(), vanish):
        stage = run_directory.begin("train", arguments(epochs=5, overwrite=True))
        (stage.folder / "history").mkdir()
        (stage.folder / ".writing-abc-out.txt").write_text("ha")
        end(stage)
        assert run_directory.begin("train", arguments()) is None
        assert stages.listing(tmp_path) == before


def test_a_new_stage_that_fails_leaves_no_trace_with_overwrite_too(arguments, tmp_path):
    run_directory.begin("train", arguments(overwrite=True))
    run_directory.abandon()
    assert not list(tmp_path.iterdir())


def test_where_the_record_cannot_be_written_the_former_stage_stays(stages, arguments, tmp_path, monkeypatch):
    stages.whole("train", arguments())
    before = stages.listing(tmp_path)

    def full(*_):
        raise OSError("no space left")

    monkeypatch.setattr(files, "write_sealed", full)
    with pytest.raises(OSError, match="no space left"):
        run_directory.begin("train", arguments(epochs=5, overwrite=True))
    assert stages.listing(tmp_path) == before


def test_a_replacement_that_was_killed_later_is_continued(stages, arguments, tmp_path):
    folder = stages.whole("train", arguments())
    before = stages.listing(tmp_path)
    for content in ("half", "anew"):  # the second begins anew in place of the first
        stage = run_directory.begin("train", arguments(epochs=5, overwrite=True))
        assert stages.listing(folder) == [".written", "started.json"]
        files.write_text(folder / "out.txt", content)
        vanish(stage)
    stage = run_directory.begin("train", arguments(epochs=5))
    assert stage.resumed and (folder / "out.txt").read_text() == "anew"
    run_directory.finish(stage)
    assert stages.listing(tmp_path) == before, "nothing of the former stage is left"
    assert run_directory.record(folder)["arguments"]["epochs"] == 5


def test_a_replacement_that_is_at_work_stays(stages, arguments):
    stages.whole("train", arguments())
    stage = run_directory.begin("train", arguments(epochs=5, overwrite=True))
    with pytest.raises(ValueError, match="another process is at work"):
        run_directory.begin("train", arguments())
    files.write_text(stage.folder / "out.txt", "new")
    run_directory.finish(stage)
    assert (stage.folder / "out.txt").read_text() == "new"
