"""Every numbered script of the DARE study: what it writes and says, and what it refuses, on a small cell."""

import importlib
import itertools
import json
import re
import shutil

import pytest

from data import files

SCRIPTS = ("1_train", "2_slice", "3_get_ats", "4_generate_adv", "5_finetune_dare", "6_finetune_adv", "7_test")
METHODS = ("dare", "dare-s", "dare-sl", "weight-noise", "logit-noise", "tune-clean", "checkpoint", "swa")
ATTACKS = ("fgsm", "pgd")
BASELINES = ("adv-fgsm", "adv-pgd", "distillation")
EPOCHS = range(1, 5)
WRITTEN = {
    "train": {
        "split.h5",
        "metrics.csv",
        "history/architecture.json",
        "history/origin.json",
        "history/epoch-0004.optimizer.h5",
        *(f"history/epoch-{epoch:04d}.{part}.h5" for epoch in EPOCHS for part in ("weights", "record")),
    },
    "slice": {"slice.h5"},
    "get_ats": {"targets.h5", *(f"summary.{ending}" for ending in ("md", "tex", "csv"))},
    **{f"generate_adv-{attack}": {"adversarials.h5"} for attack in ATTACKS},
    **{f"finetune_dare-{method}": {"weights-0.weights.h5"} for method in METHODS},
    **{f"finetune_adv-{attack}": {"weights-0.weights.h5"} for attack in (*ATTACKS, "distillation")},
    **{f"test-{method}": {"flags-0.h5", "row.json"} for method in ("original", *BASELINES, *METHODS)},
}
PROGRESS = re.compile(r"[\w@:./ -]+: \d+/\d+.*")


@pytest.fixture
def copy(study, tmp_path):
    """The finished cell in tmp_path, to be changed."""
    shutil.copytree(study.folder / "runs", tmp_path / "runs")
    return tmp_path / "runs" / "dare" / "digits-alexnet@0.03" / "seed0"


def one_sentence(completed, *words):
    """It ended with status 2 and one line on standard error that holds the words."""
    assert completed.code == 2, completed
    lines = completed.err.strip().splitlines()
    sentence = lines[-1]
    assert all(PROGRESS.fullmatch(line) for line in lines[:-1]), completed.err
    assert re.match(r"\d_\w+\.py: ", sentence) and "Traceback" not in completed.err
    for word in words:
        assert word in sentence
    return sentence


@pytest.mark.parametrize("script", [*SCRIPTS, "8_tables"])
def test_the_script_succeeds_and_shows_plain_progress(study, script):
    completed = study.completed[script]
    assert completed.code == 0, completed.err
    assert completed.out
    assert all(PROGRESS.fullmatch(line) for line in completed.err.splitlines()), completed.err


def test_quiet_says_nothing_on_standard_error(study):
    assert study.completed["3_get_ats"].err == ""


def test_saturation_stands_beside_every_white_box_measure(study, unsaturated):
    assert unsaturated(study.cell) == []


def test_the_stages_hold_what_they_promise(study, shell):
    assert {path.name for path in study.cell.iterdir()} == set(WRITTEN)
    for stage, names in WRITTEN.items():
        assert set(shell.digests(study.cell / stage)) == {*names, "run.json"}


@pytest.mark.parametrize("stage", WRITTEN)
def test_run_json_tells_where_a_stage_comes_from(study, shell, stage):
    record = json.loads((study.cell / stage / "run.json").read_text())
    assert record["stage"] == stage
    assert record["arguments"]["dataset"] == "digits" and record["arguments"]["seed"] == 0
    assert re.match(r"python scripts/dare/\d_\w+\.py", record["command"])
    assert record["outputs"] == shell.digests(study.cell / stage, but=["run.json"])
    assert set(record["inputs"]) == ({"train"} if stage != "train" else set()) | set(record["inputs"])
    for name, digest in record["inputs"].items():
        ancestor = json.loads((study.cell / name / "run.json").read_text())
        assert digest == files.fingerprint_json(ancestor["outputs"])
    assert {"python", "keras", "numpy", "h5py"} <= set(record["versions"]) and all(record["versions"].values())
    assert {"commit", "dirty"} <= set(record)
    assert {"cores", "kernels", "floatx", "image_data_format"} <= set(record) and "processes" not in record
    assert record["device"] and record["wall_s"] > 0 and record["peak_memory_mib"] > 50
    assert record["resumed"] is False


