"""Which other seed of a cell is taken, and the command that is named where there is none."""

import argparse
import shlex

import pytest

from data import files
from pipeline import run_directory
from studies.dare import other_seed


@pytest.fixture
def cell(tmp_path):
    """``cell(seed, epochs=20)`` finishes a training; .arguments(seed) are those of a later stage."""

    def arguments(seed):
        return argparse.Namespace(
            runs=str(tmp_path), study="dare", dataset="digits", model="alexnet", seed=seed, data_dir=None
        )

    def train(seed, epochs=20, finished=True):
        folder = run_directory.folder(arguments(seed), "train")
        origin = {"recipe": {"momentum": 0.9}, "seed": seed, "epochs": epochs, "data": "d"}
        files.write_json(folder / "history" / "origin.json", origin)
        if finished:
            line = f"python scripts/dare/1_train.py --seed {seed} --epochs {epochs}"
            files.write_json(folder / "run.json", {"command": line, "arguments": {}, "inputs": {}, "outputs": {}})

    train.arguments = arguments
    return train


@pytest.mark.parametrize(("seed", "expected"), [(0, 2), (2, 5), (5, 0), (3, 5)])
def test_the_next_seed_of_the_same_recipe(cell, seed, expected):
    for trained in (0, 2, 5, seed):
        cell(trained)
    cell(1, epochs=10)
    cell(4, finished=False)
    assert other_seed.other(cell.arguments(seed)) == expected


def test_a_seed_that_is_asked_for(cell):
    cell(0)
    cell(3)
    cell(7, epochs=10)
    assert other_seed.other(cell.arguments(0), 3) == 3
    with pytest.raises(ValueError, match="--other-seed 0 is the seed of this cell"):
        other_seed.other(cell.arguments(0), 0)
    with pytest.raises(ValueError, match="seed 7 was trained with another recipe than seed 0"):
        other_seed.other(cell.arguments(0), 7)
    with pytest.raises(FileNotFoundError, match=r"from seed 9: make it with python scripts/dare/1_train.py .*--seed 9"):
        other_seed.other(cell.arguments(0), 9)


def test_without_another_seed_the_command_that_makes_one_is_named(cell, tmp_path):
    cell(4)
    cell(5, epochs=10)
    with pytest.raises(FileNotFoundError, match="from another seed") as error:
        other_seed.other(cell.arguments(4))
    line = shlex.split(str(error.value).partition("make it with ")[2])
    assert line[:2] == ["python", "scripts/dare/1_train.py"]
    options = dict(zip(line[2::2], line[3::2], strict=True))
    assert options == {"--epochs": "20", "--seed": "5", "--runs": str(tmp_path)}


def test_a_cell_that_is_not_trained_names_the_script(cell):
    with pytest.raises(FileNotFoundError, match=r"make it with scripts/dare/1_train\.py"):
        other_seed.other(cell.arguments(0))


def test_options_are_replaced_in_both_spellings():
    record = {"command": "python a.py --seed=3 --epochs 4 --seed 5"}
    assert other_seed.command(record, {"--seed": 6, "--data-dir": None}) == "python a.py --epochs 4 --seed 6"
