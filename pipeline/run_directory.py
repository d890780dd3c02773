"""The run directory of a stage: its arguments, inputs and outputs.

    stage = run_directory.begin("slice", arguments, inputs=["train"], uses={"layers": LAYERS[name]})
    if stage is None:
        return                      # finished before with the same arguments, catalogue entries and inputs
    ... write files into stage.folder ...
    run_directory.finish(stage)

``begin`` writes a started.json and starts a ledger of the written files (data/ledger.py); ``finish`` replaces both by a
run.json. A killed stage has no run.json, and continues when it is called again with the same arguments. ``abandon``
deletes a stage that fails before it has written any file. What is promised: docs/run_directory.md.
Reading run directories: pipeline/records.py; provenance of result rows: pipeline/lineage.py.
"""

import argparse
import contextlib
import dataclasses
import json
import os
import pathlib
import resource
import shutil
import sys
import time
from collections.abc import Sequence
from typing import Any

import keras

from data import files, ledger
from data import folder as image_folder
from pipeline import guide, provenance, records, replacement
from pipeline import resolved as catalogue
from pipeline.records import check_ancestors, complete, finished, folder, intact, lock, place, present, read, record

__all__ = [
    "Stage", "abandon", "begin", "finish", "finished", "folder", "intact", "peak_memory", "place", "record", "so_far",
]  # fmt: skip

NEUTRAL = ("command", "data_dir", "dry_run", "overwrite", "quiet", "runs", "tensorboard")
PATIENCE = 5  # tries at a lock, 0.1 s apart: a process that only asks whether a stage runs holds it for a moment


@dataclasses.dataclass(frozen=True)
class Stage:
    """An unfinished stage.

    folder: where it writes.
    identity: its arguments, catalogue entries and input digests.
    started_at: time.monotonic() at its start in this process.
    spent: seconds of earlier processes that it continues.
    resumed: whether it continues earlier work.
    processes: provenance.facts of each process that worked on it, this one's last ({} where an earlier version recorded
        none).
    created: the folders that did not exist before.
    lock: descriptor of the lock against other processes.
    """

    folder: pathlib.Path
    identity: dict
    started_at: float
    spent: float
    resumed: bool
    processes: tuple
    created: tuple
    lock: int


_unfinished = []


def begin(
    stage: str, arguments: argparse.Namespace, inputs: Sequence[str] = (), uses: dict | None = None
) -> Stage | None:
    """Open the folder of `stage`; None if the stage is finished.

    arguments: of the command line.
    inputs: names of the stages that it reads (pipeline/records.py).
    uses: name -> catalogue entry that affects the result (pipeline/resolved.py).
    A folder of images counts by its name, size and content, however its path is written.
    Raises FileNotFoundError for a missing input, naming the script that makes it, and ValueError where the folder has
    the work of other arguments, entries or inputs.
    """
    # What identifies the stage, against what is in its folder.
    path = folder(arguments, stage)
    replacement.put_back(path)
    settings = {"backend": keras.backend.backend()}
    settings |= {name: value for name, value in sorted(vars(arguments).items()) if name not in NEUTRAL}
    uses = dict(uses or {})
    _, _, images = str(settings.get("dataset")).partition("folder:")
    if images:
        uses["folder of images"] = {"name": image_folder.label(images), "content": image_folder.digest(images)}
    identity = {
        "stage": stage,
        "arguments": json.loads(json.dumps(settings, default=str)),
        "uses": catalogue.resolved(uses),
        "inputs": {name: records.result(place(path, name)) for name in inputs},
    }
    check_ancestors(path, inputs)
    before = _before(path)
    if before is not None and not arguments.overwrite:
        difference = _difference(before, identity)
        if difference:
            raise ValueError(
                f"{path} holds a run with {difference}: pass --overwrite to replace it, or --runs for another folder"
            )
        if finished(path):
            complete(path)
            print(f"{stage}: done before, skipped ({path})")
            return None
    for name in inputs:
        intact(place(path, name))

    # The folder, locked, emptied if it is to be overwritten, and without temporary files.
    created = tuple(parent for parent in (path, *path.parents) if not parent.exists())
    path.mkdir(parents=True, exist_ok=True)
    descriptor = _lock(path)
    if _before(path) != before:  # another process has worked on it meanwhile
        os.close(descriptor)
        return begin(stage, arguments, inputs, uses)
    if arguments.overwrite and path not in created:
        if replacement.set_aside(path):
            os.close(descriptor)
            descriptor = _lock(path)
    try:
        return _opened(path, identity, before if not arguments.overwrite else None, created, descriptor)
    except BaseException:
        os.close(descriptor)
        replacement.put_back(path)
        raise


def _opened(path, identity, before, created, lock):
    """The Stage in a locked folder, with its record and ledger. before: the record of the work that it continues."""
    stage = identity["stage"]
    for entry in path.rglob(files.TEMPORARY + "*"):
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    resumed = before is not None
    unnamed = _check_left(path)
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
    guide.begin()
    opened = Stage(path, identity, time.monotonic(), spent, resumed, tuple(processes), created, lock)
    _unfinished.append(opened)
    return opened


