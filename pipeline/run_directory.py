"""The run directory of a stage: what was asked, of which inputs, and what came out.

    stage = run.begin("slice", arguments, inputs=["train"], uses={"layers": LAYERS[name]})
    if stage is None:
        return                      # done before with the same arguments, catalogue entries and inputs
    ... write files into stage.folder ...
    run.finish(stage)

``begin`` leaves a started.json and keeps a ledger of what is written (data/ledger.py), ``finish`` leaves a run.json in
their place; a killed stage has only the first two and is continued when it is called again with the same arguments. A
stage that fails before it wrote anything else is taken back by ``abandon``. What is promised: docs/run_directory.md.
Reading: pipeline/records.py; what made a row: pipeline/lineage.py.
"""

import contextlib
import dataclasses
import json
import os
import pathlib
import resource
import shutil
import sys
import time

import keras

from data import files, ledger
from pipeline import provenance
from pipeline import resolved as catalogue
from pipeline.records import check_ancestors, complete, folder, intact, lock, place, present, read, record, result

__all__ = ["Stage", "abandon", "begin", "finish", "folder", "intact", "peak_memory", "place", "record", "so_far"]

NEUTRAL = ("command", "data_dir", "dry_run", "overwrite", "quiet", "runs", "tensorboard")
PATIENCE = 5  # tries at a lock, a tenth of a second apart: who only looks whether a stage runs has it for a moment


@dataclasses.dataclass(frozen=True)
class Stage:
    """A stage under way: its folder, its identity (arguments, catalogue entries, input digests), when it was begun.

    spent: seconds of the earlier sessions that it continues; processes: the provenance.facts of each process that
    worked on it, this one's last ({} where an earlier version recorded none); made: the folders that were not there
    before; lock: the descriptor that keeps other processes out.
    """

    folder: pathlib.Path
    identity: dict
    begun: float
    spent: float
    resumed: bool
    processes: tuple
    made: tuple
    lock: int


_under_way = []


def begin(stage, arguments, inputs=(), uses=None):
    """Open the folder of `stage`; None if run.json says that it is complete.

    arguments: the argparse namespace; inputs: names of the stages it reads (pipeline/records.py); uses: name -> entry
    of a catalogue that decides on the result (pipeline/resolved.py). Raises FileNotFoundError for an input that is not
    there (naming the script that makes it) and ValueError where the folder holds the work of other arguments, entries
    or inputs.
    """
    path = folder(arguments, stage)
    settings = {"backend": keras.backend.backend()}
    settings |= {name: value for name, value in sorted(vars(arguments).items()) if name not in NEUTRAL}
    identity = {
        "stage": stage,
        "arguments": json.loads(json.dumps(settings, default=str)),
        "uses": catalogue.resolved(uses or {}),
        "inputs": {name: result(place(path, name)) for name in inputs},
    }
    check_ancestors(path, inputs)
    done = path / "run.json"
    before = _before(path)
    if before is not None and not arguments.overwrite:
        difference = _difference(before, identity)
        if difference:
            raise ValueError(
                f"{path} holds a run with {difference}: pass --overwrite to replace it, or --runs for another folder"
            )
        if done.is_file():
            complete(path)
            print(f"{stage}: done before, skipped ({path})")
            return None
    for name in inputs:
        intact(place(path, name))
    made = tuple(one for one in (path, *path.parents) if not one.exists())
    path.mkdir(parents=True, exist_ok=True)
    held = _lock(path)
    if _before(path) != before:  # another process was at work meanwhile
        os.close(held)
        return begin(stage, arguments, inputs, uses)
    if arguments.overwrite:
        held = _emptied(path, held)
    for entry in path.rglob(files.TEMPORARY + "*"):
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    resumed = before is not None and not arguments.overwrite
    try:
        unnamed = _check_left(path)
    except ValueError:
        os.close(held)
        raise
    spent = _spent(path, before) if resumed else 0.0
    processes = [*(before.get("processes") or [{}] if resumed else []), provenance.facts()]
    facts = {"session_began": time.time(), "spent_s": spent, "processes": processes}
    files.write_sealed(path / "started.json", {**identity, **facts})
    ledger.keep(path)
    for name in unnamed:
        ledger.removed(path / name)
    if resumed:
        changed = ", ".join(provenance.changes(processes))
        under = f", by code or on a machine that differs ({changed}): its record says so" if changed else ""
        print(f"{stage}: goes on with what was begun ({path}){under}", flush=True)
    begun = Stage(path, identity, time.monotonic(), spent, resumed, tuple(processes), made, held)
    _under_way.append(begun)
    return begun


def so_far(stage):
    """What made a stage up to now, as its run.json will say it: provenance of this process, of all of them where there
    were several ("processes"), what differed between these ("continued"), dirty if any was, seconds ("wall_s")."""
    changed = provenance.changes(stage.processes)
    return {
        **stage.processes[-1],
        "dirty": provenance.any_dirty([one.get("dirty") for one in stage.processes]),
        **({"processes": list(stage.processes)} if len(stage.processes) > 1 else {}),
        **({"continued": changed} if changed else {}),
        "resumed": stage.resumed,
        "wall_s": round(stage.spent + time.monotonic() - stage.begun, 1),
    }


