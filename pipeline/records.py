"""The records of finished stages: folder of a stage, run.json, comparison of its files with the record, ancestors.

A stage names its inputs by folder: "train" of the same cell, "../seed1/train" of another seed, or
"robust_training/train-pgd-7" of another study on the same data set, model and seed.
"""

import argparse
import fcntl
import os
import pathlib
from collections.abc import Iterable

from data import files, ledger
from data import folder as images
from pipeline import provenance

RECORDS = ("run.json", "started.json")
TEXTS = ("inputs", "outputs")  # entries of a record: name -> text
READ_BY_HDF5 = ".h5"  # such files are compared when they are read, not before


def folder(arguments: argparse.Namespace, stage: str) -> pathlib.Path:
    """``<runs>/<study>/<dataset>-<model>/seed<k>/<stage>``, of a stage or of one of its inputs.

    arguments: of the command line.
    """
    kind, _, path = arguments.dataset.partition(":")
    dataset = images.label(path) if path else kind
    cell = pathlib.Path(arguments.runs) / arguments.study / f"{dataset}-{arguments.model}" / f"seed{arguments.seed}"
    return place(cell / "stage", stage)


def place(path: pathlib.Path, name: str) -> pathlib.Path:
    """The folder of the input `name` of the stage in `path`."""
    first, _, stage = name.partition("/")
    if stage and first != "..":
        return path.parents[3] / first / path.parents[1].name / path.parents[0].name / stage
    return path.parents[1] / stage if stage else path.parent / name


def label(path: pathlib.Path, source: pathlib.Path) -> str:
    """The name of the stage in `source` for the stage in `path`: the inverse of `place`, or "dare/seed1/train"."""
    if source.parent == path.parent:
        return source.name
    if source.parents[1] == path.parents[1]:
        return f"../{source.parent.name}/{source.name}"
    seed = "" if source.parent.name == path.parent.name else f"{source.parent.name}/"
    return f"{source.parents[2].name}/{seed}{source.name}"


def finished(path: pathlib.Path) -> bool:
    """Whether a stage's folder holds a finished stage; its files are not compared (see `intact`)."""
    return (path / "run.json").is_file()


def record(path: pathlib.Path) -> dict:
    """The run.json of a finished stage's folder. Raises FileNotFoundError, naming the script that makes it."""
    stored = read(path / "run.json")
    if stored is None:
        name, _, which = path.name.partition("-")
        scripts = sorted((provenance.ROOT / "scripts" / path.parents[2].name).glob(f"*_{name}.py"))
        scripts = scripts or sorted((provenance.ROOT / "scripts").glob(f"*/*_{name}.py"))  # a study beside another's
        script = scripts[0].relative_to(provenance.ROOT) if scripts else name
        raise FileNotFoundError(
            f"{path / 'run.json'}: no such file; make it with {script}{f', which makes {which}' if which else ''}"
        )
    ledger.expect(path, stored["outputs"])
    return stored


def read(file: pathlib.Path) -> dict | None:
    """The object in a run.json or started.json, None where there is no such file. Raises ValueError where damaged."""
    try:
        stored = files.read_sealed(file, sealed=False)
    except FileNotFoundError:
        return None
    except ValueError:
        stored = {}
    if _is_record({"uses": {}, **({"outputs": {}} if file.name == "started.json" else {}), **stored}):
        return stored
    raise ValueError(f"{file}: damaged, or not the record of a run: delete {file.parent} and run its stage again")


def _is_record(value):
    """Whether an object has the entries of every record, with the right types."""
    objects = all(isinstance(value.get(name), dict) for name in ("arguments", "uses", *TEXTS))
    texts = objects and all(isinstance(text, str) for name in TEXTS for text in value[name].values())
    numbers = all(isinstance(value.get(name, 0), int | float) for name in ("wall_s", "spent_s", "session_began"))
    optional = isinstance(value.get("processes", []), list) and isinstance(value.get("command", ""), str)
    return texts and numbers and optional and all(isinstance(each, dict) for each in value.get("processes", []))


def result(path: pathlib.Path) -> str:
    """The digest of all outputs of a finished stage."""
    return files.fingerprint_json(record(path)["outputs"])


