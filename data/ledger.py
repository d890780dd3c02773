"""What files must hold: their SHA-256 as they were written, compared when they are read.

While a stage is unfinished its folder has a ledger, ``.written``: two lines for every file that ``data.files`` has put
there, ``<sha256>  <name>`` as sha256sum prints it, just before the file gets its name, and ``named  <name>`` after.
``removed  <name>`` follows where the stage deletes one itself, ``changing  <name>`` stands for one that grows in place
and is not compared. Of a finished stage run.json says the same. Either is *expected* here, and ``check`` compares.

Promises: docs/run_directory.md.
"""

import contextlib
import hashlib
import os
import pathlib

NAME = ".written"
REMOVED, CHANGING, NAMED = "removed", "changing", "named"

_kept = {}  # absolute folder -> descriptor of its open ledger
_expected = {}  # absolute path -> the digests that its content may have
_digests = {}  # _key of a file -> its digest, taken once


def keep(folder):
    """Note what is written below `folder` from now on. A ledger that is there already is continued."""
    path = os.path.abspath(folder)
    _kept[path] = os.open(os.path.join(path, NAME), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)


def close(folder):
    """Stop noting what is written below `folder`; its ledger stays."""
    descriptor = _kept.pop(os.path.abspath(folder), None)
    if descriptor is not None:
        os.close(descriptor)


@contextlib.contextmanager
def kept(folder):
    """`keep` and `close` around what is done in a folder."""
    keep(folder)
    try:
        yield
    finally:
        close(folder)


def read(folder):
    """name -> (state, digests) of a ledger: the state is its last line's first word, the digests are the last two.

    Two, since a process that was killed between line and rename leaves the file as it was; then its state is the
    digest itself, and else NAMED, REMOVED or CHANGING. {} where there is no ledger.
    """
    path, found = pathlib.Path(folder) / NAME, {}
    if not path.is_file():
        return found
    for line in path.read_bytes().decode("utf-8", "replace").split("\n")[:-1]:  # the last is empty, or was cut
        state, _, name = line.partition("  ")
        digests = found.get(name, ("", ()))[1]
        if state in (REMOVED, CHANGING):
            found[name] = (state, ())
        elif state == NAMED:
            found[name] = (state, digests)
        else:
            found[name] = (state, (*digests, state)[-2:])
    return found


def wrote(path, temporary):
    """Called before the file `temporary` becomes `path`: note and expect its digest.

    Raises FileNotFoundError where the folder of an unfinished stage was deleted or replaced meanwhile.
    """
    path = os.path.abspath(path)
    _expected.pop(path, None)
    if _folder_of(path) is not None and not os.path.basename(path).startswith("."):
        state = _digests[_key(path, os.stat(temporary))] = digest(temporary)
        _line(path, state)
        _expected[path] = (state,)


def named(path):
    """Called after a file that was noted got its name."""
    if not os.path.basename(path).startswith("."):
        _line(os.path.abspath(path), NAMED)


def removed(path):
    """Called where a stage deletes a file of its own."""
    _expected.pop(os.path.abspath(path), None)
    _line(os.path.abspath(path), REMOVED)


def changing(path):
    """Called for a file that grows in place: it is not compared while the stage is unfinished."""
    _line(os.path.abspath(path), CHANGING)


def expect(folder, digests):
    """From now on `check` compares the files of `folder`. digests: name -> SHA-256, or the several it may be."""
    for name, wanted in digests.items():
        _expected[os.path.join(os.path.abspath(folder), name)] = (wanted,) if isinstance(wanted, str) else tuple(wanted)


def check(path):
    """Whether it is known what a file must hold. Raises ValueError where it holds something else."""
    wanted = _expected.get(os.path.abspath(path))
    if not wanted:
        return False
    if digest_once(path) not in wanted:
        raise ValueError(f"{path}: is not the file that was written there: put it back, or delete {_stage(path)}")
    return True


def digest_once(path):
    """The SHA-256 of a file, taken once for as long as its time and size stay the same."""
    key = _key(os.path.abspath(path), os.stat(path))
    if key not in _digests:
        _digests[key] = digest(path)
    return _digests[key]


def digest(path, algorithm="sha256"):
    """The hexadecimal digest of a file's bytes."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, algorithm).hexdigest()


def _key(path, state):
    return path, state.st_mtime_ns, state.st_size, state.st_ino


def _folder_of(path):
    return next((folder for folder in _kept if path.startswith(folder + os.sep)), None)


def _line(path, state):
    folder = _folder_of(path)
    if folder is None:
        return
    descriptor, name = _kept[folder], os.path.relpath(path, folder)
    present = os.path.join(folder, NAME)
    if not (os.path.exists(present) and os.path.samestat(os.stat(present), os.fstat(descriptor))):
        raise FileNotFoundError(f"{folder}: was deleted or replaced while its stage was at work: run the stage again")
    os.write(descriptor, f"{state}  {name}\n".encode())


def _stage(path):
    """The folder of the stage that a file belongs to, as well as its name tells: the one with a record."""
    parents = pathlib.Path(path).parents
    return next((one for one in parents if (one / "run.json").is_file() or (one / NAME).is_file()), parents[0])
