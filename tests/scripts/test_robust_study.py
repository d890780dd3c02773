"""The study of robust training as a user runs it: what it writes, how it is continued, what it refuses."""

import csv
import dataclasses
import json
import shutil
import types

import numpy
import PIL.Image
import pytest

from adv import attacks
from reporting import row as result_row
from train import history as history_module
from train import robust
from train.robust import setup

pytestmark = pytest.mark.slow

MODEL = "small_cnn@0.1"
CELL = ["--dataset", "digits", "--model", MODEL, "--quiet", "--deterministic"]
TRAIN = ["--setup", "fast", "--images", "200", "--validation", "60", "--probe-images", "20", "--no-augmentation"]
METHODS = ["fgsm-rs", "m+deat"]
TEST = ["--test-images", "20", "--attack", "pgd-20", "apgd-t"]


@pytest.fixture(scope="module")
def finished(shell, tmp_path_factory):
    """The study, run once: .folder, .cell, .completed of each script."""
    folder = tmp_path_factory.mktemp("robust")
    stages = {
        "robust_training/1_train": [*CELL, *TRAIN, "--bp-epochs", "3", "--method", *METHODS],
        "robust_training/2_test": [*CELL, *TEST],
        "tables": ["--study", "robust_training"],
    }
    by_script = {name.rpartition("/")[2]: completed for name, completed in shell.all_here(stages, folder).items()}
    cell = folder / "runs" / "robust_training" / f"digits-{MODEL}" / "seed0"
    return types.SimpleNamespace(folder=folder, cell=cell, completed=by_script)


def load(path):
    return json.loads(path.read_text(encoding="utf-8"))


def test_training_says_what_it_cost_and_keeps_the_selected_and_the_last_epoch(finished):
    for name in METHODS:
        record = load(finished.cell / f"train-{name}" / "run.json")
        assert record["bp_epochs"] == pytest.approx(3, abs=2.5) and record["images"] == pytest.approx(200, abs=2)
        weights = {path.name for path in (finished.cell / f"train-{name}" / "history").glob("*.weights.h5")}
        assert weights == {f"epoch-{epoch:04d}.weights.h5" for epoch in (record["selected"], record["last"])}
        lines = (finished.cell / f"train-{name}" / "metrics.csv").read_text().splitlines()
        assert lines[0].startswith("epoch,steps,bp_epochs,seconds") and len(lines) == 1 + record["last"]
    assert "BP-epochs" in finished.completed["1_train"].out
    assert "| pgd-20@0.1 (n=20) | apgd-t@0.1 (n=20) | worst@0.1 (n=20) |" in (
        finished.cell.parent / "report" / "report.md"
    ).read_text(encoding="utf-8")


def test_a_row_has_the_worst_case_of_the_selected_and_of_the_last_epoch(finished, unsaturated):
    assert unsaturated(finished.cell) == []
    row = result_row.load(finished.cell / "test-m+deat" / "row.json")
    measures = {name: measure["value"] for name, measure in row["measures"].items()}
    names = ["clean", "white-box/pgd-20@0.1", "white-box/apgd-t@0.1", "white-box/worst@0.1"]
    assert {*measures} == {*names, *(f"last/{name}" for name in names)}
    assert measures["white-box/worst@0.1"] == measures["white-box/apgd-t@0.1"] <= measures["white-box/pgd-20@0.1"]
    assert (row["hyperparameters"]["epsilon"], row["hyperparameters"]["attack_mode"]) == (0.1, "train")
    assert row["checks"] and row["commands"]["train-m+deat"].startswith("python scripts/robust_training/1_train.py")
    assert set(row["commits"]) == set(row["wall_s"]) == {"train-m+deat", "test-m+deat"}


def test_the_report_has_tables_claims_and_the_figure(finished):
    report = finished.cell.parent / "report"
    text = (report / "report.md").read_text(encoding="utf-8")
    assert "Empirical Robustness" not in text and text.count("`python scripts/robust_training/1_train.py") == 1
    assert "BP-epochs" in text and "the claims of DEAT" in text
    assert {path.suffix for path in report.iterdir()} >= {".md", ".tex", ".csv", ".png"}


