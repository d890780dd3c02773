"""The former stage, while --overwrite makes a new one in its place.

It waits beside its seed's folder. It is deleted when the new one is finished, and put back if that ends, by an error or
`kill -9`, before it has written a file.
"""

import os
import pathlib
import shutil

from data import files, ledger
from pipeline.records import finished, lock, present


def set_aside(path: pathlib.Path) -> bool:
    """Empty the locked folder of a stage; whether it is a new folder, for which the lock does not count.

    Where a former stage waits already, the folder holds what was begun in its place, which is deleted.
    """
    if _aside(path).exists():
        for entry in path.iterdir():
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
        return False
    path.rename(_aside(path))
    path.mkdir(exist_ok=True)
    return True


def put_back(path: pathlib.Path) -> None:
    """Put the former stage back where the new one has written nothing and nobody is at work.

    A new stage that is finished needs it no longer: a process was killed before it had deleted it.
    """
    if not _aside(path).exists() or (present(path) and not finished(path)):
        return
    path.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = lock(path)
    except BlockingIOError:
        return
    try:
        if finished(path):
            shutil.rmtree(_aside(path))
        elif not present(path):
            shutil.rmtree(path)
            _aside(path).rename(path)
    finally:
        os.close(descriptor)


def discard(path: pathlib.Path) -> None:
    """Delete the former stage, as far as that is possible: the new one is finished."""
    shutil.rmtree(_aside(path), ignore_errors=True)


def forget(path: pathlib.Path) -> None:
    """Delete the record and ledger of an unfinished stage."""
    for name in ("started.json", ledger.NAME):
        (path / name).unlink(missing_ok=True)


def _aside(path):
    """Where the former stage waits: a hidden folder in which nobody looks for a stage."""
    seed = path.parent
    return seed.resolve().parent / f"{files.TEMPORARY}{seed.name}-{path.name}"
