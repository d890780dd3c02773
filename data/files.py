"""Files that are either whole or absent: atomic writes, digests, and HDF5 artefacts that say what they are.

An artefact is one HDF5 file with a root attribute ``kind`` (what it is), flat datasets, and JSON-able
attributes. It is written to a temporary name beside its own, flushed to the disk and renamed, so a killed
process or a full disk leaves the old file or none. Behind its end stands a checksum of all of it, so that a
byte that has changed since is found before HDF5 meets it.
"""

import contextlib
import csv
import hashlib
import io
import json
import os
import pathlib
import shutil
import tempfile
import zlib

import h5py
import numpy

from data import hdf5, ledger
from data.ledger import digest  # noqa: F401 (the name that readers of this module look for)

TEMPORARY = ".writing-"
SEAL = b"CRC-32 "  # and eight digits, behind the end of an artefact's HDF5


@contextlib.contextmanager
def atomic(path):
    """Yield a temporary path in the folder of `path`; on success flush it and rename it to `path`.

    The temporary name ends like `path`, since Keras chooses a format by the ending. On any error the
    temporary file is removed and `path` is left as it was.
    """
    path = pathlib.Path(path)
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=TEMPORARY, suffix="-" + path.name, dir=path.parent)
        os.close(handle)
        yield pathlib.Path(temporary)
        with open(temporary, "rb+") as stream:
            os.fsync(stream.fileno())
        os.chmod(temporary, 0o644)
        ledger.wrote(path, temporary)
        os.replace(temporary, path)
    except OSError as error:
        if error.errno is None or error.filename not in (None, temporary):
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        if temporary is not None:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)


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


def write_text(path, text):
    """Write `text` to `path` atomically (UTF-8)."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_csv(path, names, rows):
    """Dictionaries as lines of CSV under the columns `names`, whole or not at all."""
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())


def write_json(path, value):
    """Write `value` to `path` atomically as indented JSON with a final newline."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def write_sealed(path, value):
    """Write a JSON object and, among its names, its "digest", for `read_sealed`."""
    value = json.loads(json.dumps(value))
    write_json(path, {**value, "digest": fingerprint_json(value)})


def read_sealed(path, *, sealed=True):
    """The JSON object that `write_sealed` wrote. sealed: False admits one without a digest, of an earlier version.

    Raises FileNotFoundError, and ValueError where the file is not as it was written.
    """
    content = pathlib.Path(path).read_bytes()
    ledger.check(path)
    with _damage_named(path):
        found = json.loads(content.decode("utf-8"))
        digest = found.pop("digest", None) if isinstance(found, dict) else None
        if not isinstance(found, dict) or ((sealed or digest) and digest != fingerprint_json(found)):
            raise ValueError("not an object with its digest")
        return found


def fingerprint(*arrays):
    """SHA-256 over dtype, shape and bytes of the arrays: the identity that artefacts carry of their data."""
    total = hashlib.sha256()
    for array in arrays:
        array = numpy.ascontiguousarray(array)
        total.update(f"{array.dtype.str}{array.shape}".encode())
        total.update(array.data if array.size else b"")
    return total.hexdigest()


def save_artefact(path, kind, arrays, attributes=None):
    """Write `arrays` (name -> array, or an iterator of (shape, dtype, blocks) for streaming) as one artefact.

    A value may be a tuple ``(shape, dtype, blocks)``: `blocks` yields ``(row selection, values)`` and is
    written as it comes, so that the whole never lies in memory.
    """
    with atomic_hdf5(path) as sink:
        with h5py.File(sink, "w") as file:
            file.attrs["kind"] = kind
            for name, value in (attributes or {}).items():
                file.attrs[name] = json.dumps(value)
            for name, array in arrays.items():
                if isinstance(array, tuple):
                    shape, dtype, blocks = array
                    chunks = (1, *shape[1:]) if len(shape) > 1 and all(shape) else None
                    dataset = file.create_dataset(name, shape, dtype, chunks=chunks)
                    for rows, values in blocks:
                        dataset[rows] = values
                        sink.check()
                else:
                    file.create_dataset(name, data=array)
        sink.seek(0)
        checksum = _crc32(sink.raw)
        sink.seek(0, os.SEEK_END)
        sink.write(SEAL + b"%08x" % checksum)


