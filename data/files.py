"""Files that are either whole or absent: atomic writes, digests, and HDF5 artefacts that say what they are.

An artefact is one HDF5 file with a root attribute ``kind`` (what it is), flat datasets, and JSON-able
attributes. It is written to a temporary name beside its own, flushed to the disk and renamed, so a killed
process or a full disk leaves the old file or none.
"""

import contextlib
import hashlib
import json
import os
import pathlib
import tempfile

import h5py
import numpy


@contextlib.contextmanager
def atomic(path):
    """Yield a temporary path in the folder of `path`; on success flush it and rename it to `path`.

    The temporary name ends like `path`, since Keras chooses a format by the ending. On any error the
    temporary file is removed and `path` is left as it was.
    """
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=".writing-", suffix="-" + path.name, dir=path.parent)
    os.close(handle)
    try:
        yield pathlib.Path(temporary)
        with open(temporary, "rb+") as stream:
            os.fsync(stream.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)


def write_text(path, text):
    """Write `text` to `path` atomically (UTF-8)."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path, value):
    """Write `value` to `path` atomically as indented JSON with a final newline."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def digest(path, algorithm="sha256"):
    """The hexadecimal digest of a file's bytes."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, algorithm).hexdigest()


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
    with atomic(path) as temporary, h5py.File(temporary, "w") as file:
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
            else:
                file.create_dataset(name, data=array)


def open_artefact(path, kind):
    """Open an artefact for reading: ``(h5py.File, attributes)``. The caller closes the file.

    Raises FileNotFoundError if there is none, and ValueError if the file is cut, is not HDF5, or holds
    something other than `kind`.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; expected a saved {kind}")
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise ValueError(
            f"{path}: not a whole HDF5 file ({error}); expected a saved {kind}: delete it and make it again"
        ) from error
    found = file.attrs.get("kind")
    if found != kind:
        file.close()
        raise ValueError(f"{path}: holds {found!r}, expected {kind!r}: is this the right file?")
    return file, {name: json.loads(value) for name, value in file.attrs.items() if name != "kind"}


def load_artefact(path, kind, names):
    """Read the datasets `names` of an artefact: ``(arrays, attributes)``; errors as open_artefact."""
    file, attributes = open_artefact(path, kind)
    with file:
        missing = [name for name in names if name not in file]
        if missing:
            raise ValueError(f"{path}: this {kind} lacks {', '.join(missing)}: delete it and make it again")
        try:
            return {name: file[name][()] for name in names}, attributes
        except OSError as error:
            raise ValueError(f"{path}: damaged ({error}): delete it and make it again") from error


def fingerprint_json(value):
    """SHA-256 of a JSON value, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