@pytest.mark.parametrize("script", SCRIPTS)
def test_the_second_run_skips_and_changes_nothing(study, shell, call, script):
    before = shell.digests(study.folder)
    completed = call(script, *shell.small[script], "--runs", study.folder / "runs")
    assert completed.code == 0
    lines = [line for line in completed.out.splitlines() if not line.startswith("next: ")]
    assert lines and all("done before, skipped" in line for line in lines)
    assert shell.digests(study.folder) == before


@pytest.mark.parametrize(
    ("script", "change", "words"),
    [
        ("1_train", ["--epochs", "5"], "epochs 4, not 5"),
        ("2_slice", ["--per", "0.9"], "per 0.95, not 0.9"),
        ("3_get_ats", ["--min-gain", "0.5"], "min_gain 0.0, not 0.5"),
        ("4_generate_adv", ["--parts", "12", "8", "12", "9"], "parts [12, 8, 12, 8], not [12, 8, 12, 9]"),
        ("5_finetune_dare", ["--repeats", "2"], "repeats 1, not 2"),
        ("6_finetune_adv", ["--learning-rate", "0.5"], "learning_rate 0.0001, not 0.5"),
        ("6_finetune_adv", ["--temperature", "5"], "temperature 10.0, not 5.0"),
        ("7_test", ["--white-box-images", "11"], "white_box_images 10, not 11"),
    ],
)
def test_a_changed_argument_is_named(study, shell, call, script, change, words):
    before = shell.digests(study.folder)
    completed = call(script, *shell.small[script], "--runs", study.folder / "runs", *change)
    one_sentence(completed, words, "--overwrite", "--runs")
    assert shell.digests(study.folder) == before


def test_chosen_models_alone_are_tested(study, shell, call):
    options = [*shell.small["7_test"], "--runs", study.folder / "runs", "--method"]
    completed = call("7_test", *options, "swa", "dare")
    lines = [line.partition(":")[0] for line in completed.out.splitlines() if not line.startswith("next: ")]
    assert completed.code == 0 and lines == ["test-swa", "test-dare"], "the same stages as without --method"
    one_sentence(call("7_test", *options, "dare-key"), "no model of dare-key is made yet; made so far: original, dare")


@pytest.mark.slow
def test_the_default_parts_fit_the_data(copy, call):
    shutil.rmtree(copy / "generate_adv-fgsm")
    assert call("4_generate_adv", "--attack", "fgsm", "--deterministic", "--quiet").code == 0
    record = json.loads((copy / "generate_adv-fgsm" / "run.json").read_text())
    assert record["arguments"]["parts"] == [288, 72, 359, 359]


def test_a_changed_input_is_named_and_overwrite_mends_it(copy, shell, call):
    sliced = shell.digests(copy / "slice")
    assert call("1_train", *shell.small["1_train"], "--epochs", "1", "--overwrite").code == 0
    assert set(shell.digests(copy / "train" / "history")) == {
        "architecture.json",
        "origin.json",
        "epoch-0001.weights.h5",
        "epoch-0001.record.h5",
        "epoch-0001.optimizer.h5",
    }
    one_sentence(call("2_slice", "--deterministic"), "another train as input", "--overwrite")
    assert shell.digests(copy / "slice") == sliced
    assert call("2_slice", "--deterministic", "--overwrite").code == 0
    assert shell.digests(copy / "slice") != sliced


@pytest.mark.parametrize("script", SCRIPTS[1:])
def test_a_missing_input_names_the_script_that_makes_it(tmp_path, call, script):
    one_sentence(call(script), "seed0/train/run.json", "make it with scripts/dare/1_train.py")
    assert not list(tmp_path.iterdir())


def test_a_missing_adversarial_set_names_its_attack(copy, call):
    shutil.rmtree(copy / "generate_adv-pgd")
    completed = call("6_finetune_adv", "--attack", "pgd", "--overwrite")
    one_sentence(completed, "scripts/dare/4_generate_adv.py, which makes pgd")


