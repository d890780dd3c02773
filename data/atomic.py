"""Files that are either whole or absent, and what a stage does with those that it made: link, delete."""

import contextlib
import os
import pathlib
import secrets
import shutil
import stat

from data import hdf5, ledger

TEMPORARY = ".writing-"
SPECIAL = {stat.S_IFLNK: "a link", stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}
SPECIAL |= dict.fromkeys((stat.S_IFCHR, stat.S_IFBLK), "a device")


@contextlib.contextmanager
def atomic(path):
    """Yield a temporary path in the folder of `path`; on success flush it and rename it to `path`.

    The temporary name ends like `path`, since Keras chooses a format by the ending; its modes are those of the umask.
    On any error the temporary file is removed and `path` is left as it was. Raises ValueError where `path` is anything
    but a regular file or nothing: renaming would put a file in the place of a link or device.
    """
    path = pathlib.Path(path)
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _check_replaceable(path)
        named = path.with_name(f"{TEMPORARY}{secrets.token_hex(4)}-{path.name}")
        os.close(os.open(named, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
        temporary = str(named)
        yield named
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
def atomic_hdf5(path):
    """As `atomic`, but yield an open file for ``h5py.File(file, "w")`` or ``model.save_weights(file)``.

    Its ``check()`` tells of a full disk before the end.
    """
    with atomic(path) as temporary, open(temporary, "wb+", buffering=0) as raw:
        file = hdf5.Unfailing(raw, temporary.name)
        yield file
        file.check()


def remove(path):
    """Delete a file, or a folder with all below it, that a stage made itself; none is no error."""
    path = pathlib.Path(path)
    for entry in [one for one in path.rglob("*") if one.is_file()] if path.is_dir() else [path]:
        ledger.removed(entry)
        entry.unlink(missing_ok=True)
    if path.is_dir():
        shutil.rmtree(path)


def link(source, path):
    """Give the file `source` a second name, or copy it where the file system cannot; both are never written to."""
    with atomic(path) as temporary:
        temporary.unlink()
        try:
            os.link(source, temporary)
        except OSError:
            shutil.copyfile(source, temporary)
