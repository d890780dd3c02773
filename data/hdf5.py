"""HDF5 files opened so that the fault of a disk, or of who else has the file open, is not taken for the file's own.

Files here are whole or absent (data.files.atomic), so reading one needs no lock; HDF5's own is refused on a file system
without locks, and where another process holds one.
"""

import contextlib
import functools
import io
import json
import os
import pathlib
import subprocess
import sys
import threading

import h5py

from data import damage

LOCK = threading.Lock()
environment = damage.environment


class Unfailing(io.BytesIO):
    """An open file for HDF5 to write to, in which no write fails: HDF5 ends the process (a segmentation fault, later
    and elsewhere) where one does. The first failure is kept in `error`, and nothing is written after it."""

    def __init__(self, raw, name):
        super().__init__()
        self.raw, self.name, self.error = raw, name, None

    def __str__(self):
        return self.name  # Keras looks at its ending

    def __fspath__(self):
        return self.name

    def write(self, block):
        rest = memoryview(block).cast("B")
        size = len(rest)
        while self.error is None and len(rest):
            try:
                rest = rest[self.raw.write(rest) :]
            except OSError as error:
                self.error = error
        return size

    def truncate(self, size=None):
        if self.error is None:
            try:
                self.raw.truncate(size)
            except OSError as error:
                self.error = error
        return size

    def readinto(self, block):
        return self.raw.readinto(block)

    def seek(self, offset, whence=0):
        return self.raw.seek(offset, whence)

    def tell(self):
        return self.raw.tell()

    def check(self):
        """Raise what went wrong so far."""
        if self.error is not None:
            raise self.error


def read(path, *, known=False):
    """The open h5py.File of `path`, without HDF5's lock. Raises as `check`.

    known: whether its digest or checksum was compared, so that it is as we wrote it and need not be looked at.
    """
    if not known:
        check(path)
    return h5py.File(path, "r", locking=False)


@contextlib.contextmanager
def reading(path, *, known=False):
    """Yield an open file, without HDF5's lock, for Keras to read: ``load_weights(file)``, ``load_model(file)``. known
    and errors as of `read`."""
    if not known:
        check(path)
    with open(path, "rb", buffering=0) as raw:
        yield Unfailing(raw, str(path))


def check(path, member=None):
    """Look at an HDF5 file before this process does. member: its name where it lies in the zip `path`.

    Raises OSError, with an errno where it is the system's, where it is no HDF5 file, and ValueError where it reads
    another file (HDF5 follows links, external storage and virtual data sets to any file of the machine), announces more
    than one of its size can hold (HDF5 makes up what was never written), or where HDF5 crashes on it or does not end.
    """
    answer = _asked(path=os.path.abspath(path), member=member, allowed=damage.most(os.path.getsize(path)))
    if answer.get("system"):
        error = OSError(answer["said"]) if answer["errno"] is None else OSError(answer["errno"], answer["said"])
        raise damage.environment(error, path) or error
    if answer["said"]:
        raise ValueError(f"{path}: damaged ({damage.reason(answer['said'])}): delete it and make it again")


def _asked(**request):
    """The answer of data/hdf5_probe.py."""
    with LOCK:
        process = _prober(os.getpid())
        if process.poll() is not None:  # somebody ended it
            _prober.cache_clear()
            process = _prober(os.getpid())
        process.stdin.write(json.dumps(request) + "\n")
        process.stdin.flush()
        return json.loads(process.stdout.readline() or '{"said": "", "system": true, "errno": 10}')


@functools.cache
def _prober(_process):
    """The process that looks at files for this one, which it ends with; a signal to the terminal does not reach it."""
    command = [sys.executable, "-P", str(pathlib.Path(__file__).with_name("hdf5_probe.py"))]
    settings = {"env": {**os.environ, "OPENBLAS_NUM_THREADS": "1"}, "text": True, "encoding": "utf-8"}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    return subprocess.Popen(command, process_group=0, **settings, **pipes)
