"""The run directory of a stage: what was asked, of which inputs, and what came out.

    stage = run.begin("slice", arguments, inputs=["train"])
    if stage is None:
        return                      # done before with the same arguments and inputs
    ... write files into stage.folder ...
    run.finish(stage)

``begin`` leaves a started.json, ``finish`` a run.json as the last file; a killed stage has only the first and is
continued when it is called again with the same arguments. A stage that fails before it wrote anything else is taken
back by ``abandon``.
"""

import contextlib
import dataclasses
import fcntl
import functools
import json
import os
import pathlib
import re
import resource
import shutil
import sys
import time

import keras

from data import files
from results import provenance

CHECKED_BY_READERS = re.compile(r"epoch-\d+\.weights\.h5$|(?<!\.weights)\.h5$")
NEUTRAL = ("command", "data_dir", "dry_run", "overwrite", "quiet", "runs", "tensorboard")


@dataclasses.dataclass(frozen=True)
class Stage:
    """A stage under way: its folder, its identity (arguments and input digests) and when it was begun.

    spent: seconds of the earlier sessions that it continues; made: the folders that were not there before; lock: the
    descriptor that keeps other processes out.
    """

    folder: pathlib.Path
    identity: dict
    begun: float
    spent: float
    resumed: bool
    made: tuple
    lock: int


_under_way = []


def folder(arguments, stage):
    """``<runs>/<study>/<dataset>-<model>/seed<k>/<stage>`` for the arguments of a stage."""
    kind, _, path = arguments.dataset.partition(":")
    dataset = f"{kind}-{pathlib.Path(path.partition('@')[0]).resolve().name}" if path else kind
    cell = pathlib.Path(arguments.runs) / arguments.study / f"{dataset}-{arguments.model}" / f"seed{arguments.seed}"
    return cell / stage


def begin(stage, arguments, inputs=()):
    """Open the folder of `stage`; None if run.json says that it is complete.

    arguments: the argparse namespace; inputs: names of the stages it reads. Raises FileNotFoundError for an input
    that is not there (naming the script that makes it) and ValueError where the folder holds the work of other
    arguments or inputs.
    """
    path = folder(arguments, stage)
    settings = {"backend": keras.backend.backend()}
    settings |= {name: value for name, value in sorted(vars(arguments).items()) if name not in NEUTRAL}
    identity = {
        "stage": stage,
        "arguments": json.loads(json.dumps(settings, default=str)),
        "inputs": {name: _result(folder(arguments, name)) for name in inputs},
    }
    _check_ancestry(arguments, inputs)
    done = path / "run.json"
    before = _before(path)
    if before is not None and not arguments.overwrite:
        difference = _difference(before, identity)
        if difference:
            raise ValueError(
                f"{path} holds a run with {difference}: pass --overwrite to replace it, or --runs for another folder"
            )
        if done.is_file():
            print(f"{stage}: done before, skipped ({path})")
            return None
    for name in inputs:
        intact(folder(arguments, name))
    made = tuple(one for one in (path, *path.parents) if not one.exists())
    path.mkdir(parents=True, exist_ok=True)
    lock = _lock(path)
    if _before(path) != before:  # another process was at work meanwhile
        os.close(lock)
        return begin(stage, arguments, inputs)
    for entry in path.iterdir() if arguments.overwrite else path.rglob(files.TEMPORARY + "*"):
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    resumed = before is not None and not arguments.overwrite
    spent = _spent(path, before) if resumed else 0.0
    files.write_sealed(path / "started.json", {**identity, "session_began": time.time(), "spent_s": spent})
    if resumed:
        print(f"{stage}: goes on with what was begun ({path})", flush=True)
    begun = Stage(path, identity, time.monotonic(), spent, resumed, made, lock)
    _under_way.append(begun)
    return begun


def finish(stage, **facts):
    """Write run.json: identity, provenance, digests of the outputs, and any further facts."""
    outputs = {
        str(path.relative_to(stage.folder)): files.digest(path)
        for path in sorted(stage.folder.rglob("*"))
        if path.is_file() and path.name != "started.json" and not path.name.startswith(".")
    }
    files.write_sealed(
        stage.folder / "run.json",
        {
            **stage.identity,
            **provenance.facts(),
            "resumed": stage.resumed,
            "wall_s": round(stage.spent + time.monotonic() - stage.begun, 1),
            "peak_memory_mib": peak_memory(),
            **facts,
            "outputs": outputs,
        },
    )
    (stage.folder / "started.json").unlink(missing_ok=True)
    _close(stage)


