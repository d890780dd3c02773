"""What is written whole or not at all (data/atomic.py): text, CSV, JSON, and HDF5 artefacts that say what they are.

An artefact is one HDF5 file with a root attribute ``kind`` (what it is), flat datasets, and JSON-able
attributes. It is written to a temporary name beside its own, flushed to the disk and renamed, so a killed
process or a full disk leaves the old file or none. Behind its end stands a checksum of all of it, so that a
byte that has changed since is found before HDF5 meets it.
"""

import csv
import hashlib
import io
import json
import os
import pathlib
import unicodedata
import zlib

import h5py
import numpy

from data import damage, hdf5, ledger
from data.atomic import TEMPORARY, atomic, atomic_hdf5, link, remove  # noqa: F401 (as of this module)
from data.ledger import digest  # noqa: F401 (as of this module)

LARGEST_JSON = 1 << 27  # bytes; a published row has a few thousand
SEAL = b"CRC-32 "  # and eight digits, behind the end of an artefact's HDF5


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
    """Write `value` to `path` atomically as indented JSON with a final newline. Raises ValueError for NaN and infinite
    numbers, which JSON lacks."""
    with damage.named(path, "cannot be written", "mend what made it"):
        text = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False)
    write_text(path, text + "\n")


def read_json(path):
    """The value in a JSON file (UTF-8, without NaN and infinite numbers).

    Raises FileNotFoundError, and ValueError where it is none, or larger than LARGEST_JSON.
    """
    ledger.check(path)
    with damage.named(path):
        return json.loads(damage.content(path, LARGEST_JSON).decode("utf-8"), parse_constant=_no_number)


def _no_number(name):
    raise ValueError(f"it holds {name}, expected a finite number or null")


def write_sealed(path, value):
    """Write a JSON object and, among its names, its "digest", for `read_sealed`."""
    value = json.loads(json.dumps(value))
    write_json(path, {**value, "digest": fingerprint_json(value)})


def read_sealed(path, *, sealed=True):
    """The JSON object that `write_sealed` wrote. sealed: False admits one without a digest, of an earlier version.

    Raises FileNotFoundError, and ValueError where the file is not as it was written.
    """
    found = read_json(path)
    with damage.named(path):
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
    """Whether a file is sealed and as it was written. Raises ValueError where it is sealed and is not."""
    length = len(SEAL) + 8
    with open(path, "rb") as stream:
        size = stream.seek(0, os.SEEK_END) - length
        if size < 0:
            return False
        stream.seek(size)
        seal = stream.read()
        stream.seek(0)
        if seal.startswith(SEAL) and seal != SEAL + b"%08x" % _crc32(stream, size):
            raise ValueError(f"{path}: damaged (it does not have its checksum): delete it and make it again")
    return seal.startswith(SEAL)


def open_artefact(path, kind):
    """Open an artefact for reading: ``(h5py.File, attributes)``. The caller closes the file.

    Raises FileNotFoundError if there is none, OSError where the system does not let it be read, and ValueError if
    the file is cut, is not HDF5, or holds something other than `kind`.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; expected a saved {kind}")
    known = ledger.check(path) or _check_seal(path)
    with damage.named(path, "not a whole HDF5 file", f"expected a saved {kind}, delete it and make it again"):
        file = hdf5.read(path, known=known)
    try:
        with damage.named(path):
            found = file.attrs.get("kind")
            attributes = {name: value for name, value in file.attrs.items() if name != "kind"}
        if not isinstance(found, str) or found != kind:
            raise ValueError(f"{path}: holds {found!r:.80}, expected {kind!r}: is this the right file?")
        with damage.named(path):
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
        with damage.named(path):
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
        except (OSError, RuntimeError, MemoryError) as error:
            mend = f"{self.path}: damaged ({damage.reason(error)}): delete it and make it again"
            raise damage.environment(error, self.path) or ValueError(mend) from error
        if not numpy.isfinite(values).all():
            raise ValueError(f"{self.path}: holds NaN or infinite values: delete it and make it again")
        return values

    def __array__(self, dtype=None, copy=None):
        return numpy.asarray(self[()], dtype)


def expanded(text):
    """The path that a person named, its ~ or ~user replaced by a home. Raises ValueError for a user without one."""
    try:
        return pathlib.Path(text).expanduser()
    except RuntimeError as error:
        raise ValueError(f"{text}: there is no such user's home ({error}): write the folder out") from error


def printable(name):
    """Whether a name is of characters that can be printed: no line break, none that reorders the text around it."""
    return all(one.isprintable() or unicodedata.category(one) == "Zs" for one in name)


def fingerprint_json(value):
    """SHA-256 of a JSON value, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
