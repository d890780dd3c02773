"""reproduce.py: the commands that a preset stands for, how they are run, and what a failure does."""

import argparse
import importlib.util
import os
import pathlib
import runpy
import subprocess
import sys
import threading
import types

import pytest

from pipeline import records
from studies import presets

PATH = pathlib.Path(__file__).resolve().parents[2] / "scripts" / "reproduce.py"


@pytest.fixture
def reproduce():
    """The script as a module of its own."""
    specification = importlib.util.spec_from_file_location("reproduce", PATH)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def arguments(**changes):
    made = {
        "study": "dare",
        "preset": "fake",
        "dry_run": False,
        "status": False,
        "workers": 1,
        "runs": "runs",
        "data_dir": None,
        "unverified": False,
        "quiet": True,
        **dict.fromkeys(("dataset", "model", "seed", "cluster")),
    }
    return types.SimpleNamespace(**made | changes)


@pytest.fixture
def fake(reproduce, monkeypatch, tmp_path):
    """A study of two cells and three stages whose processes are recorded instead of begun: .ran, .codes.

    codes: (stage, seed) -> exit status, 0 for those that are not there; with .meet, a stage "1_train" waits for that
    of the other cell.
    """
    preset = {"cells": [("digits", "alexnet", 0), ("digits", "alexnet", 1)], "1_train": ["--epochs", "2"]}
    study = {"stages": ("1_train", "2_slice"), "optional": (), "last": "8_tables", "presets": {"fake": preset}}
    monkeypatch.setattr(reproduce, "STUDIES", {"dare": study})
    monkeypatch.chdir(tmp_path)
    state = types.SimpleNamespace(ran=[], codes={}, meet=None, main=reproduce.main)

    def run(line, check):
        assert line[0] == sys.executable and pathlib.Path(line[1]).is_file()
        stage = pathlib.Path(line[1]).stem
        seed = line[line.index("--seed") + 1] if "--seed" in line else None
        if state.meet is not None and stage == "1_train":
            state.meet.wait(timeout=20)
        state.ran.append((stage, seed))
        return subprocess.CompletedProcess(line, state.codes.get((stage, seed), 0))

    monkeypatch.setattr(reproduce.subprocess, "run", run)
    return state


