"""The records of finished stages: where a stage lies, its run.json, whether its files are the recorded ones, ancestors.

A stage names what it reads by its folder's name ("train"), that of another seed of its cell ("../seed1/train"), or that
of another study on the same data set, model and seed ("robust_training/train-pgd-7").
"""

import fcntl
import os
import pathlib

from data import files, ledger
from data import folder as images
from pipeline import provenance

RECORDS = ("run.json", "started.json")
TEXTS = ("inputs", "outputs")  # of a record: name -> text
READ_BY_HDF5 = ".h5"  # such files are compared by who reads them, and not at all if nobody does


def folder(arguments, stage):
    """``<runs>/<study>/<dataset>-<model>/seed<k>/<stage>`` for the arguments of a stage, or of what it reads."""
    kind, _, path = arguments.dataset.partition(":")
    dataset = f"{kind}-{images.parse(path)[0].resolve().name}" if path else kind
    cell = pathlib.Path(arguments.runs) / arguments.study / f"{dataset}-{arguments.model}" / f"seed{arguments.seed}"
    return place(cell / "stage", stage)


def place(path, name):
    """The folder of what the stage in `path` names as an input."""
    first, _, stage = name.partition("/")
    if stage and first != "..":
        return path.parents[3] / first / path.parents[1].name / path.parents[0].name / stage
    return path.parents[1] / stage if stage else path.parent / name


def label(path, other):
    """What the stage in `path` calls the stage in `other`: the inverse of `place`, or "dare/seed1/train"."""
    if other.parent == path.parent:
        return other.name
    if other.parents[1] == path.parents[1]:
        return f"../{other.parent.name}/{other.name}"
    seed = "" if other.parent.name == path.parent.name else f"{other.parent.name}/"
    return f"{other.parents[2].name}/{seed}{other.name}"


def record(path):
    """The run.json of a finished stage's folder. Raises FileNotFoundError naming the script that makes it."""
    found = read(path / "run.json")
    if found is None:
        name, _, which = path.name.partition("-")
        scripts = sorted((provenance.ROOT / "scripts" / path.parents[2].name).glob(f"*_{name}.py"))
        scripts = scripts or sorted((provenance.ROOT / "scripts").glob(f"*/*_{name}.py"))  # a study beside another's
        script = scripts[0].relative_to(provenance.ROOT) if scripts else name
        raise FileNotFoundError(
            f"{path / 'run.json'}: no such file; make it with {script}{f', which makes {which}' if which else ''}"
        )
    ledger.expect(path, found["outputs"])
    return found


def read(file):
    """The object in a run.json or started.json, None where there is no such file. Raises ValueError where damaged."""
    try:
        found = files.read_sealed(file, sealed=False)
    except FileNotFoundError:
        return None
    except ValueError:
        found = {}
    if _is_record({"uses": {}, **({"outputs": {}} if file.name == "started.json" else {}), **found}):
        return found
    raise ValueError(f"{file}: damaged, or not the record of a run: delete {file.parent} and run its stage again")


def _is_record(found):
    """Whether an object has what every record has ("uses" earlier versions did not), each of its type."""
    objects = all(isinstance(found.get(name), dict) for name in ("arguments", "uses", *TEXTS))
    texts = objects and all(isinstance(text, str) for name in TEXTS for text in found[name].values())
    numbers = all(isinstance(found.get(name, 0), int | float) for name in ("wall_s", "spent_s", "session_began"))
    others = isinstance(found.get("processes", []), list) and isinstance(found.get("command", ""), str)
    return texts and numbers and others and all(isinstance(each, dict) for each in found.get("processes", []))


def result(path):
    """The digest of what a finished stage made."""
    return files.fingerprint_json(record(path)["outputs"])


def intact(path):
    """Raise ValueError where a finished stage's folder does not hold the files that its run.json tells of, and no more.

    Epochs and other HDF5 files, many gigabytes, are compared one by one as they are read (data/ledger.py).
    """
    for name in complete(path):
        if not name.endswith(READ_BY_HDF5):
            ledger.check(path / name)


def complete(path):
    """The names of a finished stage's files. Raises ValueError where one is lost that the stage or `--keep mined` did
    not remove, and where there is one more."""
    listed, there = record(path)["outputs"], set(present(path))
    removed = {name for name, (state, _) in ledger.read(path).items() if state == ledger.REMOVED}
    lost, more = sorted({*listed} - there - removed), sorted(there - {*listed})
    if lost:
        raise ValueError(f"{path / lost[0]}: is gone: put it back, or delete {path} and make it again")
    if more:
        raise ValueError(f"{path / more[0]}: was not written by the run: move it elsewhere")
    return sorted(there)


def present(path):
    """The names of the files in a stage's folder, at any depth, but for its records and hidden ones, sorted."""
    names = []
    for folder, below, inside in os.walk(path):
        below[:] = [name for name in below if not name.startswith(".")]
        names += [os.path.relpath(os.path.join(folder, name), path) for name in inside if not name.startswith(".")]
    return sorted({*names} - {*RECORDS})


def ancestors(path, inputs):
    """folder -> run.json of what the stage in `path` reads and of all that this was made from, the earliest first.

    inputs: names, as in its record. Raises FileNotFoundError, and ValueError where records name each other in a circle.
    """
    found = {}

    def visit(at, names, above):
        for name in names:
            source = place(at, name)
            if source in above:
                raise ValueError(f"{source / 'run.json'}: made from itself: delete {source} and make it again")
            if source not in found:
                made = record(source)
                visit(source, made["inputs"], (*above, source))
                found[source] = made

    visit(path, inputs, (path,))
    return found


def check_ancestors(path, inputs):
    """Raise ValueError where something that the stage in `path` reads was made from what has been replaced since."""
    for at, made in ancestors(path, inputs).items():
        for source, digest in made["inputs"].items():
            if digest != result(place(at, source)):
                raise ValueError(
                    f"{at}: made from another {source} than there is now: make {at.name} again with --overwrite"
                )


def lock(path):
    """An exclusive lock on a stage's folder: the descriptor to close. Raises BlockingIOError where another has it."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise
    except OSError:  # a file system without locks
        pass
    if not (path.is_dir() and os.path.samestat(os.fstat(descriptor), path.stat())):  # replaced in between
        os.close(descriptor)
        raise BlockingIOError(f"{path}: was replaced")
    return descriptor


def state(path):
    """ "done", "running" (a process has its lock), "begun" or "new": how far the stage in `path` is."""
    if (path / "run.json").is_file():
        return "done"
    if not (path / "started.json").is_file():
        return "new"
    try:
        os.close(lock(path))
    except BlockingIOError:
        return "running"
    return "begun"
