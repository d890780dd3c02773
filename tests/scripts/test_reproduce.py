"""reproduce.py: the commands that a preset stands for, how they are run, and what a failure does."""

import argparse
import importlib.util
import math
import os
import pathlib
import re
import runpy
import subprocess
import sys
import threading
import time
import types

import pytest

from pipeline import records, slurm
from studies import catalogue, presets

PATH = pathlib.Path(__file__).resolve().parents[2] / "scripts" / "reproduce.py"


@pytest.fixture
def reproduce():
    """The script as a module of its own."""
    specification = importlib.util.spec_from_file_location("reproduce", PATH)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def arguments(**changes):
    options = {
        "study": "dare",
        "preset": "fake",
        "dry_run": False,
        "status": False,
        "workers": 1,
        "runs": "runs",
        "data_dir": None,
        "unverified": False,
        "quiet": True,
        **dict.fromkeys(("dataset", "model", "seed", "cluster", "minutes", "from_artefacts")),
    }
    return types.SimpleNamespace(**options | changes)


@pytest.fixture
def fake(reproduce, monkeypatch, tmp_path):
    """A study of two cells and three stages whose processes are recorded instead of begun: .ran, .codes.

    codes: (stage, seed) -> exit status, 0 for those that are not there; with .meet, a stage "1_train" waits for that
    of the other cell.
    """
    lines = (("dare/1_train", ["--epochs", "2"]), ("dare/2_slice", []))
    preset = [presets.Part((("digits", "alexnet", 0), ("digits", "alexnet", 1)), lines)]
    monkeypatch.setattr(reproduce, "STUDIES", {"dare": types.SimpleNamespace(presets=lambda: {"fake": preset})})
    monkeypatch.chdir(tmp_path)
    state = types.SimpleNamespace(ran=[], codes={}, meet=None, main=reproduce.main)

    def run(line, until):
        assert until == math.inf or until > time.monotonic()
        assert line[0] == sys.executable and pathlib.Path(line[1]).is_file()
        stage = pathlib.Path(line[1]).stem
        seed = line[line.index("--seed") + 1] if "--seed" in line else None
        if state.meet is not None and stage == "1_train":
            state.meet.wait(timeout=20)
        state.ran.append((stage, seed))
        return state.codes.get((stage, seed), 0)

    monkeypatch.setattr(reproduce.signals, "run", run)
    return state


EVERY = [(study, preset) for study in catalogue.STUDIES for preset in presets.load(study)]


@pytest.mark.parametrize(("study", "preset"), EVERY)
def test_dry_run_prints_commands_that_the_scripts_accept(reproduce, study, preset, tmp_path, monkeypatch, capsys):
    """Of every preset; and each line of costs is there."""
    monkeypatch.chdir(tmp_path)
    options = arguments(study=study, preset=preset, dry_run=True, data_dir="files", unverified=True, workers=2)
    assert reproduce.main(options) == 0
    lines = capsys.readouterr().out.splitlines()
    costs = [line for line in lines if line.startswith("# ")]
    starts = ("# images trained on by the training stages, at most: ", "# weights kept: ", "# hours: ")
    assert all(line.startswith(start) for line, start in zip(costs, starts, strict=True))
    assert not list(tmp_path.iterdir())
    for line in {re.sub("--seed [12] ", "--seed 0 ", line) for line in lines if line not in costs}:
        accepted(line, monkeypatch)
    if (study, preset) == ("dare", "paper"):
        images = 9 * (25_000 + 36_629 + 30_000) * 200 * 3  # and the two nets of distillation
        assert costs[0].endswith(f": {images:,}") and costs[1] == "# weights kept: 561.4 GB"


