"""Files that are either whole or absent: write, link and delete them."""

import contextlib
import os
import pathlib
import secrets
import shutil
import stat
import threading
from collections.abc import Iterator

from data import hdf5, ledger

TEMPORARY = ".writing-"
_unfinished = set()  # temporary paths
_ended = threading.Event()
SPECIAL = {stat.S_IFLNK: "a link", stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}
SPECIAL |= dict.fromkeys((stat.S_IFCHR, stat.S_IFBLK), "a device")


@contextlib.contextmanager
def atomic(path: str | pathlib.Path) -> Iterator[pathlib.Path]:
    """Yield a temporary path in the folder of `path`; on success flush the file and rename it to `path`.

    The temporary name ends like `path`, since Keras chooses a format by the ending; its modes follow the umask.
    On any error the temporary file is deleted and `path` stays as it was. Raises ValueError where `path` exists and is
    no regular file: renaming would replace a link or device.
    """
    path = pathlib.Path(path)
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _check_replaceable(path)
        writing = path.with_name(f"{TEMPORARY}{secrets.token_hex(4)}-{path.name}")
        os.close(os.open(writing, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
        temporary = str(writing)
        _unfinished.add(temporary)
        yield writing
        with open(temporary, "rb+") as stream:
            os.fsync(stream.fileno())
        ledger.wrote(path, temporary)
        os.replace(temporary, path)
        ledger.named(path)
    except OSError as error:
        if error.errno is None or error.filename not in (None, temporary):
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        if temporary is not None:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)
            _unfinished.discard(temporary)
        if _ended.is_set():  # the loss of the temporary file is no error of the caller's
            threading.Event().wait()


def discard() -> None:
    """Delete the temporary files of this process, which a signal ends; `path` of each stays as it was.

    Whoever writes one waits from now on for the end of the process.
    """
    _ended.set()
    for temporary in list(_unfinished):
        with contextlib.suppress(OSError):
            os.unlink(temporary)


def _check_replaceable(path):
    """Raise ValueError where something other than a regular file has the name `path`."""
    try:
        kind = stat.S_IFMT(os.lstat(path).st_mode)
    except FileNotFoundError:
        return
    if kind != stat.S_IFREG:
        seen = SPECIAL.get(kind, "no regular file")
        raise ValueError(f"{path}: is {seen}, expected a regular file or nothing of that name: name another file")


@contextlib.contextmanager
def atomic_hdf5(path: str | pathlib.Path) -> Iterator[hdf5.Unfailing]:
    """As `atomic`, but yield an open file for ``h5py.File(file, "w")`` or ``model.save_weights(file)``.

    Its ``check()`` raises the error of a full disk before the end.
    """
    with atomic(path) as temporary, open(temporary, "wb+", buffering=0) as raw:
        file = hdf5.Unfailing(raw, temporary.name)
        yield file
        file.check()


def remove(path: str | pathlib.Path) -> None:
    """Delete a file of a stage, or a folder with all files below it; a missing one is no error."""
    path = pathlib.Path(path)
    for entry in [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path]:
        ledger.removed(entry)
        entry.unlink(missing_ok=True)
    if path.is_dir():
        shutil.rmtree(path)


def link(source: str | pathlib.Path, path: str | pathlib.Path) -> None:
    """Hard-link the file `source` to `path`, or copy it where the file system has no links.

    Neither may be written to afterwards.
    """
    with atomic(path) as temporary:
        temporary.unlink()
        try:
            os.link(source, temporary)
        except OSError:
            shutil.copyfile(source, temporary)
