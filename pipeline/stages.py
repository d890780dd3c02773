"""How far cells are on this machine: what their commands' stages left in the run directories. Nothing is run."""

import dataclasses
import functools
import importlib.util
import pathlib

from pipeline import records


@dataclasses.dataclass(frozen=True)
class Progress:
    """state: "done", "running" or "left"; done, of: stages; next: the first command that is not done, None where all
    are."""

    state: str
    done: int
    of: int
    next: list | None


@functools.cache
def script(path):
    """A numbered script as a module."""
    specification = importlib.util.spec_from_file_location(f"script_{pathlib.Path(path).stem}", path)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def progress(commands):
    """The Progress of one cell.

    commands: lists [python, script, *options]; a script's function ``stages(arguments)`` names the folders that it
    makes; one without it makes none, and does not count.
    """
    found = [(command, states(command)) for command in commands]
    every = [state for _, each in found for state in each]
    behind = next((command for command, each in found if set(each) - {"done"}), None)
    state = "running" if "running" in every else "left" if behind else "done"
    return Progress(state, every.count("done"), len(every), behind)


def states(command):
    """The state (records.state) of every stage that a command makes."""
    _, path, *options = command
    module = script(path)
    if not hasattr(module, "stages"):
        return []
    arguments = module.options().parse_args(options)
    try:
        names = module.stages(arguments)
    except FileNotFoundError:  # which they are follows from what is not there yet
        return ["new"]
    return [records.state(records.folder(arguments, name)) for name in names]
