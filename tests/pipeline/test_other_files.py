"""Files of a stage that were lost, added or changed from outside, and invalid records."""

import shutil

import pytest

from data import files, ledger
from pipeline import run_directory


def test_a_finished_stage_that_lost_a_file_is_neither_skipped_nor_read(stages, arguments):
    folder = stages.whole("train", arguments())
    (folder / "out.txt").unlink()
    for stage, inputs in (("train", ()), ("slice", ["train"])):
        with pytest.raises(ValueError, match=r"out\.txt: is gone: put it back, or delete .*train and make it again"):
            run_directory.begin(stage, arguments(), inputs)


def test_a_file_that_a_finished_stage_did_not_write_is_named(stages, arguments):
    folder = stages.whole("train", arguments())
    (folder / "out-2.txt").write_text("made")
    (folder / ".hidden").write_text("a file manager's")
    for stage, inputs in (("train", ()), ("slice", ["train"])):
        with pytest.raises(ValueError, match=r"out-2\.txt: was not written by the run: move it elsewhere"):
            run_directory.begin(stage, arguments(), inputs)


def test_what_mining_removed_from_a_finished_stage_is_not_lost(stages, arguments):
    folder = stages.whole("train", arguments())
    with ledger.kept(folder):
        files.remove(folder / "out.txt")
    assert run_directory.begin("train", arguments()) is None
    run_directory.begin("slice", arguments(), ["train"])


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda folder: (folder / "half.txt").write_text("hale"), r"half\.txt: is not the file that the stage wrote"),
        (lambda folder: (folder / "more.txt").write_text("x"), r"more\.txt: was not written by this stage: move it"),
        (lambda folder: (folder / ledger.NAME).unlink(), r"half\.txt: was not written by this stage"),
        (lambda folder: (folder / "other.txt").unlink(), r"other\.txt: is gone: put it back, or pass --overwrite"),
        (lambda folder: (folder / "started.json").unlink(), r"half\.txt: is not .*|half\.txt: was not written"),
    ],
)
def test_an_unfinished_stage_with_other_files_is_refused_and_can_be_overwritten(stages, arguments, spoil, words):
    folder = stages.killed("train", arguments(), names=("half.txt", "other.txt"))
    if words.endswith("written"):
        (folder / ledger.NAME).unlink()
    spoil(folder)
    before = stages.listing(folder)
    for _ in range(2):
        with pytest.raises(ValueError, match=words):
            run_directory.begin("train", arguments())
        assert stages.listing(folder) == before
    run_directory.finish(run_directory.begin("train", arguments(overwrite=True)))
    assert stages.listing(folder) == ["run.json"] and stages.listing(folder.parent) == ["train", "train/run.json"]


def test_a_file_that_a_killed_process_was_about_to_write_is_made_again(arguments):
    stage = run_directory.begin("train", arguments())
    for name in ("a.txt", "b.txt"):
        files.write_text(stage.folder / name, name)
    run_directory.abandon()
    (stage.folder / "a.txt").unlink()
    lines = (stage.folder / ledger.NAME).read_text()
    (stage.folder / ledger.NAME).write_text(lines.replace("named  a.txt\n", ""))
    run_directory.finish(run_directory.begin("train", arguments()))
    assert [*run_directory.record(stage.folder)["outputs"]] == ["b.txt"]


def test_a_file_that_is_lost_while_its_stage_works_is_named_at_the_end(arguments):
    stage = run_directory.begin("train", arguments())
    for name in ("a.txt", "b.txt", "c.txt"):
        files.write_text(stage.folder / name, name)
    files.remove(stage.folder / "a.txt")
    (stage.folder / "b.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"b\.txt: was lost while its stage was at work"):
        run_directory.finish(stage)
    assert not (stage.folder / "run.json").exists()


def test_a_run_directory_that_is_deleted_while_its_stage_works_is_named(arguments, tmp_path):
    stage = run_directory.begin("train", arguments())
    files.write_text(stage.folder / "a.txt", "made")
    shutil.rmtree(tmp_path / "runs")
    with pytest.raises(FileNotFoundError, match="was deleted"):
        run_directory.finish(stage)


@pytest.mark.parametrize(
    "change",
    [
        {"outputs": None},
        {"outputs": {"out.txt": 3}},
        {"inputs": {"train": None}},
        {"inputs": []},
        {"processes": [3]},
        {"processes": {}},
        {"wall_s": "3"},
        {"command": None},
        {"arguments": 3},
    ],
)
def test_a_record_with_other_types_is_named(stages, arguments, change):
    folder = stages.whole("train", arguments())
    files.write_sealed(folder / "run.json", {**files.read_sealed(folder / "run.json"), **change})
    with pytest.raises(ValueError, match=r"run\.json: damaged, or not the record of a run"):
        run_directory.begin("slice", arguments(), ["train"])