def so_far(stage: Stage) -> dict:
    """The provenance of a stage up to now, for its run.json.

    That of this process; of all processes where there were several ("processes"), and the facts that differ between
    them ("continued"); "dirty" if any was; "resumed"; and seconds ("wall_s").
    """
    changed = provenance.changes(stage.processes)
    return {
        **stage.processes[-1],
        "dirty": provenance.any_dirty([process.get("dirty") for process in stage.processes]),
        **({"processes": list(stage.processes)} if len(stage.processes) > 1 else {}),
        **({"continued": changed} if changed else {}),
        "resumed": stage.resumed,
        "wall_s": round(stage.spent + time.monotonic() - stage.started_at, 1),
    }


def finish(stage: Stage, **facts: Any) -> None:
    """Write run.json: identity, provenance, digests of the outputs, and any further facts.

    Raises FileNotFoundError where a file that the stage wrote is missing.
    """
    ledger.close(stage.folder)
    outputs = _outputs(stage)
    content = {**stage.identity, **so_far(stage), "peak_memory_mib": peak_memory(), **facts, "outputs": outputs}
    files.write_sealed(stage.folder / "run.json", content)
    replacement.forget(stage.folder)
    replacement.discard(stage.folder)
    _close(stage)


def abandon() -> None:
    """After an error: delete unfinished stages that wrote nothing, and put back what they were to replace.

    The others keep their files.
    """
    for stage in list(_unfinished):
        ledger.close(stage.folder)
        empty = not present(stage.folder)
        if empty:
            replacement.forget(stage.folder)
            with contextlib.suppress(OSError):  # not empty
                for path in stage.created:
                    path.rmdir()
        _close(stage)
        if empty and not stage.created:
            replacement.put_back(stage.folder)


def peak_memory() -> int:
    """Peak memory of this process in MiB. Operating systems report it in different units."""
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // unit


def _spent(path, before):
    """Seconds that earlier processes worked, each up to the last file that it wrote, since a killed process records no
    end."""
    written = [entry.stat().st_mtime for entry in path.rglob("*") if entry.is_file() and entry.name != "started.json"]
    last = max(written, default=0.0) - before.get("session_began", float("inf"))
    return round(before.get("spent_s", 0.0) + max(0.0, last), 1)


def _before(path):
    """The record in a stage's folder: run.json, or the started.json of an unfinished stage that wrote files."""
    return read(path / "run.json") or (read(path / "started.json") if present(path) else None)


def _check_left(path):
    """Raise ValueError unless the files of an unfinished stage are as it wrote them; expect them from now on.

    Returns the names of files that a process was about to write when it was killed.
    """
    written, existing = ledger.read(path), present(path)
    for name in existing:
        state, digests = written.get(name, (ledger.REMOVED, ()))
        if state == ledger.REMOVED:
            raise ValueError(f"{path / name}: was not written by this stage: move it elsewhere, or pass --overwrite")
        if digests and ledger.digest_once(path / name) not in digests:
            raise ValueError(f"{path / name}: is not the file that the stage wrote: pass --overwrite to make all anew")
    known = {name: digests for name, (_, digests) in written.items() if digests}
    missing = sorted({*known} - {*existing})
    for name in missing:
        if written[name][0] == ledger.NAMED:
            raise ValueError(f"{path / name}: is gone: put it back, or pass --overwrite to make all anew")
    ledger.expect(path, known)
    return missing


def _outputs(stage):
    """name -> digest of the files that a stage has written, from its ledger."""
    if not (stage.folder.is_dir() and os.path.samestat(os.fstat(stage.lock), stage.folder.stat())):
        raise FileNotFoundError(f"{stage.folder}: was deleted while its stage was at work: run the stage again")
    written, outputs = ledger.read(stage.folder), {}
    for name in present(stage.folder):
        _, digests = written.get(name, (ledger.CHANGING, ()))
        outputs[name] = digests[-1] if digests else files.digest(stage.folder / name)
    lost = [name for name, (state, digests) in written.items() if digests and name not in outputs]
    if lost:
        raise FileNotFoundError(f"{stage.folder / lost[0]}: was lost while its stage was at work: run the stage again")
    return outputs


def _lock(path):
    """Lock a stage's folder against other processes, for the life of this one. Returns the descriptor to close."""
    for tries_left in reversed(range(PATIENCE)):
        try:
            return lock(path)
        except BlockingIOError as error:
            if not tries_left:
                message = f"{path}: another process is at work on this stage; wait for it or stop it"
                raise ValueError(message) from error
            time.sleep(0.1)
    return None


def _close(stage):
    """Release a stage, finished or abandoned."""
    _unfinished.remove(stage)
    os.close(stage.lock)


def _difference(before, now):
    """What differs from an earlier run, in words, or None: an argument and a catalogue entry, or else an input.

    In a record of an earlier version, without "uses", catalogue entries are not compared.
    """
    changed = []
    for name in sorted({*before["arguments"], *now["arguments"]}):
        old, new = before["arguments"].get(name), now["arguments"].get(name)
        if old != new and not (name == "dataset" and "folder of images" in before.get("uses", {})):
            changed.append(f"{name} {old!r}, not {new!r}")
            break
    used = catalogue.difference(before["uses"], now["uses"]) if "uses" in before else None
    changed += [f"another {used}"] if used else []
    inputs = sorted({*before["inputs"], *now["inputs"]})
    replaced = [name for name in inputs if before["inputs"].get(name) != now["inputs"].get(name)]
    changed = changed or [f"another {name} as input" for name in replaced[:1]]
    return ", and ".join(changed) or None