def finish(stage, **facts):
    """Write run.json: identity, provenance, digests of the outputs, and any further facts.

    Raises FileNotFoundError where something that the stage wrote is not there any more.
    """
    ledger.close(stage.folder)
    outputs = _outputs(stage)
    made = {**stage.identity, **so_far(stage), "peak_memory_mib": peak_memory(), **facts, "outputs": outputs}
    files.write_sealed(stage.folder / "run.json", made)
    for name in ("started.json", ledger.NAME):
        (stage.folder / name).unlink(missing_ok=True)
    _close(stage)


def abandon():
    """After an error: stages under way that wrote nothing leave no trace, the others keep what they have."""
    for stage in list(_under_way):
        ledger.close(stage.folder)
        if not present(stage.folder):
            for name in ("started.json", ledger.NAME):
                (stage.folder / name).unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # not empty
                for path in stage.made:
                    path.rmdir()
        _close(stage)


def peak_memory():
    """MiB; the operating systems differ in the unit that they count in."""
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // unit


def _spent(path, before):
    """Seconds that the sessions before this one worked: up to the last file that each of them wrote, since a killed
    process cannot say when it ended."""
    written = [entry.stat().st_mtime for entry in path.rglob("*") if entry.is_file() and entry.name != "started.json"]
    last = max(written, default=0.0) - before.get("session_began", float("inf"))
    return round(before.get("spent_s", 0.0) + max(0.0, last), 1)


def _before(path):
    """What is known of the work in a stage's folder: its run.json, or the started.json of one that is unfinished."""
    return read(path / "run.json") or (read(path / "started.json") if present(path) else None)


def _check_left(path):
    """Raise ValueError unless the files of an unfinished stage are those that it wrote; expect them from now on.

    Returns the names of those that a process was about to write when it was killed.
    """
    written, there = ledger.read(path), present(path)
    for name in there:
        state, digests = written.get(name, (ledger.REMOVED, ()))
        if state == ledger.REMOVED:
            raise ValueError(f"{path / name}: was not written by this stage: move it elsewhere, or pass --overwrite")
        if digests and ledger.digest_once(path / name) not in digests:
            raise ValueError(f"{path / name}: is not the file that the stage wrote: pass --overwrite to make all anew")
    known = {name: digests for name, (_, digests) in written.items() if digests}
    missing = sorted({*known} - {*there})
    for name in missing:
        if written[name][0] == ledger.NAMED:
            raise ValueError(f"{path / name}: is gone: put it back, or pass --overwrite to make all anew")
    ledger.expect(path, known)
    return missing


def _emptied(path, held):
    """Replace a stage's folder by an empty one, at once, and delete the old one. Returns the new lock.

    Raises ValueError where another process takes it meanwhile.
    """
    old = path.with_name(f"{files.TEMPORARY}{path.name}")
    shutil.rmtree(old, ignore_errors=True)
    path.rename(old)
    path.mkdir(exist_ok=True)
    os.close(held)
    held = _lock(path)
    shutil.rmtree(old)
    return held


def _outputs(stage):
    """Name -> digest of what a stage has written, as its ledger says."""
    if not (stage.folder.is_dir() and os.path.samestat(os.fstat(stage.lock), stage.folder.stat())):
        raise FileNotFoundError(f"{stage.folder}: was deleted while its stage was at work: run the stage again")
    written, outputs = ledger.read(stage.folder), {}
    for name in present(stage.folder):
        _, digests = written.get(name, (ledger.CHANGING, ()))
        outputs[name] = digests[-1] if digests else files.digest(stage.folder / name)
    gone = [name for name, (state, digests) in written.items() if digests and name not in outputs]
    if gone:
        raise FileNotFoundError(f"{stage.folder / gone[0]}: was lost while its stage was at work: run the stage again")
    return outputs


def _lock(path):
    """Keep other processes out of a stage's folder, as long as this one lives. Returns the descriptor to close."""
    for left in reversed(range(PATIENCE)):
        try:
            return lock(path)
        except BlockingIOError as error:
            if not left:
                sentence = f"{path}: another process is at work on this stage; wait for it or stop it"
                raise ValueError(sentence) from error
            time.sleep(0.1)
    return None


def _close(stage):
    _under_way.remove(stage)
    os.close(stage.lock)


def _difference(before, now):
    """What an earlier run of a stage was made with and this one is not, in words; None where all is the same.

    A record without "uses", of an earlier version, is compared by what it has.
    """
    for name in sorted({*before["arguments"], *now["arguments"]}):
        old, new = before["arguments"].get(name), now["arguments"].get(name)
        if old != new:
            return f"{name} {old!r}, not {new!r}"
    used = catalogue.difference(before["uses"], now["uses"]) if "uses" in before else None
    if used:
        return f"another {used}"
    for name in sorted({*before["inputs"], *now["inputs"]}):
        if before["inputs"].get(name) != now["inputs"].get(name):
            return f"another {name} as input"
    return None
