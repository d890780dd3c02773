"""Files written whole or not at all (data/atomic.py): text, CSV, JSON, and HDF5 artefacts.

An artefact is one HDF5 file with a root attribute ``kind``, flat data sets, and attributes in JSON. It is written under
a temporary name in the same folder, flushed to the disk and renamed, so a killed process or a full disk leaves the old
file or none. A checksum of the whole file is appended, so that a changed byte is detected before HDF5 reads the file.
"""

from __future__ import annotations  # its types load no library (pipeline/late.py)

import contextlib
import csv
import hashlib
import io
import json
import os
import pathlib
import unicodedata
import zlib
from collections.abc import Iterable, Sequence
from typing import Any

import h5py
import numpy

from data import damage, hdf5, ledger
from data.atomic import TEMPORARY, atomic, atomic_hdf5, discard, link, remove  # noqa: F401 (as of this module)
from data.ledger import digest  # noqa: F401 (as of this module)

Path = str | pathlib.Path

LARGEST_JSON = 1 << 27  # bytes; a published row has a few thousand
SEAL = b"CRC-32 "  # followed by eight digits, appended to the HDF5 content of an artefact


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` atomically (UTF-8)."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_csv(path: Path, names: Sequence[str], rows: Iterable[dict]) -> None:
    """Write `rows` to `path` atomically as CSV with the columns `names`."""
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())


def write_json(path: Path, value: Any) -> None:
    """Write `value` to `path` atomically as indented JSON with a final newline.

    Raises ValueError for NaN and infinite numbers, which JSON lacks.
    """
    with damage.named(path, "cannot be written", "mend what made it"):
        text = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False)
    write_text(path, text + "\n")


def read_json(path: Path) -> Any:
    """The value in a JSON file (UTF-8).

    Raises FileNotFoundError, and ValueError where the file is not JSON, has NaN or infinite numbers, or is larger than
    LARGEST_JSON.
    """
    ledger.check(path)
    with damage.named(path):
        return json.loads(damage.content(path, LARGEST_JSON).decode("utf-8"), parse_constant=_no_number)


def _no_number(name):
    raise ValueError(f"it holds {name}, expected a finite number or null")


def write_sealed(path: Path, value: dict) -> None:
    """Write a JSON object with a further entry, its "digest", for `read_sealed`."""
    value = json.loads(json.dumps(value))
    write_json(path, {**value, "digest": fingerprint_json(value)})


def read_sealed(path: Path, *, sealed: bool = True) -> dict:
    """The JSON object that `write_sealed` wrote, without its digest.

    sealed: False admits objects without a digest, of an earlier version.
    Raises FileNotFoundError, and ValueError where the file has changed since it was written.
    """
    value = read_json(path)
    with damage.named(path):
        digest = value.pop("digest", None) if isinstance(value, dict) else None
        if not isinstance(value, dict) or ((sealed or digest) and digest != fingerprint_json(value)):
            raise ValueError("not an object with its digest")
    return value


def fingerprint(*arrays: numpy.ndarray) -> str:
    """SHA-256 over dtype, shape and bytes of the arrays: how artefacts identify their data."""
    total = hashlib.sha256()
    for array in arrays:
        array = numpy.ascontiguousarray(array)
        total.update(f"{array.dtype.str}{array.shape}".encode())
        total.update(array.data if array.size else b"")
    return total.hexdigest()


def save_artefact(path: Path, kind: str, arrays: dict, attributes: dict | None = None) -> None:
    """Write an artefact to `path` (HDF5), whole or not at all.

    kind: what it is, for `open_artefact`.
    arrays: name -> array, or (shape, dtype, blocks) for an array that is streamed: `blocks` yields (row selection,
        values).
    attributes: name -> JSON value.
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
    """The CRC-32 of the next `size` bytes of a stream (None: of all bytes left)."""
    checksum, remaining = 0, float("inf") if size is None else size
    while remaining and (block := stream.read(int(min(remaining, 2**20)))):
        checksum, remaining = zlib.crc32(block, checksum), remaining - len(block)
    return checksum


def _check_seal(path):
    """Whether a file has a checksum. Raises ValueError where the checksum is not that of the file."""
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


def open_artefact(path: Path, kind: str) -> tuple[h5py.File, dict]:
    """Open an artefact for reading: ``(h5py.File, attributes)``. The caller closes the file.

    Raises FileNotFoundError if there is no file, OSError where the system refuses to read it, and ValueError if it is
    cut, is not HDF5, or is of another kind.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; expected a saved {kind}")
    known = ledger.check(path) or _check_seal(path)
    with damage.named(path, "not a whole HDF5 file", f"expected a saved {kind}, delete it and make it again"):
        file = hdf5.read(path, known=known)
    try:
        with damage.named(path):
            stored = file.attrs.get("kind")
            attributes = {name: value for name, value in file.attrs.items() if name != "kind"}
        if not isinstance(stored, str) or stored != kind:
            raise ValueError(f"{path}: holds {stored!r:.80}, expected {kind!r}: is this the right file?")
        with damage.named(path):
            return file, {name: json.loads(value) for name, value in attributes.items()}
    except (OSError, ValueError):
        file.close()
        raise


def load_artefact(
    path: Path,
    kind: str,
    names: Iterable[str] | None = None,
    facts: Iterable[str] = (),
    stored: Sequence[str] = (),
) -> tuple[dict, dict]:
    """Read an artefact: ``(arrays, attributes)``.

    path, kind: as of open_artefact.
    names: the arrays to read (None: all).
    facts: attributes that it must have.
    stored: further arrays that stay on the disk, as Stored; the file stays open.
    Errors as open_artefact, and ValueError where an array or attribute is missing.
    """
    file, attributes = open_artefact(path, kind)
    with contextlib.ExitStack() as opened:
        opened.enter_context(file)
        with damage.named(path):
            names = [*file] if names is None else [*names]
            missing = [name for name in (*names, *stored) if not isinstance(file.get(name), h5py.Dataset)]
        missing += [name for name in facts if name not in attributes]
        if missing:
            raise ValueError(f"{path}: this {kind} lacks {', '.join(missing)}: delete it and make it again")
        with damage.named(path):
            arrays = {name: file[name][()] for name in names} | {name: Stored(path, file[name]) for name in stored}
        if stored:
            opened.pop_all()
    return arrays, attributes


class Stored:
    """An array of an open artefact, read from the disk when it is indexed.

    Indexing raises ValueError where the numbers are damaged or not finite.
    """

    def __init__(self, path, dataset):
        self.path, self.dataset = path, dataset
        self.shape, self.dtype, self.ndim = dataset.shape, dataset.dtype, dataset.ndim

    def __len__(self):
        return len(self.dataset)

    def __getitem__(self, rows):
        try:
            values = self.dataset[rows]
        except (OSError, RuntimeError, MemoryError) as error:
            message = f"{self.path}: damaged ({damage.reason(error)}): delete it and make it again"
            raise damage.environment(error, self.path) or ValueError(message) from error
        if not numpy.isfinite(values).all():
            raise ValueError(f"{self.path}: holds NaN or infinite values: delete it and make it again")
        return values

    def __array__(self, dtype=None, copy=None):
        return numpy.asarray(self[()], dtype)


def expanded(text: Path) -> pathlib.Path:
    """A path with ~ or ~user replaced by the home folder. Raises ValueError for an unknown user."""
    try:
        return pathlib.Path(text).expanduser()
    except RuntimeError as error:
        raise ValueError(f"{text}: there is no such user's home ({error}): write the folder out") from error


def printable(name: str) -> bool:
    """Whether all characters of a name can be printed: no line breaks, none that reorders the text around it."""
    return all(character.isprintable() or unicodedata.category(character) == "Zs" for character in name)


def fingerprint_json(value: Any) -> str:
    """SHA-256 of a JSON value, the same for any order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