def _crc32(stream, size=None):
    """The CRC-32 of the next `size` bytes of a stream (None: of all that are left)."""
    found, left = 0, float("inf") if size is None else size
    while left and (block := stream.read(int(min(left, 2**20)))):
        found, left = zlib.crc32(block, found), left - len(block)
    return found


def _check_seal(path):
    """Raise ValueError where a sealed file is not as it was written, before HDF5, which may crash of it, reads it."""
    length = len(SEAL) + 8
    with open(path, "rb") as stream:
        size = stream.seek(0, os.SEEK_END) - length
        if size < 0:
            return
        stream.seek(size)
        seal = stream.read()
        stream.seek(0)
        if seal.startswith(SEAL) and seal != SEAL + b"%08x" % _crc32(stream, size):
            raise ValueError(f"{path}: damaged (it does not have its checksum): delete it and make it again")


def open_artefact(path, kind):
    """Open an artefact for reading: ``(h5py.File, attributes)``. The caller closes the file.

    Raises FileNotFoundError if there is none, OSError where the system does not let it be read, and ValueError if
    the file is cut, is not HDF5, or holds something other than `kind`.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; expected a saved {kind}")
    if not ledger.check(path):
        _check_seal(path)
    try:
        file = hdf5.read(path)
    except OSError as error:
        raise hdf5.environment(error, path) or ValueError(
            f"{path}: not a whole HDF5 file ({error}); expected a saved {kind}: delete it and make it again"
        ) from error
    try:
        with _damage_named(path):
            found = file.attrs.get("kind")
            attributes = {name: value for name, value in file.attrs.items() if name != "kind"}
        if not isinstance(found, str) or found != kind:
            raise ValueError(f"{path}: holds {found!r}, expected {kind!r}: is this the right file?")
        with _damage_named(path):
            return file, {name: json.loads(value) for name, value in attributes.items()}
    except (OSError, ValueError):
        file.close()
        raise


def load_artefact(path, kind, names=None, facts=(), stored=()):
    """Read the datasets `names` (None: all) of an artefact: ``(arrays, attributes)``, among these at least `facts`.

    Those in `stored` stay on the disk, as Stored, and the file open. Errors as open_artefact, and ValueError where
    something lacks.
    """
    file, attributes = open_artefact(path, kind)
    try:
        with _damage_named(path):
            names = [*file] if names is None else [*names]
            missing = [name for name in (*names, *stored) if not isinstance(file.get(name), h5py.Dataset)]
            missing += [name for name in facts if name not in attributes]
            if not missing:
                arrays = {name: file[name][()] for name in names} | {name: Stored(path, file[name]) for name in stored}
    finally:
        if not stored or missing:
            file.close()
    if missing:
        raise ValueError(f"{path}: this {kind} lacks {', '.join(missing)}: delete it and make it again")
    return arrays, attributes


class Stored:
    """Numbers of an open artefact, read from the disk where they are indexed; ValueError where they are damaged or not
    finite there."""

    def __init__(self, path, dataset):
        self.path, self.dataset = path, dataset
        self.shape, self.dtype, self.ndim = dataset.shape, dataset.dtype, dataset.ndim

    def __len__(self):
        return len(self.dataset)

    def __getitem__(self, rows):
        try:
            values = self.dataset[rows]
        except (OSError, RuntimeError) as error:
            mend = f"{self.path}: damaged ({error}): delete it and make it again"
            raise hdf5.environment(error, self.path) or ValueError(mend) from error
        if not numpy.isfinite(values).all():
            raise ValueError(f"{self.path}: holds NaN or infinite values: delete it and make it again")
        return values

    def __array__(self, dtype=None, copy=None):
        return numpy.asarray(self[()], dtype)


@contextlib.contextmanager
def _damage_named(path):
    """Turn what h5py and json raise on a damaged file into one ValueError that names it; an error of the system stays
    one."""
    try:
        yield
    except (OSError, RuntimeError, KeyError, TypeError, ValueError) as error:
        mend = f"{path}: damaged ({' '.join(str(error).split())}): delete it and make it again"
        raise hdf5.environment(error, path) or ValueError(mend) from error


def fingerprint_json(value):
    """SHA-256 of a JSON value, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
