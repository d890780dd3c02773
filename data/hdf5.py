"""HDF5 files opened so that the fault of a disk, or of who else has the file open, is not taken for the file's own.

Files here are whole or absent (data.files.atomic), so reading one needs no lock; HDF5's own is refused on a file system
without locks, and where another process holds one.
"""

import contextlib
import errno
import io
import os

import h5py

OF_THE_FILE = (errno.EINVAL, errno.EOVERFLOW, errno.EFBIG)  # what the system says of places that a damaged file names


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


def read(path):
    """The open h5py.File of `path`, without HDF5's lock. Raises OSError, with an errno where it is the system's."""
    return h5py.File(path, "r", locking=False)


@contextlib.contextmanager
def reading(path):
    """Yield an open file, without HDF5's lock, for Keras to read: ``load_weights(file)``, ``load_model(file)``."""
    with open(path, "rb", buffering=0) as raw:
        yield Unfailing(raw, str(path))


def environment(error, path):
    """The OSError to raise, naming `path`, where an error is the system's answer (a lock, permissions, a failing disk)
    and says nothing of the file; None where it does."""
    if isinstance(error, OSError) and error.errno is not None and error.errno not in OF_THE_FILE:
        return OSError(error.errno, os.strerror(error.errno), str(path))
    return None
