"""Finds another seed of a cell (data set, model) that was trained with the same recipe."""

import argparse
import pathlib
import shlex

from pipeline import run_directory
from train.history import History


def other(arguments: argparse.Namespace, requested: int | None = None) -> int:
    """The seed `requested`, or the next seed of the cell that was trained with the recipe of arguments.seed.

    The next seed is the smallest above arguments.seed, or else the smallest of all.

    Raises FileNotFoundError with the command that trains such a seed, and ValueError if `requested` is arguments.seed
    or was trained with another recipe.
    """
    if requested == arguments.seed:
        raise ValueError(f"--other-seed {requested} is the seed of this cell: give another")
    own, alike = run_directory.folder(arguments, "train"), {}
    record = run_directory.record(own)
    for path in own.parents[1].glob("seed*/train/run.json"):
        seed = path.parents[1].name.removeprefix("seed")
        if seed.isdecimal() and int(seed) != arguments.seed:
            alike[int(seed)] = recipe(path.parent) == recipe(own)
    if requested is not None and not alike.get(requested, True):
        raise ValueError(
            f"seed {requested} was trained with another recipe than seed {arguments.seed}: train both alike"
        )
    seeds = [seed for seed in alike if alike[seed] and requested in (None, seed)]
    if not seeds and History(own / "history").origin.get("imported"):
        raise FileNotFoundError(f"{arguments.model} was imported, and no other net of its recipe is known")
    if not seeds:
        seed = arguments.seed + 1 if requested is None else requested
        line = command(record, {"--seed": seed, "--runs": arguments.runs, "--data-dir": arguments.data_dir})
        whose = "another seed" if requested is None else f"seed {requested}"
        raise FileNotFoundError(f"no net of the same recipe from {whose}: make it with {line}")
    return min(seeds, key=lambda seed: (seed < arguments.seed, seed))


def recipe(folder: pathlib.Path) -> dict:
    """The recipe of a finished train stage, without the seed: learning rates, augmentation, epochs, data."""
    return {name: value for name, value in History(folder / "history").origin.items() if name != "seed"}


def command(record: dict, changes: dict) -> str:
    """The command line of a finished stage with changed options. changes: option -> value (None: drop the option)."""
    line = shlex.split(record["command"])
    for option, value in changes.items():
        while option in line:
            del line[line.index(option) : line.index(option) + 2]
        line = [word for word in line if not word.startswith(f"{option}=")]
        line += [] if value in (None, "runs") else [option, str(value)]
    return shlex.join(line)
