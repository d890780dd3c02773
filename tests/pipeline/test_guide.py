"""What a script says first and last: what it does, and the next command of the same cell."""

import argparse
import pathlib
import sys

import pytest

from pipeline import guide, signals

SCRIPTS = pathlib.Path(__file__).resolve().parents[2] / "scripts"
CELL = {"dataset": "mnist", "model": "alexnet@0.25", "seed": 1, "study": "dare", "runs": "my runs", "data_dir": "d"}


@pytest.fixture
def following(monkeypatch):
    """``following(script, ...)``: the next command after a script, without the folder of scripts."""

    def line(script, follower=None, **changes):
        monkeypatch.delenv(signals.PARENT, raising=False)
        monkeypatch.setattr(sys, "argv", [str(SCRIPTS / script)])
        sentence = guide.next_line(argparse.Namespace(**CELL | changes), follower)
        return sentence and sentence.replace(f"{SCRIPTS}/", "")

    return line


def test_the_next_command_is_of_the_same_cell(following):
    cell = "--dataset mnist --model alexnet@0.25 --seed 1"
    assert following("dare/1_train.py") == f"next: python dare/2_slice.py {cell} --runs 'my runs' --data-dir d"
    sentence = following("dare/2_slice.py", seed=0, runs="runs", data_dir=None, deterministic=True)
    assert sentence == "next: python dare/3_get_ats.py --dataset mnist --model alexnet@0.25 --deterministic"
    assert following("dare/1_train.py", quiet=True) is None
    assert following("dare/1_train.py", "4_generate").startswith("next: python dare/4_generate_adv.py ")


def test_tables_follow_the_last_stage_and_nothing_the_tables(following, monkeypatch):
    assert following("dare/7_test.py") == "next: python dare/8_tables.py --runs 'my runs' --data-dir d"
    ablation = following("ablation/1_vary.py")
    assert ablation == "next: python tables.py --study dare --runs 'my runs' --data-dir d"
    assert following("tables.py") is None and following("evaluate.py") is None
    monkeypatch.setattr(sys, "argv", [str(SCRIPTS / "dare/8_tables.py")])
    assert guide.next_line(argparse.Namespace(runs="runs")) is None


def test_a_script_that_another_process_runs_names_no_next_command(monkeypatch):
    monkeypatch.setattr(sys, "argv", [str(SCRIPTS / "dare/1_train.py")])
    monkeypatch.setenv(signals.PARENT, "1")
    assert guide.next_line(argparse.Namespace(**CELL)) is None


def test_the_first_line_is_what_the_script_does(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["a/1_train.py"])
    first_line = guide.first_line("Train a\nmodel.\n\nMore of it.", argparse.Namespace(**CELL))
    assert first_line == "1_train.py: Train a model (mnist, alexnet@0.25, seed 1)"
    assert guide.first_line("Do it.\n", argparse.Namespace(seed=0)) == "1_train.py: Do it"


def test_it_is_said_once_when_a_stage_begins_and_not_if_quiet(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["a/1_train.py"])
    for quiet, expected in ((False, "1_train.py: Do it (mnist, alexnet@0.25, seed 1)\n"), (True, "")):
        guide.announce("Do it.", argparse.Namespace(**CELL, quiet=quiet))
        guide.begin(), guide.begin()
        assert capsys.readouterr().out == expected
