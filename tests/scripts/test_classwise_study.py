"""The class-wise study as a user runs it: what it writes, what it prints, how it is continued, what it refuses."""

import dataclasses
import hashlib
import json
import shutil
import types

import h5py
import numpy
import pytest

from adv import attacks
from reporting import row as result_row
from train import robust

pytestmark = pytest.mark.slow

MODEL = "small_cnn@0.1"
CELL = ["--dataset", "digits", "--model", MODEL, "--quiet", "--deterministic"]
TRAIN = ["--setup", "fast", "--images", "300", "--validation", "60", "--probe-images", "20", "--no-augmentation"]
TRAIN += ["--bp-epochs", "6", "--learning-rate", "0.05", "--batch-size", "16", "--method", "fgsm-rs", "standard"]
ATTACK = ["--attack", "fgsm", "pgd-20", "t-pgd-5", "--test-images", "60", "--epsilon", "0.05"]


@pytest.fixture(scope="module")
def finished(shell, tmp_path_factory):
    """The study, run once: .folder, .cell, .completed of each script."""
    folder = tmp_path_factory.mktemp("classwise")
    stages = {
        "robust_training/1_train": [*CELL, *TRAIN],
        "robust_training/2_test": [*CELL, "--test-images", "60", "--attack", "pgd-20"],
        "classwise/1_attack": [*CELL, *ATTACK, "--reach-images", "20"],
        "classwise/4_similar_classes": [*CELL, "--method", "fgsm-rs"],
        "classwise/5_levers": [*CELL, "--method", "fgsm-rs", "--lever", "bias", "weight"],
    }
    stages |= {"classwise/2_report": CELL, "classwise/3_claims": CELL, "tables": ["--study", "classwise"]}
    completed = shell.all_here(stages, folder)
    cell = folder / "runs" / "classwise" / f"digits-{MODEL}" / "seed0"
    return types.SimpleNamespace(folder=folder, cell=cell, completed=completed)


def load(path):
    return json.loads(path.read_text(encoding="utf-8"))


def test_a_row_counts_what_the_flags_say(finished):
    row = result_row.load(finished.cell / "attack-fgsm-rs" / "row.json")
    with h5py.File(finished.cell / "attack-fgsm-rs" / "flags.h5") as file:
        predicted, labels = (file[f"{group}:white-box|pgd-20@0.05"][:] for group in ("prediction", "label"))
    measure = row["measures"]["white-box/pgd-20@0.05"]
    assert sum(measure["right"]) == (predicted == labels).sum() and sum(measure["total"]) == len(labels)
    confusion = numpy.array(row["confusion"]["white-box/pgd-20@0.05"])
    numpy.testing.assert_array_equal(numpy.diag(confusion), measure["right"])
    numpy.testing.assert_array_equal(confusion.sum(axis=1), measure["total"])
    assert max(measure["total"]) - min(measure["total"]) <= 1 and sum(row["reached"]["images"]) == 20
    assert len(row["weight_norms"][0]) == 10 and set(row["flags"]) > {"white-box/t-pgd-5@0.05"}


def test_every_step_of_a_claim_says_claim_evidence_and_verdict(finished):
    for script, claims in (("3_claims", 7), ("4_similar_classes", 1), ("5_levers", 1)):
        lines = [line.partition(": ")[0] for line in finished.completed[f"classwise/{script}"].out.splitlines()]
        lines = [line for line in lines if line != "next"]
        assert lines[-3 * claims :] == ["claim", "evidence", "verdict"] * claims


def test_retrained_models_lack_a_class_and_levers_have_their_settings(finished, unsaturated):
    assert unsaturated(finished.cell) == []
    rows = {path.parent.name: result_row.load(path) for path in finished.cell.glob("*/row.json")}
    retrained = [row for row in rows.values() if row["role"] == "retrained"]
    assert len(retrained) == 2 and all(len(row["classes"]) == 9 for row in retrained)
    assert len({row["retrained"]["watched"] for row in retrained}) == 1
    assert {row["retrained"]["why"] for row in retrained} == {"most", "least"}
    assert all(row["attacks"] == rows["attack-fgsm-rs"]["attacks"] for row in rows.values()), "attacked alike"
    assert all(row["retrained"]["without"] not in row["classes"] for row in retrained)
    bias, weight = (rows[f"lever-fgsm-rs-{name}"]["hyperparameters"] for name in ("bias", "weight"))
    assert len(bias["bias"]) == 10 and len(bias["tried"]) == 8
    assert numpy.mean(weight["factors"]) == pytest.approx(1, abs=1e-3) and weight["bp_epochs"] >= 6


def test_saved_flags_of_the_other_study_are_divided_without_an_attack(finished):
    folder = finished.cell / "report-robust_training"
    rows = {row["method"]: row for row in load(folder / "rows.json")}
    assert set(rows) == {"fgsm-rs", "standard"}
    assert sum(rows["fgsm-rs"]["measures"]["white-box/pgd-20@0.1"]["total"]) == 60
    assert {path.suffix for path in folder.iterdir()} == {".md", ".tex", ".csv", ".png", ".json"}


def test_the_report_has_tables_figures_and_claims(finished):
    text = (finished.cell.parent / "report" / "report.md").read_text(encoding="utf-8")
    for heading in ("robust accuracy over classes", "robust accuracy of each class", "claims on robustness by class"):
        assert heading in text
    assert "-levers.png" in text and "-confusion.png" in text


