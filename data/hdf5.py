"""HDF5 files opened so that the fault of a disk, or of who else has the file open, is not taken for the file's own.

Files here are whole or absent (data.files.atomic), so reading one needs no lock; HDF5's own is refused on a file system
without locks, and where another process holds one.
"""

import contextlib
import io
import math

import h5py

from data import damage

OBJECTS = 100_000  # groups and data sets of a file; a model of a hundred layers has about a thousand
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


def read(path):
    """The open h5py.File of `path`, without HDF5's lock. Raises OSError, with an errno where it is the system's, where
    it is no HDF5 file, and ValueError as `check`."""
    file = h5py.File(path, "r", locking=False)
    try:
        check(file, path)
    except (OSError, ValueError):
        file.close()
        raise
    return file


@contextlib.contextmanager
def reading(path):
    """Yield an open file, without HDF5's lock, for Keras to read: ``load_weights(file)``, ``load_model(file)``. Errors
    as `read`."""
    read(path).close()
    with open(path, "rb", buffering=0) as raw:
        yield Unfailing(raw, str(path))


def check(file, path):
    """Raise ValueError where an open h5py.File reads another file, or announces more than one of its size can hold.

    HDF5 follows links, external storage and virtual data sets to any file of the machine, and makes up what was never
    written. path: the file that it lies in.
    """
    with damage.named(path):
        left, seen, announced = [file], set(), 0
        while left:
            item = left.pop()
            place = h5py.h5o.get_info(item.id).addr
            if place in seen:
                continue
            seen.add(place)
            if len(seen) > OBJECTS:
                raise ValueError(f"it has more than {OBJECTS} objects")
            if isinstance(item, h5py.Group):
                for name in item:
                    if not isinstance(item.get(name, getlink=True), h5py.HardLink):
                        raise ValueError(f"{item.name}/{name} is a link, expected its own content")
                    left.append(item[name])
            elif isinstance(item, h5py.Dataset):
                if item.is_virtual or item.external:
                    raise ValueError(f"{item.name} is read from another file, expected its own content")
                sizes = (item.shape or (), item.chunks or ())
                announced += item.dtype.itemsize * max(math.prod(map(int, size)) for size in sizes)
                damage.check_size(path, announced)
