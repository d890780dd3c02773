"""Open HDF5 files without HDF5's lock, and tell errors of the disk from damage of the file.

Files are whole or absent (data.files.atomic), so reading needs no lock. HDF5's own lock fails on a file system without
locks, and where another process holds one.
"""

from __future__ import annotations  # its types load no library (pipeline/late.py)

import contextlib
import functools
import io
import json
import os
import pathlib
import subprocess
import sys
import threading
from collections.abc import Iterator

import h5py

from data import damage

LOCK = threading.Lock()
environment = damage.environment


class Unfailing(io.BytesIO):
    """An open file for HDF5 in which no write fails.

    A failed write makes HDF5 crash the process later, with a segmentation fault. So the first error is kept in `error`,
    and nothing is written after it.
    """

    def __init__(self, raw, name):
        super().__init__()
        self.raw, self.name, self.error = raw, name, None

    def __str__(self):
        return self.name  # Keras looks at its ending

    def __fspath__(self):
        return self.name

    def write(self, block: bytes | memoryview) -> int:
        """The number of bytes of the block, also where the disk is full: `check` raises that error."""
        unwritten = memoryview(block).cast("B")
        size = len(unwritten)
        while self.error is None and len(unwritten):
            try:
                unwritten = unwritten[self.raw.write(unwritten) :]
            except OSError as error:
                self.error = error
        return size

    def truncate(self, size: int | None = None) -> int | None:
        """Set the size of the file; as `write`, it keeps an error for `check`."""
        if self.error is None:
            try:
                self.raw.truncate(size)
            except OSError as error:
                self.error = error
        return size

    def readinto(self, block: bytearray | memoryview) -> int:
        """Read into the block: the number of bytes read."""
        return self.raw.readinto(block)

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go to a position, as io.IOBase.seek: the new position."""
        return self.raw.seek(offset, whence)

    def tell(self) -> int:
        """The position in the file."""
        return self.raw.tell()

    def check(self) -> None:
        """Raise the first error, if there was one."""
        if self.error is not None:
            raise self.error


def read(path: str | pathlib.Path, *, known: bool = False) -> h5py.File:
    """The open h5py.File of `path`, without HDF5's lock. Errors as `check`.

    known: whether its digest or checksum was compared; the file is then as we wrote it, and is not checked again.
    """
    if not known:
        check(path)
    return h5py.File(path, "r", locking=False)


@contextlib.contextmanager
def reading(path: str | pathlib.Path, *, known: bool = False) -> Iterator[Unfailing]:
    """Yield an open file, without HDF5's lock, for Keras: ``load_weights(file)``, ``load_model(file)``.

    known and errors: as of `read`.
    """
    if not known:
        check(path)
    with open(path, "rb", buffering=0) as raw:
        yield Unfailing(raw, str(path))


def check(path: str | pathlib.Path, member: str | None = None) -> None:
    """Check an HDF5 file in another process, before this process opens it.

    member: name of the HDF5 file in the zip `path` (None: `path` is the file).
    Raises OSError where it is no HDF5 file, with an errno where the system is the cause. Raises ValueError where it
    refers to another file (HDF5 follows links, external storage and virtual data sets to any file of the machine),
    announces more bytes than its size allows (HDF5 fills in unwritten data), or where HDF5 crashes or does not end.
    """
    answer = _ask(path=os.path.abspath(path), member=member, allowed=damage.most(os.path.getsize(path)))
    if answer.get("system"):
        error = OSError(answer["error"]) if answer["errno"] is None else OSError(answer["errno"], answer["error"])
        raise damage.environment(error, path) or error
    if answer["error"]:
        raise ValueError(f"{path}: damaged ({damage.reason(answer['error'])}): delete it and make it again")


def _ask(**request):
    """The answer of data/hdf5_probe.py to a request."""
    with LOCK:
        process = _prober(os.getpid())
        if process.poll() is not None:  # it was killed
            _prober.cache_clear()
            process = _prober(os.getpid())
        process.stdin.write(json.dumps(request) + "\n")
        process.stdin.flush()
        return json.loads(process.stdout.readline() or '{"error": "", "system": true, "errno": 10}')


@functools.cache
def _prober(_process):
    """The process that checks files for this process and ends with it. Signals of the terminal do not reach it."""
    command = [sys.executable, "-P", str(pathlib.Path(__file__).with_name("hdf5_probe.py"))]
    settings = {"env": {**os.environ, "OPENBLAS_NUM_THREADS": "1"}, "text": True, "encoding": "utf-8"}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    return subprocess.Popen(command, process_group=0, **settings, **pipes)