def test_no_rows_name_the_script_that_makes_them(tmp_path, call):
    one_sentence(call("8_tables"), "no row.json", "the test or attack stage of scripts/dare/")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("script", "options", "words"),
    [
        ("1_train", ["--dataset", "digit"], ["did you mean digits?", "fashion_mnist", "folder:<path>"]),
        ("1_train", ["--dataset", "Fashion-MNIST"], ["did you mean fashion_mnist?"]),
        ("1_train", ["--dataset", "folder:nowhere"], ["nowhere"]),
        ("1_train", ["--model", "alexnt"], ["did you mean alexnet?"]),
        ("2_slice", ["--model", "alexnt"], ["did you mean alexnet?"]),
        ("4_generate_adv", ["--attack", "fgsm", "pdg"], ["did you mean pgd?", "deepfool"]),
        ("5_finetune_dare", ["--variant", "dares"], ["did you mean dare-s?", "tune-clean"]),
        ("5_finetune_dare", ["--choose-on", "deep-fool"], ["did you mean deepfool?"]),
        ("6_finetune_adv", ["--attack", "nothing"], ["unknown attack 'nothing'", "fgsm"]),
        ("7_test", ["--attack", "pgf"], ["did you mean pgd?"]),
        ("2_slice", ["--rule", "other"], ["nnslicer"]),
        ("1_train", ["--model", "alexnet@0"], ["width '0'", "above 0"]),
        ("1_train", ["--model", "alexnet@nan"], ["width 'nan'", "above 0"]),
        ("2_slice", ["--model", "alexnet@"], ["width ''", "above 0", "alexnet@0.25"]),
        ("1_train", ["--epochs", "0"], ["--epochs", "at least 1"]),
        ("1_train", ["--epochs", "-3"], ["--epochs", "at least 1"]),
        ("1_train", ["--epochs", "2.5"], ["--epochs", "whole number"]),
        ("1_train", ["--batch-size", "0"], ["--batch-size", "at least 1"]),
        ("1_train", ["--seed", "-1"], ["--seed", "at least 0"]),
        ("1_train", ["--seed", str(2**32)], ["--seed", "at most 4294967295"]),
        ("1_train", ["--epoch", "3"], ["unrecognized arguments"]),
        ("2_slice", ["--per", "0"], ["--per", "above 0 and at most 1"]),
        ("2_slice", ["--per", "1.01"], ["--per", "above 0 and at most 1"]),
        ("2_slice", ["--theta", "-1"], ["--theta", "at least 0"]),
        ("3_get_ats", ["--min-gain", "nan"], ["--min-gain", "at least 0 and at most 1"]),
        ("4_generate_adv", ["--parts", "1", "2", "3"], ["--parts", "expected 4"]),
        ("4_generate_adv", ["--parts", "1", "2", "3", "-4"], ["--parts", "at least 0"]),
        ("5_finetune_dare", ["--repeats", "0"], ["--repeats", "at least 1"]),
        ("5_finetune_dare", ["--learning-rates", "1e-3", "nan"], ["--learning-rates", "above 0"]),
        ("6_finetune_adv", ["--learning-rate", "nan"], ["--learning-rate", "above 0"]),
        ("6_finetune_adv", ["--repeats", "0"], ["--repeats", "at least 1"]),
        ("6_finetune_adv", ["--epochs", "0"], ["--epochs", "at least 1"]),
        ("6_finetune_adv", ["--temperature", "0"], ["--temperature", "above 0"]),
        ("6_finetune_adv", ["--distillation-epochs", "0"], ["--distillation-epochs", "at least 1"]),
        ("7_test", ["--white-box", "deepfool"], ["unknown attack in Linf 'deepfool'", "pgd"]),
        ("7_test", ["--minimal", "deepfoo"], ["did you mean deepfool?"]),
        ("7_test", ["--white-box-images", "0"], ["--white-box-images", "at least 1"]),
        ("7_test", ["--epsilons", "0.1", "1.5"], ["--epsilons", "at most 1"]),
    ],
)
def test_a_wrong_argument_is_one_sentence_and_writes_nothing(tmp_path, call, script, options, words):
    one_sentence(call(script, *options), *words)
    assert not list(tmp_path.iterdir())