@pytest.mark.parametrize("preset", ["quick", "small", "paper"])
def test_dry_run_prints_commands_that_the_scripts_accept(reproduce, preset, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    given = arguments(preset=preset, dry_run=True, data_dir="files", unverified=True, workers=2)
    assert reproduce.main(given) == 0
    *lines, trained, crafting, white_box, last = capsys.readouterr().out.splitlines()
    assert not list(tmp_path.iterdir())
    size = {"quick": 0.04, "small": 0.2, "paper": 558.7}[preset]
    assert last.startswith("# ") and float(last.split()[1]) == pytest.approx(size, abs=0.06)
    images = {"quick": 719 * 30, "small": (3 * 30_000 + 25_000) * 24, "paper": 9 * (25_000 + 36_629 + 30_000) * 200}
    assert f"(1_train {images[preset]:,}," in trained and trained.startswith("# images trained on, at most: ")
    crafted = {"quick": 230 * 1600, "small": 4 * 1400 * 1600, "paper": 27 * 11_000 * 1600}[preset]
    assert f"pgd {crafted:,}" in crafting and crafting.startswith("# input gradients of crafting, at most: fgsm ")
    assert white_box.startswith("# input gradients of white-box tests, at most: pgd ")
    scripts = {path.name for path in (PATH.parent / "dare").glob("*.py")}
    if preset == "quick":
        scripts -= {"9_what_matters.py", "10_white_box.py"}
    assert {line.split()[1].rsplit("/", 1)[-1] for line in lines} == scripts
    assert len(lines) == {"quick": 7, "small": 12, "paper": 9}[preset] * len(presets.DARE[preset]["cells"]) + 1
    for line in {line.replace("--seed 1", "--seed 0").replace("--seed 2", "--seed 0") for line in lines}:
        accepted(line, monkeypatch)


@pytest.mark.parametrize("preset", ["quick", "small", "paper"])
def test_dry_run_of_robust_training(reproduce, preset, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert reproduce.main(arguments(study="robust_training", preset=preset, dry_run=True, data_dir="files")) == 0
    *lines, trained, _, white_box, _ = capsys.readouterr().out.splitlines()
    passes = {
        "quick": 3 * 60 * 1238,
        "small": 4 * 27 * 40 * 10_000 + 2 * 20_000 * 10 * 8,
        "paper": round(3 * 49_000 * 50 * every_pass()) + 49_000 * 200 * 8,
    }[preset]
    assert trained == f"# images trained on, at most: {passes:,} (robust_training/1_train {passes:,})"
    assert f"pgd-20 {2 * 3 * 200 * 20:,}," in white_box or preset != "quick"
    assert len(lines) == 2 * len(presets.ROBUST[preset]["cells"]) + 1
    for line in {one for one in lines if "3_tables" not in one and "--seed 0" in one}:
        accepted(line, monkeypatch)
    baseline = [line for line in lines if " resnet18" in line]
    assert len(baseline) == {"quick": 0, "small": 4, "paper": 2}[preset]
    assert all("--setup pgd-baseline" in line or "--attack pgd-7" in line for line in baseline)


@pytest.mark.parametrize("preset", ["quick", "small", "paper"])
def test_dry_run_of_the_class_wise_study(reproduce, preset, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert reproduce.main(arguments(study="classwise", preset=preset, dry_run=True, data_dir="files")) == 0
    *lines, trained, _, white_box, _ = capsys.readouterr().out.splitlines()
    stages = [line.split()[1].rsplit("scripts/", 1)[-1] for line in lines]
    assert stages[:3] == ["robust_training/1_train.py", "robust_training/2_test.py", "classwise/1_attack.py"]
    assert {stage.partition("/")[2] for stage in stages[2:]} == {path.name for path in PATH.parent.glob("classwise/*")}
    if preset == "quick":  # two methods trained, two retrained and two trained with a lever, 40 passes each
        assert f"classwise/7_similar_classes {2 * 40 * 1238:,}" in trained
        assert f"classwise/9_levers {2 * 40 * 1238:,}" in trained
        assert f"fgsm {(2 + 2 + 4) * 200:,}," in white_box and f"into each class {2 * 60 * 9 * 20:,}," in white_box
        assert white_box.endswith(f"choice of levers {(6 + 8 + 2) * 200 * 10:,}")
    for line in lines[:-1]:
        if any(f"/{one}" in line for one in ("1_attack", "7_similar_classes", "9_levers")):
            accepted(line, monkeypatch)


def test_dry_run_of_guided_retraining(reproduce, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert reproduce.main(arguments(study="guided_retraining", preset="quick", dry_run=True, data_dir="files")) == 0
    *lines, trained, _, _, disk = capsys.readouterr().out.splitlines()
    assert len(lines) == 5 and "5_tables" in lines[-1] and disk == "# 0.0 GB of checkpoints under runs"
    retrained = 6 * 4 * (2 * (719 + 1438) + 90 + 180)  # six metrics, four epochs, two prefixes; c1 and c2, and c3
    assert f"at most: {retrained + 4 * 1258:,} (" in trained and f"4_retrain {retrained:,})" in trained
    for line in lines[:-1]:
        accepted(line, monkeypatch)


def test_cells_of_ones_own(reproduce, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    given = {"study": "robust_training", "preset": "quick", "dry_run": True}
    assert reproduce.main(arguments(**given, dataset=["digits", "mnist"], seed=[3, 4])) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if "1_train" in line and not line.startswith("#")]
    assert len(lines) == 4 and all("--model small_cnn@0.25" in line for line in lines)
    assert reproduce.main(arguments(study="dare", preset="small", dry_run=True, seed=[7])) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if "1_train" in line and not line.startswith("#")]
    assert len(lines) == 2 and all("--seed 7" in line for line in lines), "each pair of the preset once"


def test_a_cluster_gets_the_cells_and_says_how_far_they_are(reproduce, fake, monkeypatch, capsys):

    from pipeline import slurm

    asked = {}
    monkeypatch.setattr(
        slurm, "submit", lambda sweep, resources: asked.update(sweep=sweep, of=resources) or (["x"], "9")
    )
    options = {"cluster": "slurm", "gpus": 1, "cpus": 3, "memory": 5, "minutes": 60, "partition": None, "qos": "low"}
    options |= {"account": None, "sbatch": [("constraint", "a100"), ("exclusive", True)]}
    assert fake.main(arguments(**options)) == 0 and not fake.ran
    assert list(asked["sweep"].cells) == ["digits-alexnet-seed0", "digits-alexnet-seed1"] and asked["of"].gpus == 1
    assert asked["of"].qos == "low" and asked["of"].sbatch == {"constraint": "a100", "exclusive": True}
    assert "1 of 2 cells submitted, the tables after them in job 9" in capsys.readouterr().out
    found = {"state": "failed", "id": "7_0", "log": None}
    monkeypatch.setattr(slurm, "status", lambda sweep: dict.fromkeys(sweep.cells, found))
    assert fake.main(arguments(**options | {"status": True})) == 1
    said = capsys.readouterr().out
    assert said.startswith("0 done, 0 running, 0 waiting, 2 failed, 0 new") and "no log" in said
    assert "--dataset digits --model alexnet --seed 1" in said

    def refuse(sweep, resources):
        raise ValueError("sbatch is not on the PATH")

    monkeypatch.setattr(slurm, "submit", refuse)
    assert fake.main(arguments(**options)) == 2 and "sbatch is not on the PATH" in capsys.readouterr().err
    monkeypatch.setattr(slurm, "status", lambda sweep: refuse(sweep, None))
    assert fake.main(arguments(**options | {"status": True})) == 2
    assert capsys.readouterr().err == "reproduce.py: sbatch is not on the PATH\n"


def test_status_reads_the_run_directories_and_runs_nothing(reproduce, fake, tmp_path, capsys):
    cell = tmp_path / "runs" / "dare" / "digits-alexnet" / "seed1"
    for stage in ("train", "slice"):
        (cell / stage).mkdir(parents=True)
        (cell / stage / "run.json").write_text("{}")
    assert fake.main(arguments(status=True)) == 0 and not fake.ran
    first, left, command = capsys.readouterr().out.splitlines()
    assert first == "1 done, 0 running, 1 left"
    assert left == "left: digits-alexnet-seed0, 0 of 2 stages done, next:"
    assert "dare/1_train.py --dataset digits --model alexnet --seed 0 --runs runs" in command
    folder = tmp_path / "runs" / "dare" / "digits-alexnet" / "seed0" / "train"
    folder.mkdir(parents=True)
    (folder / "started.json").write_text("{}")
    held = records.lock(folder)
    assert fake.main(arguments(status=True)) == 0
    assert capsys.readouterr().out.startswith("1 done, 1 running, 0 left\nrunning: digits-alexnet-seed0, 0 of 2")
    os.close(held)
    assert fake.main(arguments(status=True)) == 0 and "0 running, 1 left" in capsys.readouterr().out


@pytest.mark.parametrize("study", presets.STUDIES)
def test_every_stage_of_every_study_is_known_to_status(reproduce, study, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert reproduce.main(arguments(study=study, preset="quick", status=True)) == 0
    said = capsys.readouterr().out
    assert said.startswith("0 done, 0 running, 1 left\n") and "1_train.py --dataset digits" in said
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("text", ["constraint=", "=a", "Con=a", "a b=c", "x=one\ntwo", "--x=1"])
def test_an_option_of_sbatch_that_is_none_is_refused(reproduce, text):
    with pytest.raises(argparse.ArgumentTypeError, match="expected NAME=VALUE or NAME"):
        reproduce.sbatch_option(text)


def every_pass():
    """Passes of all methods an epoch, FREE's persistent one an eighth as long (7 of 50 epochs)."""
    from train import robust

    return sum(one.passes * (7 / 50 if name == "free-8-persistent" else 1) for name, one in robust.METHODS.items())


def test_a_preset_has_options_of_its_own_for_a_data_set_and_model(reproduce):
    preset = {"1_train": {("a", "net"): ["--one"], ("b", "net"): ["--two"]}, "2_test": ["--both"]}
    for dataset, train in (("a", "--one"), ("b", "--two"), ("c", "--one")):
        assert reproduce.options_of(preset, "1_train", dataset, "net") == [train]
        assert reproduce.options_of(preset, "2_test", dataset, "net") == ["--both"]
    assert reproduce.options_of(preset, "3_tables", "a", "net") == []


def test_the_presets_have_every_method(reproduce):
    from train import robust

    assert presets.EVERY_METHOD == list(robust.METHODS)


def accepted(line, monkeypatch):
    """The script's own parser takes the options of a printed command."""
    import shlex

    from pipeline import command

    python, script, *options = shlex.split(line)
    assert python == "python" and pathlib.Path(script).is_file()
    parsed = []
    monkeypatch.setattr(sys, "argv", [script, *options])
    monkeypatch.setattr(command, "run", lambda main, parser: parsed.append(parser.parse_args()))
    runpy.run_path(script, run_name="__main__")
    assert parsed[0].runs == "runs" and parsed[0].data_dir == "files"


def test_a_cell_runs_stage_after_stage_and_the_tables_come_last(fake, capsys):
    assert fake.main(arguments()) == 0
    cells = [(stage, seed) for seed in "01" for stage in ("1_train", "2_slice")]
    assert fake.ran == [*cells, ("8_tables", None)]
    assert capsys.readouterr().out.count("$ python ") == 5


def test_workers_run_cells_at_the_same_time(fake):
    fake.meet = threading.Barrier(2)
    assert fake.main(arguments(workers=2)) == 0
    assert sorted(fake.ran[:4]) == [("1_train", "0"), ("1_train", "1"), ("2_slice", "0"), ("2_slice", "1")]
    assert fake.ran[4:] == [("8_tables", None)]


@pytest.mark.parametrize(("ended", "passed_on"), [(2, 2), (1, 1), (-9, 137)])
def test_a_failing_stage_ends_its_cell_and_passes_its_status_on(fake, capsys, ended, passed_on):
    fake.codes[("1_train", "0")] = ended
    assert fake.main(arguments()) == passed_on
    assert fake.ran == [("1_train", "0"), ("1_train", "1"), ("2_slice", "1"), ("8_tables", None)], "of the other cell"
    assert f"exit status {passed_on}: python" in capsys.readouterr().err


def test_where_every_cell_failed_there_are_no_tables(fake):
    fake.codes = {("1_train", seed): 2 for seed in "01"}
    assert fake.main(arguments()) == 2 and fake.ran == [("1_train", "0"), ("1_train", "1")]


def test_the_status_of_the_tables_is_passed_on(fake):
    fake.codes[("8_tables", None)] = 2
    assert fake.main(arguments()) == 2


@pytest.mark.parametrize("options", [["--workers", "0"], ["--workers", "x"], ["--preset", "huge"], ["--study", "x"]])
def test_wrong_options_end_with_status_2(options):
    done = subprocess.run([sys.executable, PATH, *options], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1 and "--help lists the options" in done.stderr
