"""The study of hardening as a user runs it: what it writes, how it is continued, what it refuses."""

import argparse
import dataclasses
import json
import re
import shutil
import types

import numpy
import pytest

from adv import attacks, evaluate
from dare.hardening import strategies
from data import files
from reporting import row as result_row
from studies.hardening import cell as hardening_cell
from studies.hardening import tables

pytestmark = pytest.mark.slow

SCRIPT = "hardening/1_harden"
FEW = ["--points", "2", "--bp-epochs", "4", "--batch-size", "10", "--samples", "30", "--images", "8"]
FEW += ["--held-out", "8", "--choice-images", "8", "--quiet"]
FEW += ["--attack", "apgd-t", "--attack-steps", "2", "--restarts", "1"]
OPTIONS = ["--strategy", "regression", "trades-1", "swa", "--learning-rates", "1e30", "1e-3", *FEW]
STAGES = ("original", "regression", "trades-1", "swa")


@pytest.fixture(scope="module")
def trained(study, tmp_path_factory):
    """A folder with what the study reads: runs/ of the small cell, its train/ and get_ats/ alone."""
    folder = tmp_path_factory.mktemp("white-box")
    for stage in ("train", "get_ats"):
        target = folder / study.cell.relative_to(study.folder) / stage
        shutil.copytree(study.cell / stage, target)
    return types.SimpleNamespace(folder=folder, cell=target.parent)


@pytest.fixture(scope="module")
def finished(trained, shell, tmp_path_factory):
    """The study, run once: .folder, .cell, .out."""
    folder = tmp_path_factory.mktemp("finished")
    shutil.copytree(trained.folder / "runs", folder / "runs")
    completed = shell.here(SCRIPT, *OPTIONS, cwd=folder)
    assert completed.code == 0, completed.err
    return types.SimpleNamespace(
        folder=folder, cell=folder / trained.cell.relative_to(trained.folder), out=completed.out
    )


@pytest.fixture
def cell(trained, tmp_path):
    """The trained cell in tmp_path, to be changed."""
    shutil.copytree(trained.folder / "runs", tmp_path / "runs")
    return tmp_path / trained.cell.relative_to(trained.folder)


def load(path):
    return json.loads(path.read_text(encoding="utf-8"))


def units(stage):
    """Name -> content of a stage's units, without the seconds that they took and the digest."""
    by_name = {path.name: load(path) for path in stage.glob("unit-*.json")}
    varying = ("train_s", "digest")
    return {name: {key: value for key, value in unit.items() if key not in varying} for name, unit in by_name.items()}


def test_what_it_writes(finished, unsaturated):
    printed = finished.out
    assert printed.count(", saturated ") == len(STAGES) and unsaturated(finished.cell) == []
    assert "at equal weight change" in printed and "bounded cost" in printed
    stages = {path.name: path for path in finished.cell.glob("harden*")}
    assert set(stages) == {"harden", *(f"harden-{name}" for name in STAGES)}
    assert {path.suffix for path in stages["harden"].iterdir()} == {".md", ".tex", ".csv", ".png"}
    rows = {name: result_row.load(stages[f"harden-{name}"] / "row.json") for name in STAGES}
    start = rows["original"]["trajectories"][0]["points"]
    assert len(start) == len(rows["swa"]["trajectories"][0]["points"]) == 1 and start[0]["weight_change"] == 0
    samples = {trajectory["samples"] for row in rows.values() for trajectory in row["trajectories"]}
    assert len(samples) == 1 and max(samples) <= 30
    for name, updates in (("regression", 4 * max(samples) / 10), ("trades-1", 4 * max(samples) / 55)):
        trajectory = rows[name]["trajectories"][1]
        assert trajectory == files.read_sealed(stages[f"harden-{name}"] / "unit-0.001-0.json")
        assert trajectory["train_s"] > 0
        points = trajectory["points"]
        assert points[0] == start[0] and len(points) == 3
        assert [point["updates"] for point in points[1:]] == [numpy.ceil(updates / 2), numpy.ceil(updates)]
        passes = strategies.STRATEGIES[name].passes(3)
        assert points[2]["bp_epochs"] == pytest.approx(points[2]["updates"] * passes * 10 / max(samples))
        assert 0 < points[1]["weight_change"] < points[2]["weight_change"]
        assert set(points[2]) == set(points[0])
    row = rows["trades-1"]
    assert row["study"] == "hardening" and row["role"] == "baseline" and row["method"] == "trades-1"
    assert row["epsilons"] == {"near": 0.02, "far": 0.1} and row["images"]["near"] == 8
    assert list(row["measures"]) == ["clean", "white-box/worst@0.02", "white-box/worst@0.1"]
    assert all(set(measure) >= {"value", "n", "values", "interval"} for measure in row["measures"].values())
    assert {"logits", "gradient", "saturated"} <= {check["name"] for check in row["checks"]}
    used = dataclasses.replace(attacks.get("apgd-t"), steps=2)
    assert row["attacks"]["white-box/worst"]["runs"] == {"0": used.specification()}
    assert {"command", "commit", "device", "versions", "wall_s"} <= set(row) and row["seeds"] == [0]
    assert set(row["commits"]) == {"train", "get_ats", "harden-original", "harden-trades-1"}
    assert row["hyperparameters"]["passes"] == 5.5
    assert len(tables.tables(list(rows.values()))) == 4
    inputs = load(stages["harden-trades-1"] / "run.json")["inputs"]
    assert inputs.keys() == {"train", "get_ats", "harden-original"}