def test_a_wrong_argument_after_begin_takes_the_stage_back(study, copy, call, shell):
    for stage in ("get_ats", "generate_adv-fgsm", "slice"):
        shutil.rmtree(copy / stage)
    before = shell.digests(copy)
    completed = call("4_generate_adv", "--attack", "fgsm", "--parts", "9999", "1", "1", "1")
    one_sentence(completed, "9999 for validation and train, but x_train has 719")
    one_sentence(call("3_get_ats", "--layer", "conv55"), "conv55", "conv5")
    one_sentence(call("2_slice", "--rule", "nnslicer"), "theta")
    assert shell.digests(copy) == before
    assert {path.name for path in copy.iterdir()} == {path.name for path in study.cell.iterdir()} - {
        "get_ats",
        "generate_adv-fgsm",
        "slice",
    }


@pytest.mark.parametrize("runs", ["occupied", "occupied/deeper", "/proc/nothing"])
def test_an_unwritable_runs_folder_is_named(tmp_path, call, runs):
    (tmp_path / "occupied").write_text("a file")
    one_sentence(call("1_train", "--runs", runs), runs)
    assert [path.name for path in tmp_path.iterdir()] == ["occupied"]


def test_a_damaged_input_is_named(copy, call):
    path = copy / "train" / "history" / "epoch-0004.weights.h5"
    path.write_bytes(path.read_bytes()[:3000])
    one_sentence(call("2_slice", "--deterministic", "--overwrite"), "epoch-0004.weights.h5")


def test_a_damaged_record_of_a_run_is_named(copy, call):
    (copy / "train" / "run.json").write_text('{"stage": "tr')
    one_sentence(call("1_train"), "train/run.json: damaged", "delete")
    one_sentence(call("2_slice"), "train/run.json: damaged", "delete")


@pytest.mark.slow
def test_training_stops_where_it_turns_nan_and_keeps_the_epochs_before(study, tmp_path, call, monkeypatch, shell):
    fit = importlib.import_module("train.fit")
    monkeypatch.setattr(fit, "confidence", nan_in_epoch(3, fit.confidence))
    one_sentence(call("1_train", *shell.small["1_train"]), "in epoch 3", "epochs up to 2 are kept", "learning rate")
    names = {path.name for path in tmp_path.glob("runs/**/*.weights.h5")}
    assert names == {"epoch-0001.weights.h5", "epoch-0002.weights.h5"}
    assert not list(tmp_path.glob("runs/**/run.json"))
    monkeypatch.undo()
    assert call("1_train", *shell.small["1_train"]).code == 0
    train = tmp_path / study.cell.relative_to(study.folder) / "train"
    assert shell.digests(train, but=["run.json"]) == shell.digests(study.cell / "train", but=["run.json"])


def nan_in_epoch(epoch, confidence):
    """train.fit's measurement after an epoch, NaN at the call of that number."""
    calls = itertools.count(1)

    def broken(*arguments, **settings):
        log_probability, prediction = confidence(*arguments, **settings)
        return (log_probability * float("nan") if next(calls) == epoch else log_probability), prediction

    return broken


def test_mining_can_drop_the_weights_that_nothing_reads_later(copy, call):
    assert call("3_get_ats", "--deterministic", "--keep", "mined", "--overwrite", "--quiet").code == 0
    names = sorted(path.name for path in (copy / "train" / "history").glob("*.weights.h5"))
    assert names == ["epoch-0004.weights.h5"]
    assert call("4_generate_adv", "--attack", "fgsm", "--parts", "1", "1", "1", "1", "--overwrite").code == 0


def test_metrics_hold_every_epoch_even_if_training_was_killed_after_the_last(copy, call, shell, unfinish):
    train = copy / "train"
    before = (train / "metrics.csv").read_text()
    assert [line.split(",")[0] for line in before.splitlines()] == ["epoch", "1", "2", "3", "4"]
    unfinish(train, "metrics.csv")
    assert call("1_train", *shell.small["1_train"]).code == 0
    assert (train / "metrics.csv").read_text() == before
    assert json.loads((train / "run.json").read_text())["resumed"] is True
