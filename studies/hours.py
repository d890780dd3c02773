"""How long commands take: seconds of their stages, as published rows and earlier runs on this machine measured them.

A stage that nobody measured counts as the one that is most alike (the same stage, else one of its kind, of another
model or data set), times as long as its net has more multiplications an image. That is a rough guide: numbers of images
and epochs that a command line changes are not in it.
"""

import contextlib
import pathlib
import statistics

import data
from pipeline import records, stages
from studies import publish


def sentence(commands, known, unfinished=False):
    """The sentence on the time of commands [python, script, *options].

    known: as `measured` gives it; unfinished: count the stages alone that are not done.
    """
    asked, exact, alike, total = 0, 0, 0, 0.0
    for command in commands:
        names, arguments = _stages(command)
        if names is None:
            asked += 1
            continue
        if unfinished:
            names = [name for name in names if records.state(records.folder(arguments, name)) != "done"]
        asked += len(names)
        for name in names:
            key = arguments.dataset, arguments.model, name
            if key in known:
                total, exact = total + known[key], exact + 1
            elif (seconds := _alike(key, known)) is not None:
                total, alike = total + seconds, alike + 1
    what = "hours left" if unfinished else "hours"
    if not exact + alike:
        return f"{what}: not known, as nobody measured any of the {asked} stages"
    said = [f"{exact} of {asked} stages as measured before"]
    said += [f"{alike} as a rough guide, by stages of other nets"] if alike else []
    said += [f"{asked - exact - alike} not measured"] if asked > exact + alike else []
    return f"{what}: {total / 3600:.1f} ({', '.join(said)})"


def _stages(command):
    """(the stages that a command makes, its arguments); None where they follow from what is not there yet."""
    _, path, *options = command
    module = stages.script(path)
    if not hasattr(module, "stages"):
        return [], None
    arguments = module.options().parse_args(options)
    try:
        return module.stages(arguments), arguments
    except FileNotFoundError:
        return None, arguments


def _alike(key, known):
    """Seconds of a stage by those that are most alike; None where there are none, or the net is not known."""
    from studies.estimate import work  # late: it builds nets, and reads this file

    dataset, model, stage = key
    same = [one for one in known if one[2] == stage]
    kind = same or [one for one in known if _kind(one[2]) == _kind(stage)]
    nets = [one for one in kind if one[0] in data.DATASETS]
    if not nets or dataset not in data.DATASETS:
        return None
    with contextlib.suppress(ValueError):  # a net that the catalogue has not
        own = work(dataset, model)
        return statistics.median(known[one] * own / work(*one[:2]) for one in nets)
    return None


def _kind(stage):
    return stage.rpartition("/")[2].partition("-")[0]


def measured(runs=None):
    """(data set, model, stage) -> seconds of the last published row that says, or of a run in the folder `runs`."""
    found = {}
    for row in publish.measured():
        for one in (row, *(row.get("origins") or ())):
            for stage, seconds in (one.get("wall_s") or {}).items():
                if seconds is not None:
                    found[row["dataset"], row["model"], stage] = seconds
    for path in sorted(pathlib.Path(runs).glob("*/*/seed*/*/run.json")) if runs else ():
        with contextlib.suppress(ValueError):  # damaged: its own stage says so
            made = records.read(path)
            if made and made.get("wall_s"):
                found[made["arguments"]["dataset"], made["arguments"]["model"], path.parent.name] = made["wall_s"]
    return found