def test_the_second_run_skips_and_changes_nothing(cell_copy, shell, call):
    before = shell.digests(cell_copy)
    completed = call(SCRIPT, *OPTIONS)
    assert completed.code == 0 and completed.err == "" and completed.out.count("done before, skipped") == 4
    assert shell.digests(cell_copy) == before


def test_an_edited_strategy_is_named(cell_copy, call, monkeypatch):
    strategy = strategies.STRATEGIES["trades-1"]
    monkeypatch.setitem(strategies.STRATEGIES, "trades-1", dataclasses.replace(strategy, steps=2))
    completed = call(SCRIPT, *OPTIONS)
    assert (
        completed.code == 2
        and "another strategy: steps None, not 2" in completed.err
        and "--overwrite" in completed.err
    )


def test_interrupted_and_continued_gives_the_same_units(finished, cell, call, monkeypatch):
    stage, correct = cell / "harden-trades-1", evaluate.correct

    def interrupt(*arguments, **settings):
        """While the second unit is measured."""
        if (stage / "unit-1e+30-0.json").is_file():
            raise KeyboardInterrupt
        return correct(*arguments, **settings)

    options = ["--strategy", "trades-1", *OPTIONS[OPTIONS.index("--learning-rates") :]]
    monkeypatch.setattr(evaluate, "correct", interrupt)
    assert call(SCRIPT, *options).code == 130
    monkeypatch.setattr(evaluate, "correct", correct)
    assert not (stage / "run.json").exists() and set(units(stage)) == {"unit-1e+30-0.json"}
    first = (stage / "unit-1e+30-0.json").read_bytes()
    completed = call(SCRIPT, *options)
    assert completed.code == 0 and (stage / "unit-1e+30-0.json").read_bytes() == first, completed.err
    assert load(stage / "run.json")["resumed"] is True
    continued = units(stage)
    assert len(continued) == 2 and continued == units(finished.cell / stage.name), "bit for bit"


def test_a_rate_that_diverges_ends_early_and_is_not_chosen(finished, cell, call):
    for name in STAGES[1:3]:
        row = result_row.load(finished.cell / f"harden-{name}" / "row.json")
        assert [len(trajectory["points"]) for trajectory in row["trajectories"]] == [1, 3]
        assert row["hyperparameters"]["learning_rate"] == 1e-3
    completed = call(SCRIPT, "--strategy", "regression", "--learning-rates", "1e30", *FEW)
    assert completed.code == 2 and "no learning rate stays finite for 4 BP-epochs: give lower ones" in completed.err
    assert not (cell / "harden-regression" / "run.json").exists()


