"""Run directories: their paths, their records, and when a stage is skipped, refused, continued or deleted."""

import json
import os
import types

import pytest

from data import files
from pipeline import run_directory


@pytest.mark.parametrize(
    ("dataset", "name"),
    [
        ("digits", "digits-alexnet"),
        ("folder:/data/my cats", "folder-my cats-alexnet"),
        ("folder:/data/cats/@28x28", "folder-cats@28x28-alexnet"),
    ],
)
def test_a_stage_lies_in_its_cell(arguments, tmp_path, dataset, name):
    path = run_directory.folder(arguments(dataset=dataset), "train")
    assert path == tmp_path / "runs" / "dare" / name / "seed3" / "train"


def test_a_folder_of_images_is_known_by_its_content(stages, arguments, tmp_path, monkeypatch, capsys):
    for name in ("a/cats/x/0.png", "a/cats/y/0.png", "b/cats/x/0.png", "b/cats/y/0.png"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_bytes(b"an image" if name.startswith("a") else b"another")
    monkeypatch.chdir(tmp_path)
    stages.whole("train", arguments(dataset="folder:a/cats"))
    whole = run_directory.record(run_directory.folder(arguments(dataset="folder:a/cats"), "train"))
    assert whole["arguments"]["dataset"] == "folder:a/cats", "so that other scripts can read the images again"
    for same in ("folder:./a/cats/", f"folder:{tmp_path}/a/cats"):
        assert run_directory.begin("train", arguments(dataset=same)) is None
    assert "done before" in capsys.readouterr().out
    with pytest.raises(ValueError, match="holds a run with another folder of images"):
        run_directory.begin("train", arguments(dataset="folder:b/cats"))
    assert run_directory.begin("train", arguments(dataset="folder:a/cats@8x8")) is not None
    run_directory.abandon()
    (tmp_path / "a/cats/x/1.png").write_bytes(b"one more")
    with pytest.raises(ValueError, match="holds a run with another folder of images"):
        run_directory.begin("train", arguments(dataset="folder:a/cats"))
    with pytest.raises(FileNotFoundError, match="nowhere: no such folder"):
        run_directory.begin("train", arguments(dataset="folder:nowhere"))


def test_seconds_of_killed_sessions_are_counted_up_to_the_last_file_that_they_wrote(stages, arguments):
    folder = stages.killed("train", arguments())
    for worked, before in ((100, 0), (50, 100)):
        started = json.loads((folder / "started.json").read_text())
        assert started["spent_s"] == pytest.approx(before, abs=2)
        os.utime(folder / "half.txt", (started["session_began"] + worked,) * 2)
        stage = run_directory.begin("train", arguments())
        assert stage.spent == pytest.approx(before + worked, abs=2)
        os.utime(folder / "half.txt", (0, 0))
        run_directory.abandon()
    run_directory.finish(run_directory.begin("train", arguments()))
    assert 149 < run_directory.record(folder)["wall_s"] < 153
    run_directory.finish(run_directory.begin("train", arguments(overwrite=True)))
    assert run_directory.record(folder)["wall_s"] < 3, "begun anew"


def test_run_json_comes_last_and_names_what_was_made(stages, arguments):
    stage = run_directory.begin("train", arguments())
    assert stages.listing(stage.folder) == [".written", "started.json"]
    files.write_text(stage.folder / "deep" / "out.txt", "made")
    run_directory.finish(stage, accuracy=0.5)
    record = run_directory.record(stage.folder)
    assert stages.listing(stage.folder) == ["deep", "deep/out.txt", "run.json"]
    assert record["outputs"] == {"deep/out.txt": files.digest(stage.folder / "deep" / "out.txt")}
    assert record["arguments"]["epochs"] == 4 and record["accuracy"] == 0.5
    assert "overwrite" not in record["arguments"] and "runs" not in record["arguments"]


def test_a_finished_stage_is_skipped_and_says_so(stages, arguments, capsys):
    folder = stages.whole("train", arguments())
    before = (folder / "run.json").read_bytes()
    assert run_directory.begin("train", arguments(quiet=True, data_dir="elsewhere")) is None
    assert capsys.readouterr().out == f"train: done before, skipped ({folder})\n"
    assert (folder / "run.json").read_bytes() == before


@pytest.mark.parametrize("state", ["whole", "killed"])
def test_another_argument_is_refused_by_name(stages, arguments, state):
    folder = getattr(stages, state)("train", arguments())
    before = stages.listing(folder)
    with pytest.raises(ValueError, match=r"epochs 4, not 5: pass --overwrite .* or --runs"):
        run_directory.begin("train", arguments(epochs=5))
    assert stages.listing(folder) == before


@pytest.mark.parametrize("state", ["whole", "killed"])
def test_an_edited_catalogue_entry_is_refused_by_name(stages, arguments, state):
    used = {"attack": types.SimpleNamespace(steps=40, epsilon=0.3), "layers": None}
    folder = getattr(stages, state)("train", arguments(), uses=used)
    before = stages.listing(folder)
    for entry, value, words in (
        ("attack", types.SimpleNamespace(steps=41, epsilon=0.3), "another attack: steps 40, not 41"),
        ("layers", ["conv1"], r"another layers: None, not \['conv1'\]"),
        ("recipe", 3, "another recipe: None, not 3"),
    ):
        with pytest.raises(ValueError, match=f"holds a run with {words}: pass --overwrite .* or --runs"):
            run_directory.begin("train", arguments(), uses={**used, entry: value})
    with pytest.raises(ValueError, match=r"epochs 4, not 5, and another layers: None, not \['conv1'\]: pass"):
        run_directory.begin("train", arguments(epochs=5), uses={**used, "layers": ["conv1"]})
    assert stages.listing(folder) == before
    stage = run_directory.begin("train", arguments(), uses=used)
    assert stage is None if state == "whole" else stage.resumed


def test_a_record_without_catalogue_entries_is_compared_by_what_it_has(stages, arguments):
    folder = stages.whole("train", arguments())
    record = files.read_sealed(folder / "run.json")
    files.write_sealed(folder / "run.json", {name: value for name, value in record.items() if name != "uses"})
    assert run_directory.begin("train", arguments(), uses={"attack": 1}) is None
    with pytest.raises(ValueError, match="epochs 4, not 5"):
        run_directory.begin("train", arguments(epochs=5), uses={"attack": 1})


def test_an_argument_that_was_not_there_is_a_difference(stages, arguments):
    stages.whole("train", arguments())
    with pytest.raises(ValueError, match="width None, not 0.5"):
        run_directory.begin("train", arguments(width=0.5))


def test_a_killed_stage_is_continued_without_leftovers(stages, arguments):
    folder = stages.killed("train", arguments())
    (folder / "history").mkdir()
    for path in (folder / ".writing-abc-x.h5", folder / "history" / ".writing-def-y.h5"):
        path.write_text("cut")
    stage = run_directory.begin("train", arguments())
    assert stage.resumed
    assert stages.listing(folder) == [".written", "half.txt", "history", "started.json"]
    run_directory.finish(stage)
    assert run_directory.record(folder)["resumed"] is True


def test_a_stage_killed_before_it_wrote_anything_takes_other_arguments(arguments):
    stage = run_directory.begin("train", arguments())
    started = (stage.folder / "started.json").read_text()
    run_directory.abandon()
    stage.folder.mkdir(parents=True)
    (stage.folder / "started.json").write_text(started)
    assert not run_directory.begin("train", arguments(epochs=5)).resumed


def test_a_stage_that_failed_at_once_leaves_no_trace(arguments, tmp_path):
    run_directory.begin("train", arguments())
    run_directory.abandon()
    assert not list(tmp_path.iterdir())


def test_a_stage_that_failed_later_keeps_its_work(stages, arguments, tmp_path):
    folder = stages.killed("train", arguments())
    assert stages.listing(folder) == [".written", "half.txt", "started.json"]


def test_folders_that_were_there_stay(stages, arguments, tmp_path):
    stages.whole("train", arguments())
    run_directory.begin("slice", arguments(), ["train"])
    run_directory.abandon()
    assert stages.listing(tmp_path / "runs" / "dare" / "digits-alexnet" / "seed3") == [
        "train",
        "train/out.txt",
        "train/run.json",
    ]


def test_a_changed_input_is_refused_by_name(stages, arguments):
    stages.whole("train", arguments(), "one")
    stages.whole("slice", arguments(), inputs=["train"])
    assert run_directory.begin("slice", arguments(), ["train"]) is None
    stages.whole("train", arguments(overwrite=True), "one")
    assert run_directory.begin("slice", arguments(), ["train"]) is None, "the same bytes are the same input"
    stages.whole("train", arguments(overwrite=True), "two")
    with pytest.raises(ValueError, match="another train as input: pass --overwrite"):
        run_directory.begin("slice", arguments(), ["train"])


@pytest.mark.parametrize(
    ("stage", "words"),
    [
        ("train", r"make it with scripts/dare/1_train\.py$"),
        ("generate_adv-pgd", r"make it with scripts/dare/4_generate_adv\.py, which makes pgd$"),
        ("finetune_dare-dare-s", r"make it with scripts/dare/5_finetune_dare\.py, which makes dare-s$"),
    ],
)
def test_a_missing_input_names_its_script(arguments, tmp_path, stage, words):
    with pytest.raises(FileNotFoundError, match=words):
        run_directory.begin("test", arguments(), [stage])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", ["", "{", "[1]", "null"])
@pytest.mark.parametrize("name", ["run.json", "started.json"])
def test_a_damaged_record_is_named(stages, arguments, name, content):
    folder = stages.killed("train", arguments())
    (folder / name).write_text(content)
    with pytest.raises(ValueError, match=rf"{name}: damaged, or not .*: delete .* and run its stage again"):
        run_directory.begin("train", arguments())


def test_two_processes_do_not_work_on_one_stage(arguments):
    stage = run_directory.begin("train", arguments())
    with pytest.raises(ValueError, match="seed3/train: another process is at work on this stage"):
        run_directory.begin("train", arguments())
    run_directory.finish(stage)
    assert run_directory.begin("train", arguments()) is None


def test_run_json_is_json_that_other_tools_read(stages, arguments):
    folder = stages.whole("train", arguments())
    text = (folder / "run.json").read_text()
    assert json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))["extra"] == 1
    assert text.endswith("}\n")