def test_minutes_end_a_run_and_no_tables_are_made(reproduce, fake, monkeypatch, capsys):
    """The stage that runs then is ended, none is begun afterwards, and the exit status says: try again."""
    clock = iter(range(0, 10_000, 30))  # seconds, half a minute a look
    monkeypatch.setattr(reproduce.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(reproduce.signals, "run", lambda line, until: fake.ran.append(line) or (143 if line else 0))
    assert fake.main(arguments(minutes=1)) == reproduce.NOT_YET == 75
    assert len(fake.ran) == 1, "the first stage was ended, as by SIGTERM; the other cell and the tables never began"
    assert "stopped after 1 minutes; the same command continues" in capsys.readouterr().err


def test_each_script_of_a_study_is_in_its_quick_preset():
    for study in catalogue.STUDIES:
        run = {script for part in presets.load(study)["quick"] for script, _ in part.commands}
        there = {f"{study}/{path.stem}" for path in (PATH.parent / study).glob("[0-9]*.py")} - {
            "dare/0_import",
            "dare/8_tables",
        }
        assert there <= run, study


def test_studies_that_share_a_cell_train_and_test_it_alike():
    """So that the presets of one size run one after the other, in whatever order, in one folder of runs."""

    def settings(options):
        return re.sub(r"--(method|variant)( (?!--)\S+)+", "", " ".join(options)).split()

    for study, preset in EVERY:
        for cell, commands in presets.cells(presets.load(study)[preset]).items():
            for script, options in commands:
                owner = script.partition("/")[0]
                own = presets.cells(presets.load(owner).get(preset, ())).get(cell, ()) if owner != study else ()
                alike = [settings(other) for name, other in own if name == script]
                assert not alike or settings(options) in alike, (study, preset, cell, script)


def test_cells_of_ones_own(reproduce, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    options = {"study": "robust_training", "preset": "quick", "dry_run": True}
    assert reproduce.main(arguments(**options, dataset=["digits", "mnist"], seed=[3, 4])) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if "1_train" in line and not line.startswith("#")]
    assert len(lines) == 4 and all("--model small_cnn@0.25" in line for line in lines)
    assert reproduce.main(arguments(study="dare", preset="small", dry_run=True, seed=[7])) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if "1_train" in line and not line.startswith("#")]
    assert len(lines) == 2 and all("--seed 7" in line for line in lines), "each pair of the preset once"


def test_a_cluster_gets_the_cells_and_says_how_far_they_are(reproduce, fake, monkeypatch, capsys):
    submitted = {}
    monkeypatch.setattr(
        slurm, "submit", lambda sweep, resources: submitted.update(sweep=sweep, of=resources) or (["x"], "9")
    )
    options = {"cluster": "slurm", "gpus": 1, "cpus": 3, "memory": 5, "minutes": 60, "partition": None, "qos": "low"}
    options |= {"account": None, "sbatch": [("constraint", "a100"), ("exclusive", True)]}
    assert fake.main(arguments(**options)) == 0 and not fake.ran
    assert (
        list(submitted["sweep"].cells) == ["digits-alexnet-seed0", "digits-alexnet-seed1"] and submitted["of"].gpus == 1
    )
    assert submitted["of"].qos == "low" and submitted["of"].sbatch == {"constraint": "a100", "exclusive": True}
    assert "1 of 2 cells submitted, the tables after them in job 9" in capsys.readouterr().out
    status = {"state": "failed", "id": "7_0", "log": None}
    monkeypatch.setattr(slurm, "status", lambda sweep: dict.fromkeys(sweep.cells, status))
    assert fake.main(arguments(**options | {"status": True})) == 1
    printed = capsys.readouterr().out
    assert printed.startswith("0 done, 0 running, 0 waiting, 2 failed, 0 new") and "no log" in printed
    assert "--dataset digits --model alexnet --seed 1" in printed

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
    first, time, unfinished, command = capsys.readouterr().out.splitlines()
    assert first == "1 done, 0 running, 1 left" and time.startswith("hours left: ") and " of 2 stages" in time
    assert unfinished == "left: digits-alexnet-seed0, 0 of 2 stages done, next:"
    assert "dare/1_train.py --dataset digits --model alexnet --seed 0 --runs runs" in command
    folder = tmp_path / "runs" / "dare" / "digits-alexnet" / "seed0" / "train"
    folder.mkdir(parents=True)
    (folder / "started.json").write_text("{}")
    descriptor = records.lock(folder)
    assert fake.main(arguments(status=True)) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("1 done, 1 running, 0 left\n") and "\nrunning: digits-alexnet-seed0, 0 of 2" in printed
    os.close(descriptor)
    assert fake.main(arguments(status=True)) == 0 and "0 running, 1 left" in capsys.readouterr().out