def test_finished_stages_are_skipped_and_others_refused(cell_copy, shell, tmp_path):
    again = shell.here("robust_training/1_train", *CELL, *TRAIN, "--bp-epochs", "3", "--method", *METHODS, cwd=tmp_path)
    assert again.code == 0 and again.out.count("done before, skipped") == 2
    other = shell.here("robust_training/1_train", *CELL, *TRAIN, "--bp-epochs", "5", "--method", "m+deat", cwd=tmp_path)
    assert other.code == 2 and "bp_epochs 3.0, not 5.0" in other.err


@pytest.mark.parametrize(
    ("script", "catalogue", "name", "change", "words"),
    [
        ("1_train", robust.METHODS, "m+deat", {"guard": 0.3}, "another method: guard 0.2, not 0.3"),
        ("1_train", setup.SETUPS, "fast", {"crop": 0.2, "weight_decay": 1.0}, "another set-up: weight_decay 0.0005"),
        ("2_test", attacks.ATTACKS, "pgd-20", {"steps": 21}, "another attack: pgd-20 steps 20, not 21"),
    ],
)
def test_an_edited_entry_of_a_catalogue_is_named(
    cell_copy, shell, tmp_path, monkeypatch, script, catalogue, name, change, words
):
    monkeypatch.setitem(catalogue, name, dataclasses.replace(catalogue[name], **change))
    own = TEST if script == "2_test" else [*TRAIN, "--bp-epochs", "3", "--method", *METHODS]
    completed = shell.here(f"robust_training/{script}", *CELL, *own, cwd=tmp_path)
    assert completed.code == 2 and words in completed.err and "--overwrite" in completed.err, completed.err


def test_the_row_says_what_the_model_was_trained_with_whatever_the_catalogue_says_now(
    cell_copy, shell, tmp_path, monkeypatch
):
    method = robust.METHODS["fgsm-rs"]
    strategy = dataclasses.replace(method.strategy, attack_mode="eval")
    monkeypatch.setitem(robust.METHODS, "fgsm-rs", dataclasses.replace(method, strategy=strategy))
    completed = shell.here("robust_training/2_test", *CELL, *TEST, "--method", "fgsm-rs", "--overwrite", cwd=tmp_path)
    assert completed.code == 0, completed.err
    assert load(cell_copy / "test-fgsm-rs" / "row.json")["hyperparameters"]["attack_mode"] == "train"


@pytest.mark.slow
def test_killed_training_ends_with_the_same_bits(finished, shell, tmp_path):
    options = [*CELL, *TRAIN, "--bp-epochs", "3", "--method", "m+deat"]
    history = tmp_path / finished.cell.relative_to(finished.folder) / "train-m+deat" / "history"
    shell.kill_when(shell.start("robust_training/1_train", *options, cwd=tmp_path), history, "epoch-0001.record.h5")
    ended = shell.finish(shell.start("robust_training/1_train", *options, cwd=tmp_path))
    assert ended.code == 0, ended.err
    whole = shell.digests(finished.cell / "train-m+deat" / "history")
    assert shell.digests(history) == whole


