"""The progress of cells on this machine, read from the run directories of their stages. Nothing is run."""

import dataclasses
import functools
import importlib.util
import pathlib
import types

from pipeline import records


@dataclasses.dataclass(frozen=True)
class Progress:
    """The progress of one cell.

    state: "done", "running" or "left".
    done, of: numbers of finished stages and of all stages.
    next: the first command that is not done, None where all are.
    """

    state: str
    done: int
    of: int
    next: list | None


@functools.cache
def script(path: str) -> types.ModuleType:
    """A numbered script as a module."""
    specification = importlib.util.spec_from_file_location(f"script_{pathlib.Path(path).stem}", path)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def progress(commands: list[list[str]]) -> Progress:
    """The Progress of one cell.

    commands: lists [python, script, *options]. A script's function ``stages(arguments)`` names the folders that it
        makes; a script without it makes none, and does not count.
    """
    by_command = [(command, states(command)) for command in commands]
    every = [state for _, of_command in by_command for state in of_command]
    unfinished = next((command for command, of_command in by_command if set(of_command) - {"done"}), None)
    state = "running" if "running" in every else "left" if unfinished else "done"
    return Progress(state, every.count("done"), len(every), unfinished)


def states(command: list[str]) -> list[str]:
    """The state (records.state) of every stage that a command makes."""
    _, path, *options = command
    module = script(path)
    if not hasattr(module, "stages"):
        return []
    arguments = module.options().parse_args(options)
    try:
        names = module.stages(arguments)
    except FileNotFoundError:  # the stages depend on outputs that do not exist yet
        return ["new"]
    return [records.state(records.folder(arguments, name)) for name in names]