def one_sentence(completed, *words):
    assert completed.code == 2, completed
    assert re.match(r"1_harden\.py: ", completed.err.strip().splitlines()[-1]) and "Traceback" not in completed.err
    for word in words:
        assert word in completed.err


def test_bad_input_is_named(cell, call, shell):
    before = shell.digests(cell)
    one_sentence(call(SCRIPT, "--strategy", "feature-adversary"), "did you mean feature-adversarial?")
    one_sentence(call(SCRIPT, "--attack", "deepfool"), "attack deepfool measures l2, but the balls are linf")
    for weak in ("fgsm", "cw-linf-20"):
        one_sentence(call(SCRIPT, "--attack", weak), f"--attack {weak}: expected apgd-t among them", "add apgd-t")
    one_sentence(call(SCRIPT, "--epsilon", "2"), "expected a number above 0 and at most 1")
    shutil.rmtree(cell / "get_ats")
    one_sentence(call(SCRIPT, *OPTIONS), "make it with scripts/dare/3_get_ats.py")
    assert {name: digest for name, digest in before.items() if not name.startswith("get_ats")} == shell.digests(cell)


def test_a_damaged_unit_and_a_changed_argument_are_named(cell_copy, call, unfinish):
    stage = cell_copy / "harden-regression"
    one_sentence(call(SCRIPT, *OPTIONS, "--images", "11"), "images 8, not 11", "--overwrite")
    one_sentence(call(SCRIPT, *OPTIONS, "--steps", "4"), "steps 3, not 4", "--overwrite")
    unfinish(stage)
    text = (stage / "unit-0.001-0.json").read_text()
    (stage / "unit-0.001-0.json").write_text(text[: len(text) // 2])
    one_sentence(call(SCRIPT, *OPTIONS), "unit-0.001-0.json: is not the file that the stage wrote", "--overwrite")


def arguments(trained, **changes):
    """What the parser gives, as the cell takes it."""
    known = {"study": "dare", "dataset": "digits", "model": trained.cell.parent.name.partition("-")[2], "seed": 0}
    known |= {"runs": trained.folder / "runs", "data_dir": None, "unverified": False, "quiet": True, "samples": None}
    known |= {"epsilon": None, "far_epsilon": None, "attack": ["apgd-t"], "attack_steps": None, "restarts": 3}
    known |= {"images": 40, "held_out": 2000, "choice_images": 20}
    return argparse.Namespace(**known | changes)


def test_who_trains_who_chooses_and_who_is_attacked(trained):
    cell = hardening_cell.Cell(arguments(trained))
    validation = len(cell.split.x_validation)
    assert len(cell.held) == len(set(cell.held)) == validation // 4 and len(set(cell.tested)) == 40
    index = cell.samples.mined.index[cell.samples.rows]
    assert not set(index) & set(cell.held)
    assert set(index) | set(cell.held) >= set(cell.samples.mined.index)
    numpy.testing.assert_array_equal(cell.samples.x, cell.split.x_validation[index])
    numpy.testing.assert_array_equal(cell.samples.y, cell.split.y_validation[index])
    few = hardening_cell.Cell(arguments(trained, samples=7))
    assert len(few.samples.rows) == 7 and set(few.samples.rows) <= set(cell.samples.rows)
    assert set(few.held) == set(cell.held)


@pytest.mark.slow
def test_killed_and_continued_gives_the_same_units(cell, shell, call, tmp_path):
    options = [
        "--strategy",
        "feature-adversarial",
        *FEW,
        "--learning-rates",
        "1e-3",
        "--repeats",
        "2",
        "--deterministic",
    ]
    stage = cell / "harden-feature-adversarial"
    shell.kill_when(shell.start(SCRIPT, *options, cwd=tmp_path), stage, "unit-0.001-0.json")
    assert not (stage / "run.json").exists()
    completed = call(SCRIPT, *options)
    assert completed.code == 0, completed.err
    continued = units(stage)
    assert len(continued) == 2 and not list(stage.glob(".writing-*"))
    assert continued["unit-0.001-0.json"] != continued["unit-0.001-1.json"]
    completed = call(SCRIPT, *options, "--overwrite")
    assert completed.code == 0 and units(stage) == continued, completed.err