def intact(path: pathlib.Path) -> None:
    """Raise ValueError unless a finished stage's folder has exactly the files of its run.json, with their digests.

    HDF5 files, such as gigabytes of checkpoints, are compared one by one when they are read (data/ledger.py).
    """
    for name in complete(path):
        if not name.endswith(READ_BY_HDF5):
            ledger.check(path / name)


def complete(path: pathlib.Path) -> list[str]:
    """The names of a finished stage's files.

    Raises ValueError where a file is missing that neither the stage nor `--keep mined` deleted, and where there is an
    additional file.
    """
    recorded, existing = record(path)["outputs"], set(present(path))
    removed = {name for name, (state, _) in ledger.read(path).items() if state == ledger.REMOVED}
    missing, additional = sorted({*recorded} - existing - removed), sorted(existing - {*recorded})
    if missing:
        raise ValueError(f"{path / missing[0]}: is gone: put it back, or delete {path} and make it again")
    if additional:
        raise ValueError(f"{path / additional[0]}: was not written by the run: move it elsewhere")
    return sorted(existing)


def present(path: pathlib.Path) -> list[str]:
    """The names of the files in a stage's folder, at any depth, sorted; without its records and hidden files."""
    names = []
    for parent, folders, here in os.walk(path):
        folders[:] = [name for name in folders if not name.startswith(".")]
        names += [os.path.relpath(os.path.join(parent, name), path) for name in here if not name.startswith(".")]
    return sorted({*names} - {*RECORDS})


def ancestors(path: pathlib.Path, inputs: Iterable[str], *, left: bool = False) -> dict:
    """folder -> run.json of the inputs of the stage in `path`, of their inputs and so on, the earliest first.

    inputs: names, as in its record.
    left: only of the stages that are left; a circle ends.
    Raises without `left` FileNotFoundError, and ValueError where records refer to each other in a circle.
    """
    records = {}

    def visit(at, names, above):
        for name in names:
            source = place(at, name)
            if left and (source in above or not finished(source)):
                continue
            if source in above:
                raise ValueError(f"{source / 'run.json'}: made from itself: delete {source} and make it again")
            if source not in records:
                own = record(source)
                visit(source, own["inputs"], (*above, source))
                records[source] = own

    visit(path, inputs, (path,))
    return records


def check_ancestors(path: pathlib.Path, inputs: Iterable[str]) -> None:
    """Raise ValueError where an ancestor of the stage in `path` was made from outputs that have been replaced since.

    inputs: as of `ancestors`.
    """
    _check_current(ancestors(path, inputs))


def check_unmixed(path: pathlib.Path) -> None:
    """Raise ValueError where a finished stage or an ancestor was made from outputs that have been replaced since.

    Unlike `check_ancestors`, stages that are gone are not missed: what is left can still be reported.
    """
    own = record(path)
    _check_current(ancestors(path, own["inputs"], left=True) | {path: own})


def _check_current(records):
    """Raise ValueError unless the inputs of these stages that are left have the outputs that they were made from.

    records: folder -> run.json
    """
    for at, own in records.items():
        for name, digest in own["inputs"].items():
            if finished(place(at, name)) and digest != result(place(at, name)):
                raise ValueError(
                    f"{at}: made from another {name} than there is now: make {at.name} again with --overwrite"
                )


def lock(path: pathlib.Path) -> int:
    """An exclusive lock on a stage's folder: the descriptor to close.

    Raises BlockingIOError where another process has it.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise
    except OSError:  # a file system without locks
        pass
    if not (path.is_dir() and os.path.samestat(os.fstat(descriptor), path.stat())):  # replaced meanwhile
        os.close(descriptor)
        raise BlockingIOError(f"{path}: was replaced")
    return descriptor


def state(path: pathlib.Path) -> str:
    """The state of the stage in `path`: "done", "running" (a process has its lock), "begun" or "new"."""
    if finished(path):
        return "done"
    if not (path / "started.json").is_file():
        return "new"
    try:
        os.close(lock(path))
    except BlockingIOError:
        return "running"
    return "begun"