def test_finished_stages_are_skipped_and_a_retrained_model_is_noticed(cell_copy, call):
    again = call("classwise/1_attack", *CELL, *ATTACK, "--reach-images", "20")
    assert again.code == 0 and again.out.count("done before, skipped") == 2
    run_json = cell_copy.parents[2] / "robust_training" / f"digits-{MODEL}" / "seed0" / "train-fgsm-rs" / "run.json"
    record = load(run_json)
    del record["digest"]
    (run_json.parent / "metrics.csv").write_text("another")
    record["outputs"]["metrics.csv"] = hashlib.sha256(b"another").hexdigest()
    run_json.write_text(json.dumps(record), encoding="utf-8")
    refused = call("classwise/1_attack", *CELL, *ATTACK, "--reach-images", "20")
    assert refused.code == 2 and "holds a run with another robust_training/train-fgsm-rs as input" in refused.err
    for step in ("4_similar_classes", "5_levers"):
        refused = call(f"classwise/{step}", *CELL, "--method", "fgsm-rs")
        assert refused.code == 2 and "made from another robust_training/train-fgsm-rs than there is" in refused.err
        assert "make attack-fgsm-rs again with --overwrite" in refused.err


def test_a_row_says_what_made_the_model_that_it_is_of(finished):
    train, attack = "robust_training/train-fgsm-rs", "attack-fgsm-rs"
    for name, above in ((attack, [train]), ("lever-fgsm-rs-bias", [train, attack])):
        row = result_row.load(finished.cell / name / "row.json")
        assert set(row["commands"]) == {*above} and set(row["commits"]) == set(row["wall_s"]) == {*above, name}
        assert "robust_training/1_train.py" in row["commands"][train] and all(row["wall_s"].values())


@pytest.mark.parametrize(
    ("script", "catalogue", "name", "change", "words"),
    [
        ("1_attack", attacks.ATTACKS, "pgd-20", {"steps": 21}, "another attack: pgd-20 steps 20, not 21"),
        ("4_similar_classes", robust.METHODS, "fgsm-rs", {"guard": 0.3}, "another method: guard 0.2, not 0.3"),
        ("5_levers", attacks.ATTACKS, "fgsm", {"epsilons": 9}, "another attack: fgsm epsilons 1000, not 9"),
    ],
)
def test_an_edited_entry_of_a_catalogue_is_named(cell_copy, call, monkeypatch, script, catalogue, name, change, words):
    monkeypatch.setitem(catalogue, name, dataclasses.replace(catalogue[name], **change))
    own = {
        "1_attack": [*ATTACK, "--reach-images", "20"],
        "4_similar_classes": ["--method", "fgsm-rs"],
        "5_levers": ["--method", "fgsm-rs", "--lever", "bias", "weight"],
    }
    completed = call(f"classwise/{script}", *CELL, *own[script])
    assert completed.code == 2 and words in completed.err and "--overwrite" in completed.err, completed.err


def test_a_method_is_not_retrained_by_another_entry_than_it_was_trained_by(cell_copy, call, monkeypatch):
    monkeypatch.setitem(robust.METHODS, "fgsm-rs", dataclasses.replace(robust.METHODS["fgsm-rs"], guard=0.3))
    completed = call("classwise/5_levers", *CELL, "--method", "fgsm-rs", "--lever", "weight", "--overwrite")
    assert completed.code == 2 and "train-fgsm-rs was trained with another method: guard 0.2, not 0.3" in completed.err


def test_flags_of_another_model_are_refused_and_can_be_overwritten(cell_copy, call, unfinish):
    unfinish(cell_copy / "attack-fgsm-rs")
    shutil.copy(cell_copy / "attack-standard" / "flags.h5", cell_copy / "attack-fgsm-rs" / "flags.h5")
    refused = call("classwise/1_attack", *CELL, *ATTACK, "--reach-images", "20")
    assert refused.code == 2 and "flags.h5: is not the file that the stage wrote" in refused.err
    assert call("classwise/1_attack", *CELL, *ATTACK, "--reach-images", "20", "--overwrite").code == 0


@pytest.mark.parametrize(
    ("script", "options", "words"),
    [
        (
            "1_attack",
            [],
            "no model has been trained; make one with scripts/robust_training/1_train.py --dataset digits",
        ),
        ("1_attack", ["--attack", "cw"], "attack in Linf"),
        ("2_report", [], "no saved flags; make them with scripts/dare/7_test.py or"),
        ("3_claims", [], "no row.json; make them with the test or attack stage of scripts/classwise/"),
        ("4_similar_classes", [], "make it with scripts/classwise/1_attack.py, which makes m+deat"),
        ("5_levers", ["--method", "m+deat"], "method that can be trained by class"),
        ("5_levers", [], "make one with scripts/robust_training/1_train.py --method pgd-7"),
    ],
)
def test_what_is_missing_is_said_in_one_sentence(script, options, words, call):
    refused = call(f"classwise/{script}", *CELL, *options)
    assert refused.code == 2 and words in refused.err and refused.err.count("\n") == 1


def test_an_unknown_model_of_the_cell(cell_copy, call):
    refused = call("classwise/1_attack", *CELL, *ATTACK, "--method", "dare")
    assert refused.code == 2 and "no trained model dare in this cell, expected of standard, fgsm-rs" in refused.err