@pytest.mark.slow
def test_the_set_up_of_imagenet_on_a_folder_of_images_with_a_list_of_the_split(shell, tmp_path):
    generator = numpy.random.default_rng(0)
    for name in ("a", "b", "c"):
        (tmp_path / "images" / name).mkdir(parents=True)
        for number in range(10):
            picture = PIL.Image.fromarray(generator.integers(0, 256, (70, 90, 3), numpy.uint8))
            picture.save(tmp_path / "images" / name / f"{number}.png")
    net = ["--dataset", "folder:images@64x64", "--model", "resnet50@0.03", "--quiet"]
    setup = ["--setup", "imagenet", "--epochs", "1", "--method", "m+deat", "--validation", "6", "--list-files"]
    completed = shell.here("robust_training/1_train", *net, *setup, cwd=tmp_path)
    assert completed.code == 0, completed.err
    stage = tmp_path / "runs" / "robust_training" / "folder-images@64x64-resnet50@0.03" / "seed0" / "train-m+deat"
    setup = load(stage / "run.json")["setup"]
    assert (setup["epsilon"], setup["batch_size"], setup["replay_maximum"]) == (4 / 255, 256, 4)
    with open(stage / "split.csv", newline="") as file:
        lines = list(csv.DictReader(file))
    assert {line["file"] for line in lines} == {f"{name}/{number}.png" for name in "abc" for number in range(10)}
    assert [sum(line["part"] == part for line in lines) for part in ("train", "validation", "test")] == [18, 6, 6]
    assert all(line["class"] == line["file"][0] == "abc"[int(line["label"])] for line in lines)


def test_a_learning_rate_is_chosen_on_held_out_images(shell, tmp_path, finished):
    chosen = ["--learning-rates", "0.03", "1e-8", "--rate-share", "0.5", "--method", "fgsm-rs"]
    ended = shell.here("robust_training/1_train", *CELL, *TRAIN, "--bp-epochs", "4", *chosen, cwd=tmp_path)
    assert ended.code == 0, ended.err
    stage = tmp_path / finished.cell.relative_to(finished.folder) / "train-fgsm-rs"
    record = load(stage / "run.json")
    reached = record["learning_rates"]
    assert [*reached] == ["1e-08", "0.03"]
    assert record["setup"]["learning_rate"] == float(max(reached, key=reached.get))
    assert record["choice_bp_epochs"] == pytest.approx(4, abs=1)
    assert 1e-8 < history_module.History(stage / "rate-0.03").record(1)[2]["learning_rate"] <= 0.03
    again = shell.here("robust_training/1_train", *CELL, *TRAIN, "--bp-epochs", "4", *chosen, cwd=tmp_path)
    assert "done before, skipped" in again.out
    tested = shell.here("robust_training/2_test", *CELL, *TEST, cwd=tmp_path)
    assert tested.code == 0, tested.err
    row = result_row.load(stage.parent / "test-fgsm-rs" / "row.json")
    assert row["hyperparameters"]["learning_rates"] == reached


def test_testing_before_training_names_the_script(shell, tmp_path):
    completed = shell.here("robust_training/2_test", *CELL, cwd=tmp_path)
    assert completed.code == 2 and "scripts/robust_training/1_train.py" in completed.err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--method", "pdg-7"], "did you mean pgd-7?"),
        (["--method", "pgd-7", "--epsilon", "2"], "at most 1"),
        (["--method", "pgd-7", "--images", "5000"], "no more than there are"),
        (["--method", "pgd-7", "--epochs", "2", "--bp-epochs", "3"], "not allowed with"),
        (["--method", "pgd-7", "--validation", "1438"], "expected at least 1, and some left"),
        (["--method", "pgd-7", "--learning-rate", "1", "--learning-rates", "1"], "not allowed with"),
        (["--method", "pgd-7", "--rate-share", "0.5"], "--learning-rates"),
    ],
)
def test_bad_input_is_one_sentence(options, message, shell, tmp_path):
    completed = shell.here("robust_training/1_train", *CELL, *options, cwd=tmp_path)
    assert completed.code == 2 and message in completed.err and completed.err.count("\n") == 1, completed.err
    assert not list(tmp_path.rglob("run.json"))


def test_flags_of_another_model_are_refused(cell_copy, shell, unfinish, tmp_path):
    stage = cell_copy / "test-m+deat"
    unfinish(stage)
    flags = next(stage.glob("flags-*.h5"))
    shutil.copy(next((cell_copy / "test-fgsm-rs").glob("flags-*.h5")), flags)
    completed = shell.here("robust_training/2_test", *CELL, *TEST, "--method", "m+deat", cwd=tmp_path)
    assert completed.code == 2 and f"{flags.name}: is not the file that the stage wrote" in completed.err