@pytest.mark.parametrize("study", catalogue.STUDIES)
def test_every_stage_of_every_study_is_known_to_status(reproduce, study, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert reproduce.main(arguments(study=study, preset="quick", status=True)) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("0 done, 0 running, 1 left\n") and "1_train.py --dataset digits" in printed
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("text", ["constraint=", "=a", "Con=a", "a b=c", "x=one\ntwo", "--x=1"])
def test_an_option_of_sbatch_that_is_none_is_refused(reproduce, text):
    with pytest.raises(argparse.ArgumentTypeError, match="expected NAME=VALUE or NAME"):
        reproduce.sbatch_option(text)


def test_the_paper_preset_of_robust_training_has_every_method():
    from train import robust

    (script, options), *_ = presets.load("robust_training")["paper"][0].commands
    assert script == "robust_training/1_train" and options == ["--method", *robust.METHODS]


def accepted(line, monkeypatch):
    """The script's own parser takes the options of a printed command."""
    import shlex

    from pipeline import command

    python, script, *options = shlex.split(line)
    assert python == "python" and pathlib.Path(script).is_file()
    parsed = []
    monkeypatch.setattr(sys, "argv", [script, *options])
    monkeypatch.setattr(command, "run", lambda main, parser, follower=None: parsed.append(parser.parse_args()))
    runpy.run_path(script, run_name="__main__")
    assert parsed[0].runs == "runs" and parsed[0].data_dir == "files"


def test_a_cell_runs_stage_after_stage_and_the_tables_come_last(fake, capsys):
    assert fake.main(arguments()) == 0
    cells = [(stage, seed) for seed in "01" for stage in ("1_train", "2_slice")]
    assert fake.ran == [*cells, ("tables", None)]
    assert capsys.readouterr().out.count("$ python ") == 5


def test_workers_run_cells_at_the_same_time(fake):
    fake.meet = threading.Barrier(2)
    assert fake.main(arguments(workers=2)) == 0
    assert sorted(fake.ran[:4]) == [("1_train", "0"), ("1_train", "1"), ("2_slice", "0"), ("2_slice", "1")]
    assert fake.ran[4:] == [("tables", None)]


@pytest.mark.parametrize("ended", [2, 1, 137])
def test_a_failing_stage_ends_its_cell_and_passes_its_status_on(fake, capsys, ended):
    fake.codes[("1_train", "0")] = ended
    assert fake.main(arguments()) == ended
    assert fake.ran == [("1_train", "0"), ("1_train", "1"), ("2_slice", "1"), ("tables", None)], "of the other cell"
    assert f"exit status {ended}: python" in capsys.readouterr().err


def test_where_every_cell_failed_there_are_no_tables(fake):
    fake.codes = {("1_train", seed): 2 for seed in "01"}
    assert fake.main(arguments()) == 2 and fake.ran == [("1_train", "0"), ("1_train", "1")]


def test_the_status_of_the_tables_is_passed_on(fake):
    fake.codes[("tables", None)] = 2
    assert fake.main(arguments()) == 2


@pytest.mark.parametrize("options", [["--workers", "0"], ["--workers", "x"], ["--preset", "huge"], ["--study", "x"]])
def test_wrong_options_end_with_status_2(options):
    completed = subprocess.run([sys.executable, PATH, *options], capture_output=True, text=True)
    assert completed.returncode == 2
    assert completed.stderr.count("\n") == 1 and "--help lists the options" in completed.stderr
