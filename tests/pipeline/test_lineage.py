"""The provenance of a stage and its row: all its processes, all stages that it was made from, and its state."""

import json
import shutil

import pytest

from data import files
from pipeline import lineage, provenance, records, run_directory


def whole(stage, arguments, content="made", inputs=()):
    """One stage from begin to finish, which writes one file."""
    opened_stage = run_directory.begin(stage, arguments, inputs)
    files.write_text(opened_stage.folder / "out.txt", content)
    run_directory.finish(opened_stage)
    return opened_stage.folder


def killed(stage, arguments):
    """A stage that wrote something and never finished."""
    opened_stage = run_directory.begin(stage, arguments)
    files.write_text(opened_stage.folder / "half.txt", "half")
    run_directory.abandon()
    return opened_stage.folder


def test_every_process_of_a_stage_is_recorded_and_a_change_of_code_or_kernels_is_said(arguments, monkeypatch, capsys):
    same = {"commit": "a", "dirty": False, "versions": {}, "device": "CPU, 2 cores", "cores": 2, "kernels": {}}
    edited, moved = same | {"dirty": True}, same | {"device": "CPU, 1 cores", "cores": 1, "kernels": {"X": "0"}}
    for facts in (edited, same, moved):
        monkeypatch.setattr(provenance, "facts", lambda facts=facts: {"command": "python train.py", **facts})
        folder = killed("train", arguments())
    processes = json.loads((folder / "started.json").read_text())["processes"]
    assert [process["dirty"] for process in processes] == [True, False, 0]
    assert "by code or on a machine that differs (dirty, device, cores, kernels)" in capsys.readouterr().out
    run_directory.finish(run_directory.begin("train", arguments()))
    record = run_directory.record(folder)
    assert len(record["processes"]) == 4 and record["dirty"] is True and record["device"] == "CPU, 1 cores"
    assert record["continued"] == {
        "dirty": [True, False, False, False],
        "device": ["CPU, 2 cores", "CPU, 2 cores", "CPU, 1 cores", "CPU, 1 cores"],
        "cores": [2, 2, 1, 1],
        "kernels": [{}, {}, {"X": "0"}, {"X": "0"}],
    }


def test_a_stage_continued_alike_says_nothing_and_one_of_an_earlier_version_that_it_is_not_known(arguments, capsys):
    folder = killed("train", arguments())
    run_directory.finish(run_directory.begin("train", arguments()))
    assert "continued" not in run_directory.record(folder) and len(run_directory.record(folder)["processes"]) == 2
    assert "differs" not in capsys.readouterr().out
    folder = killed("slice", arguments())
    started = files.read_sealed(folder / "started.json")
    files.write_sealed(folder / "started.json", {name: value for name, value in started.items() if name != "processes"})
    run_directory.finish(run_directory.begin("slice", arguments()))
    assert run_directory.record(folder)["continued"]["commit"] == [None, provenance.AT_START["commit"]]


def changed(folder, **facts):
    """Rewrite a finished stage's run.json."""
    files.write_sealed(folder / "run.json", files.read_sealed(folder / "run.json") | facts)


def test_a_row_has_the_provenance_of_every_ancestor_of_every_study_and_seed(arguments):
    other = arguments(seed=4)
    changed(
        whole("train", other), command="python 1_train.py --seed 4 --runs /here", commit="old", dirty=True, wall_s=7
    )
    changed(whole("train", arguments()), command="python 1_train.py --data-dir=/there", commit="a", dirty=False)
    changed(whole("tune", arguments(), inputs=["train", "../seed4/train"]), device="a GPU", dirty=False)
    further = arguments(study="classwise")
    stage = run_directory.begin("attack-x", further, ["dare/tune"])
    of_row = lineage.of(stage)
    names = ["dare/train", "dare/seed4/train", "dare/tune"]
    assert list(of_row["commands"]) == names and list(of_row["wall_s"]) == [*names, "attack-x"]
    assert of_row["commands"]["dare/seed4/train"] == "python 1_train.py --seed 4"
    assert of_row["commands"]["dare/train"] == "python 1_train.py"
    own = provenance.AT_START["commit"]
    assert of_row["commits"] == dict(zip([*names, "attack-x"], ["a", "old", own, own], strict=True))
    assert of_row["dirty"] is True and of_row["wall_s"]["dare/seed4/train"] == 7 and of_row["continued"] == {}
    assert of_row["devices"]["dare/tune"] == "a GPU" and of_row["devices"]["attack-x"] == of_row["device"]
    assert {"versions", "cores", "kernels", "floatx", "image_data_format", "commit", "command"} <= set(of_row)
    changed(run_directory.folder(other, "train"), dirty=False, resumed=True)
    changed(run_directory.folder(arguments(), "train"), continued={"cores": [1, 2]})
    changed(run_directory.folder(arguments(), "tune"), dirty=False, device=of_row["device"])
    of_row = lineage.of(stage)
    assert of_row["continued"] == {"dare/train": {"cores": [1, 2]}, "dare/seed4/train": None}, "None: not recorded"
    run_directory.finish(stage)
    assert set(run_directory.record(stage.folder)["inputs"]) == {"dare/tune"}
    whole("train", arguments(overwrite=True), "another")
    with pytest.raises(ValueError, match="dare/.*tune: made from another train than there is now: make tune again"):
        run_directory.begin("attack-x", further, ["dare/tune"])


def test_what_was_made_from_a_replaced_stage_is_not_reported(arguments):
    whole("train", arguments())
    whole("slice", arguments(), inputs=["train"])
    tested = whole("test", arguments(), inputs=["slice"])
    records.check_unmixed(tested)
    whole("slice", arguments(overwrite=True), "another", inputs=["train"])
    with pytest.raises(ValueError, match="test: made from another slice than there is now: make test again"):
        records.check_unmixed(tested)
    tested = whole("test", arguments(overwrite=True), inputs=["slice"])
    train = whole("train", arguments(overwrite=True), "another")
    with pytest.raises(ValueError, match="slice: made from another train than there is now: make slice again"):
        records.check_unmixed(tested)
    shutil.rmtree(train)
    records.check_unmixed(tested)  # gone, not replaced
    changed(tested, inputs={"test": records.result(tested)})
    records.check_unmixed(tested)  # a circle ends


def test_records_that_name_each_other_and_entries_of_the_wrong_type_are_refused(arguments):
    folder = whole("train", arguments())
    changed(folder, inputs={"train": "0"})
    with pytest.raises(ValueError, match="made from itself"):
        run_directory.begin("slice", arguments(), ["train"])
    for name in ("outputs", "inputs", "arguments", "uses"):
        changed(whole("train", arguments(overwrite=True)), **{name: None})
        with pytest.raises(ValueError, match="train/run.json: damaged"):
            run_directory.begin("slice", arguments(), ["train"])
        (folder / "run.json").unlink()


def test_a_stage_is_new_running_begun_or_done(arguments):
    path = run_directory.folder(arguments(), "train")
    assert records.state(path) == "new"
    stage = run_directory.begin("train", arguments())
    assert records.state(path) == "running"
    files.write_text(path / "half.txt", "half")
    run_directory.abandon()
    assert records.state(path) == "begun"
    run_directory.finish(run_directory.begin("train", arguments()))
    assert stage.folder == path and records.state(path) == "done"
