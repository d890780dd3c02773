"""The ledger of a stage: SHA-256 of its files as they were written, compared when the files are read.

The folder of an unfinished stage has a ledger, ``.written``, with lines for the files that ``data.files`` writes:
    <sha256>  <name>    just before the file gets its name (the format of sha256sum)
    named  <name>       just after
    removed  <name>     the stage has deleted the file
    changing  <name>    the file grows in place, and is not compared
The run.json of a finished stage holds the same digests. `expect` takes the digests of either, and `check` compares.

What is promised: docs/run_directory.md.
"""

import contextlib
import hashlib
import os
import pathlib
from collections.abc import Iterator

NAME = ".written"
Path = str | os.PathLike
REMOVED, CHANGING, NAMED = "removed", "changing", "named"

_open = {}  # absolute folder -> descriptor of its open ledger
_expected = {}  # absolute path -> the digests that its content may have
_digests = {}  # _key of a file -> its digest, computed once


def keep(folder: Path) -> None:
    """Start the ledger of a folder, or continue an existing one."""
    path = os.path.abspath(folder)
    _open[path] = os.open(os.path.join(path, NAME), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)


def close(folder: Path) -> None:
    """Close the ledger of a folder; its file stays."""
    descriptor = _open.pop(os.path.abspath(folder), None)
    if descriptor is not None:
        os.close(descriptor)


@contextlib.contextmanager
def kept(folder: Path) -> Iterator[None]:
    """Context manager: `keep` and then `close`."""
    keep(folder)
    try:
        yield
    finally:
        close(folder)


def read(folder: Path) -> dict:
    """name -> (state, digests) of the files in a ledger; {} where there is no ledger.

    state: NAMED, REMOVED or CHANGING, or the digest where the process was killed before the file got its name.
    digests: the last two. A process that is killed between the line and the renaming leaves the older content.
    """
    path, entries = pathlib.Path(folder) / NAME, {}
    if not path.is_file():
        return entries
    for line in path.read_bytes().decode("utf-8", "replace").split("\n")[:-1]:  # the last is empty, or was cut
        state, _, name = line.partition("  ")
        digests = entries.get(name, ("", ()))[1]
        if state in (REMOVED, CHANGING):
            entries[name] = (state, ())
        elif state == NAMED:
            entries[name] = (state, digests)
        else:
            entries[name] = (state, (*digests, state)[-2:])
    return entries


def wrote(path: Path, temporary: Path) -> None:
    """Called before the file `temporary` is renamed to `path`: record and expect its digest.

    Raises FileNotFoundError where the folder of an unfinished stage was deleted or replaced meanwhile.
    """
    path = os.path.abspath(path)
    _expected.pop(path, None)
    if _folder_of(path) is not None and not os.path.basename(path).startswith("."):
        state = _digests[_key(path, os.stat(temporary))] = digest(temporary)
        _line(path, state)
        _expected[path] = (state,)


def named(path: Path) -> None:
    """Called after a recorded file got its name."""
    if not os.path.basename(path).startswith("."):
        _line(os.path.abspath(path), NAMED)


def removed(path: Path) -> None:
    """Called where a stage deletes a file of its own."""
    _expected.pop(os.path.abspath(path), None)
    _line(os.path.abspath(path), REMOVED)


def changing(path: Path) -> None:
    """Called for a file that grows in place: it is not compared while the stage is unfinished."""
    _line(os.path.abspath(path), CHANGING)


def expect(folder: Path, digests: dict) -> None:
    """Let `check` compare the files of `folder` from now on. digests: name -> SHA-256, or several admitted ones."""
    for name, admitted in digests.items():
        admitted = (admitted,) if isinstance(admitted, str) else tuple(admitted)
        _expected[os.path.join(os.path.abspath(folder), name)] = admitted


def check(path: Path) -> bool:
    """Whether a digest of the file is expected. Raises ValueError where the file has another one."""
    expected = _expected.get(os.path.abspath(path))
    if not expected:
        return False
    if digest_once(path) not in expected:
        raise ValueError(f"{path}: is not the file that was written there: put it back, or delete {_stage(path)}")
    return True


def digest_once(path: Path) -> str:
    """The SHA-256 of a file, computed once as long as its time and size stay the same."""
    key = _key(os.path.abspath(path), os.stat(path))
    if key not in _digests:
        _digests[key] = digest(path)
    return _digests[key]


def digest(path: Path, algorithm: str = "sha256") -> str:
    """The hexadecimal digest of a file's bytes."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, algorithm).hexdigest()


def _key(path, state):
    """The identity of a file's content: path and os.stat result."""
    return path, state.st_mtime_ns, state.st_size, state.st_ino


def _folder_of(path):
    """The folder with an open ledger that a file is in, or None."""
    return next((folder for folder in _open if path.startswith(folder + os.sep)), None)


def _line(path, state):
    """Append a line to the ledger of the file's folder, if it has one."""
    folder = _folder_of(path)
    if folder is None:
        return
    descriptor, name = _open[folder], os.path.relpath(path, folder)
    present = os.path.join(folder, NAME)
    if not (os.path.exists(present) and os.path.samestat(os.stat(present), os.fstat(descriptor))):
        raise FileNotFoundError(f"{folder}: was deleted or replaced while its stage was at work: run the stage again")
    os.write(descriptor, f"{state}  {name}\n".encode())


def _stage(path):
    """The folder of the stage that a file belongs to: the nearest parent with a record, else the file's folder."""
    parents = pathlib.Path(path).parents
    recorded = (parent for parent in parents if (parent / "run.json").is_file() or (parent / NAME).is_file())
    return next(recorded, parents[0])