def abandon():
    """After an error: stages under way that wrote nothing leave no trace, the others keep what they have."""
    for stage in list(_under_way):
        if not _work(stage.folder):
            (stage.folder / "started.json").unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # not empty
                for path in stage.made:
                    path.rmdir()
        _close(stage)


def record(path):
    """The run.json of a finished stage's folder. Raises FileNotFoundError naming the script that makes it."""
    found = _read(path / "run.json")
    if found is None:
        name, _, which = path.name.partition("-")
        scripts = sorted((provenance.ROOT / "scripts" / path.parents[2].name).glob(f"*_{name}.py"))
        script = scripts[0].relative_to(provenance.ROOT) if scripts else name
        raise FileNotFoundError(
            f"{path / 'run.json'}: no such file; make it with {script}{f', which makes {which}' if which else ''}"
        )
    return found


def intact(path):
    """Raise ValueError where a file of a finished stage's folder is not the one that its run.json tells of.

    But for what mining may drop, and for the artefacts and epochs, many gigabytes, whose readers check them.
    """
    for name, digest in record(path)["outputs"].items():
        file = path / name
        if CHECKED_BY_READERS.search(name) or (name.startswith("mined/") and not file.exists()):
            continue
        state = file.stat() if file.is_file() else None
        if state is None or _digest(file, state.st_mtime_ns, state.st_size) != digest:
            seen = "is gone" if state is None else "is not the file that the run wrote"
            raise ValueError(f"{file}: {seen}: delete {path} and make it again")


@functools.cache
def _digest(file, _modified, _size):
    """A file's digest, which a script of many stages takes once; the time and size are of the cache's key."""
    return files.digest(file)


def ancestors(arguments, stages):
    """The run.json of the given stages and of all that they were made from: name -> record, the earliest first."""
    found = {}
    for stage in stages:
        one = record(folder(arguments, stage))
        found |= ancestors(arguments, [name for name in one["inputs"] if name not in found]) | {stage: one}
    return found


def peak_memory():
    """MiB; the operating systems differ in the unit that they count in."""
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // unit


def _read(file):
    """A JSON file's object, None where there is no such file."""
    try:
        found = files.read_sealed(file, sealed=False)
    except FileNotFoundError:
        return None
    except ValueError:
        found = {}
    needed = {"arguments", "inputs"} | ({"outputs"} if file.name == "run.json" else set())
    if not needed <= found.keys():
        raise ValueError(f"{file}: damaged, or not the record of a run: delete {file.parent} and run its stage again")
    return found


def _spent(path, before):
    """Seconds that the sessions before this one worked: up to the last file that each of them wrote, since a killed
    process cannot say when it ended."""
    written = [entry.stat().st_mtime for entry in path.rglob("*") if entry.is_file() and entry.name != "started.json"]
    last = max(written, default=0.0) - before.get("session_began", float("inf"))
    return round(before.get("spent_s", 0.0) + max(0.0, last), 1)


def _before(path):
    """What is known of the work in a stage's folder: its run.json, or the started.json of one that is unfinished."""
    return _read(path / "run.json") or (_read(path / "started.json") if _work(path) else None)


def _work(path):
    """Whether a stage's folder holds anything besides started.json and leftovers of a killed process."""
    return any(
        entry.is_file() and entry.name != "started.json" and not entry.name.startswith(files.TEMPORARY)
        for entry in path.rglob("*")
    )


def _lock(path):
    """Keep other processes out of a stage's folder, as long as this one lives. Returns the descriptor to close."""
    lock = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(lock)
        raise ValueError(f"{path}: another process is at work on this stage; wait for it or stop it") from error
    except OSError:  # a file system without locks
        pass
    return lock


def _close(stage):
    _under_way.remove(stage)
    os.close(stage.lock)


def _check_ancestry(arguments, inputs):
    """Raise ValueError where an input was made from what has been replaced since."""
    for name, made in ancestors(arguments, inputs).items():
        for source, digest in made["inputs"].items():
            if digest != _result(folder(arguments, source)):
                raise ValueError(
                    f"{folder(arguments, name)}: made from another {source} than there is now: "
                    f"make {name} again with --overwrite"
                )


def _result(path):
    return files.fingerprint_json(record(path)["outputs"])


def _difference(before, now):
    for part in ("arguments", "inputs"):
        old, new = before.get(part, {}), now[part]
        for name in sorted({*old, *new}):
            if old.get(name) != new.get(name):
                what = f"another {name} as input" if part == "inputs" else f"{name} {old.get(name)!r}"
                return what if part == "inputs" else f"{what}, not {new.get(name)!r}"
    return None
