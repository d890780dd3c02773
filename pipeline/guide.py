"""What a script says around its work: first what it does, last the command that comes next."""

import argparse
import os
import pathlib
import shlex
import sys

from pipeline import signals

CELL = ("dataset", "model", "seed")
SHARED = ("runs", "data_dir", "unverified")  # options of the tables as well
DEFAULTS = {"seed": 0, "runs": "runs"}
_waiting = []  # the line that the first stage of this process begins with


def first_line(description: str, arguments: argparse.Namespace) -> str:
    """One line: what the script does, and on which cell.

    description: the script's docstring, of which the first paragraph counts; arguments: of the command line.
    """
    sentence = description.partition("\n\n")[0].replace("\n", " ").strip(" .")
    cell = [str(getattr(arguments, name)) for name in CELL[:2] if getattr(arguments, name, None)]
    return f"{_program()}: {sentence}" + (f" ({', '.join(cell)}, seed {arguments.seed})" if cell else "")


def announce(description: str, arguments: argparse.Namespace) -> None:
    """Have `begin` say what the script does once its first stage begins: an error before that stays one sentence.

    description, arguments: as of `first_line`; --quiet prints nothing.
    """
    _waiting[:] = [] if getattr(arguments, "quiet", False) else [first_line(description, arguments)]


def begin() -> None:
    """Print the line of `announce`, once."""
    while _waiting:
        print(_waiting.pop(), flush=True)


def next_line(arguments: argparse.Namespace, follower: str | None = None) -> str | None:
    """The next command to type, of the same cell; None after the last one, if quiet, and where another process runs the
    scripts.

    arguments: of the command line.
    follower: the name of the next script, where it is not the one of the next number.
    """
    if getattr(arguments, "quiet", False) or signals.PARENT in os.environ or not hasattr(arguments, "model"):
        return None
    script = pathlib.Path(sys.argv[0])
    number = script.name.partition("_")[0]
    if not number.isdecimal():
        return None
    later = sorted(script.parent.glob(f"{follower or int(number) + 1}*.py"))
    if later:
        line = [str(later[0])]
        if not later[0].stem.endswith("tables"):
            line += _options(arguments, (*CELL, "deterministic"))
    else:
        line = [str(script.parent.parent / "tables.py"), "--study", arguments.study]
    return f"next: python {shlex.join([*line, *_options(arguments, SHARED)])}"


def _options(arguments, names):
    """Options as they are typed, without those at their defaults; data set and model are always named."""
    line = []
    for name in names:
        value, option = getattr(arguments, name, None), f"--{name.replace('_', '-')}"
        if value is True:
            line.append(option)
        elif value not in (None, False, DEFAULTS.get(name)):
            line += [option, str(value)]
    return line


def _program():
    return pathlib.Path(sys.argv[0]).name
