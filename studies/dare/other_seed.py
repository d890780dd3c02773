"""Which other seeds of a cell (data set, model) are trained by the same recipe."""

import shlex

from pipeline import run_directory
from train.history import History


def other(arguments, asked=None):
    """The seed `asked`, or else the next one of the cell's that is trained by the recipe of arguments.seed.

    Next is the smallest above arguments.seed, then the smallest. Raises FileNotFoundError with the command that trains
    one, and ValueError where the one that is asked for is the cell's own or trained by another recipe.
    """
    if asked == arguments.seed:
        raise ValueError(f"--other-seed {asked} is the seed of this cell: give another")
    own, alike = run_directory.folder(arguments, "train"), {}
    record = run_directory.record(own)
    for path in own.parents[1].glob("seed*/train/run.json"):
        seed = path.parents[1].name.removeprefix("seed")
        if seed.isdecimal() and int(seed) != arguments.seed:
            alike[int(seed)] = recipe(path.parent) == recipe(own)
    if asked is not None and not alike.get(asked, True):
        raise ValueError(f"seed {asked} was trained by another recipe than seed {arguments.seed}: train them alike")
    found = [seed for seed in alike if alike[seed] and asked in (None, seed)]
    if not found and History(own / "history").origin.get("imported"):
        raise FileNotFoundError(f"{arguments.model} was imported, and no other net of its recipe is known")
    if not found:
        seed = arguments.seed + 1 if asked is None else asked
        line = command(record, {"--seed": seed, "--runs": arguments.runs, "--data-dir": arguments.data_dir})
        whose = "another seed" if asked is None else f"seed {asked}"
        raise FileNotFoundError(f"no net of the same recipe from {whose}: make it with {line}")
    return min(found, key=lambda seed: (seed < arguments.seed, seed))


def recipe(folder):
    """What decides on the net of a finished train stage, seed apart: learning rates, augmentation, epochs, data."""
    return {name: value for name, value in History(folder / "history").origin.items() if name != "seed"}


def command(record, changes):
    """The command line of a finished stage, with other values (None: without the option)."""
    line = shlex.split(record["command"])
    for option, value in changes.items():
        while option in line:
            del line[line.index(option) : line.index(option) + 2]
        line = [one for one in line if not one.startswith(f"{option}=")]
        line += [] if value in (None, "runs") else [option, str(value)]
    return shlex.join(line)
