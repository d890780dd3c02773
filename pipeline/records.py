"""The records of finished stages: where a stage lies, its run.json, whether its files are the recorded ones, ancestors.

A stage names what it reads by its folder's name ("train"), that of another seed of its cell ("../seed1/train"), or that
of another study on the same data set, model and seed ("robust_training/train-pgd-7").
"""

import fcntl
import functools
import os
import pathlib
import re

from data import files
from pipeline import provenance

OUTPUTS = {"run.json": ("outputs",), "started.json": ()}
CHECKED_BY_READERS = re.compile(r"epoch-\d+\.weights\.h5$|(?<!\.weights)\.h5$")


def folder(arguments, stage):
    """``<runs>/<study>/<dataset>-<model>/seed<k>/<stage>`` for the arguments of a stage, or of what it reads."""
    kind, _, path = arguments.dataset.partition(":")
    dataset = f"{kind}-{pathlib.Path(path.partition('@')[0]).resolve().name}" if path else kind
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
    return found


def read(file):
    """The object in a run.json or started.json, None where there is no such file. Raises ValueError where damaged."""
    try:
        found = files.read_sealed(file, sealed=False)
    except FileNotFoundError:
        return None
    except ValueError:
        found = {}
    needed = {"uses": {}, **found}  # which an earlier version did not record
    if not all(isinstance(needed.get(name), dict) for name in ("arguments", "inputs", "uses", *OUTPUTS[file.name])):
        raise ValueError(f"{file}: damaged, or not the record of a run: delete {file.parent} and run its stage again")
    return found


def result(path):
    """The digest of what a finished stage made."""
    return files.fingerprint_json(record(path)["outputs"])


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
