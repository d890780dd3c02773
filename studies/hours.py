"""The estimated time of commands, from the times of their stages in published rows and earlier runs on this machine.

A stage that trains is scaled by the images that its command and the measured one train on. The time of an unmeasured
stage is that of the most similar stage (the same stage, or one of its kind, for other models or data sets), scaled by
the multiplications per image too. This is a rough guide: other stages ignore changed numbers of images.
"""

import contextlib
import functools
import io
import pathlib
import statistics
from collections.abc import Sequence

import data
from pipeline import records, stages
from studies import publish

ROOT = pathlib.Path(__file__).resolve().parents[1]  # commands of published rows name their script from here


def sentence(
    commands: Sequence[list[str]], known: dict[tuple, tuple[float, str | None]], unfinished: bool = False
) -> str:
    """The sentence on the time of commands [python, script, *options].

    known: as returned by `measured`
    unfinished: count only stages that are not done
    """
    count, exact, alike, total = 0, 0, 0, 0.0
    for command in commands:
        names, arguments = _stages(command)
        if names is None:
            count += 1
            continue
        if unfinished:
            names = [name for name in names if records.state(records.folder(arguments, name)) != "done"]
        count += len(names)
        for name in names:
            key = arguments.dataset, arguments.model, name
            if key in known:
                total, exact = total + _scaled(known[key], command), exact + 1
            elif (seconds := _alike(key, known, command)) is not None:
                total, alike = total + seconds, alike + 1
    what = "hours left" if unfinished else "hours"
    if not exact + alike:
        return f"{what}: not known, as nobody measured any of the {count} stages"
    parts = [f"{exact} of {count} stages as measured before"]
    parts += [f"{alike} as a rough guide, by stages of other nets"] if alike else []
    parts += [f"{count - exact - alike} not measured"] if count > exact + alike else []
    return f"{what}: {total / 3600:.1f} ({', '.join(parts)})"


def _stages(command):
    """(a command's stages, its arguments); stages are None if they depend on files that do not exist yet."""
    _, path, *options = command
    module = stages.script(path)
    if not hasattr(module, "stages"):
        return [], None
    arguments = module.options().parse_args(options)
    try:
        return module.stages(arguments), arguments
    except FileNotFoundError:
        return None, arguments


def _scaled(timed, command):
    """Measured seconds, scaled by the images that `command` trains on over those of the measured command."""
    seconds, measured_by = timed
    own, other = _trained(tuple(command)), _trained(tuple(measured_by.split())) if measured_by else None
    return seconds * own / other if own and other else seconds


@functools.cache
def _trained(command):
    """The images that a stage of a command trains on; None if its script does not say, or takes other options now."""
    with contextlib.suppress(ValueError, FileNotFoundError, SystemExit), contextlib.redirect_stderr(io.StringIO()):
        command = (command[0], str(ROOT / command[1]), *command[2:])
        module = stages.script(command[1])
        names, arguments = _stages(command)
        if hasattr(module, "cost") and names and arguments.dataset in data.DATASETS:
            return module.cost(arguments).images / len(names)
    return None


def _alike(key, known, command):
    """The estimated seconds of a stage from the most similar ones; None without any, or for an unknown net."""
    from studies.estimate import work  # late: it imports this module

    dataset, model, stage = key
    same = [timed for timed in known if timed[2] == stage]
    kind = same or [timed for timed in known if _kind(timed[2]) == _kind(stage)]
    nets = [timed for timed in kind if timed[0] in data.DATASETS]
    if not nets or dataset not in data.DATASETS:
        return None
    with contextlib.suppress(ValueError):  # a net outside the catalogue
        own = work(dataset, model)
        return statistics.median(_scaled(known[timed], command) * own / work(*timed[:2]) for timed in nets)
    return None


def _kind(stage):
    return stage.rpartition("/")[2].partition("-")[0]


def measured(runs: str | pathlib.Path | None = None) -> dict[tuple, tuple[float, str | None]]:
    """(data set, model, stage) -> (seconds, command), of the last published row, or of a run in the folder `runs`."""
    times = {}
    for row in publish.measured():
        for origin in (row, *(row.get("origins") or ())):
            commands = origin.get("commands") or {}
            for stage, seconds in (origin.get("wall_s") or {}).items():
                if seconds is not None:
                    times[row["dataset"], row["model"], stage] = seconds, commands.get(stage, origin.get("command"))
    for path in sorted(pathlib.Path(runs).glob("*/*/seed*/*/run.json")) if runs else ():
        with contextlib.suppress(ValueError):  # damaged: its own stage reports that
            record = records.read(path)
            if record and record.get("wall_s"):
                key = record["arguments"]["dataset"], record["arguments"]["model"], path.parent.name
                times[key] = record["wall_s"], record.get("command")
    return times
