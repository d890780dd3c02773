"""Check HDF5 files in a separate process, since HDF5 crashes the process, or never returns, on some damaged files.

Started by data/hdf5.py. Each line of standard input asks about one file, as JSON: path, member (its name in a zip, or
null) and allowed (bytes that it may unpack to). Each line of standard output answers with error (a message, "" for
none), system (whether it is an error of the system) and errno. Ends with standard input.
"""

from __future__ import annotations  # its types load no library (pipeline/late.py)

import contextlib
import io
import json
import math
import os
import resource
import signal
import sys
import zipfile

import h5py

OBJECTS = 100_000  # most groups and data sets of a file; a model of a hundred layers has about a thousand
SECONDS, MEMORY = 20, 4 << 30  # limits of checking one file
UNWRITTEN = 10_000  # most missing chunks of a data set: HDF5 is slow to fill them in
LONGEST = 2000  # characters of an answer, so that it fits into a pipe: names in a file may be very long
ENTRY = 1 << 20  # bytes of a data set that are read as a trial


def look(file: h5py.File, allowed: int) -> None:
    """Visit all objects of an open file. Raises ValueError where one refers to another file, or announces too much.

    allowed: bytes that all data sets together may unpack to.
    """
    pending, visited, announced = [file], set(), 0
    while pending:
        item = pending.pop()
        place = h5py.h5o.get_info(item.id).addr
        if place in visited:
            continue
        visited.add(place)
        if len(visited) > OBJECTS:
            raise ValueError(f"it has more than {OBJECTS} objects")
        for name in item.attrs:
            attribute = item.attrs.get_id(name)
            announced += attribute.dtype.itemsize * math.prod(map(int, attribute.shape or ()))
            _check(announced, allowed)
            item.attrs[name]
        if isinstance(item, h5py.Group):
            for name in item:
                if not isinstance(item.get(name, getlink=True), h5py.HardLink):
                    raise ValueError(f"{item.name}/{name} is a link, expected its own content")
                pending.append(item[name])
        elif isinstance(item, h5py.Dataset):
            if item.is_virtual or item.external:
                raise ValueError(f"{item.name} is read from another file, expected its own content")
            sizes = (item.shape or (), item.chunks or ())
            announced += item.dtype.itemsize * max(math.prod(map(int, size)) for size in sizes)
            _check(announced, allowed)
            _read(item)


def _check(announced, allowed):
    if announced > allowed:
        raise ValueError(f"it announces {announced} bytes, expected at most {allowed} in a file of this size")


def _read(dataset):
    """Read a data set, of a large one the first and the last entry, and visit the offsets of its chunks."""
    if dataset.chunks:
        announced = math.prod(-(-size // chunk) for size, chunk in zip(dataset.shape, dataset.chunks, strict=True))
        written = dataset.id.get_num_chunks() if announced else 0
        if announced - written > UNWRITTEN:
            raise ValueError(f"{dataset.name} announces {announced} chunks, but {written} of them were written")
        dataset.id.chunk_iter(lambda chunk: None)
    if not dataset.shape or dataset.nbytes <= ENTRY:
        dataset[()]
    elif dataset.nbytes // len(dataset) <= ENTRY:
        dataset[:1], dataset[-1:]


def _member(path, name):
    """A member of a zip, in memory."""
    with zipfile.ZipFile(path) as archive:
        return io.BytesIO(archive.read(name))


def probe(path: str, member: str | None, allowed: int) -> dict:
    """The answer about one file; arguments and answer as at the top of this file."""
    try:
        with h5py.File(_member(path, member), "r") if member else h5py.File(path, "r", locking=False) as file:
            look(file, allowed)
    except OSError as error:
        return {"error": str(error)[:LONGEST], "system": True, "errno": error.errno}
    except MemoryError:
        return {"error": "it takes more memory than there is", "system": False}
    except Exception as error:
        return {"error": str(error)[:LONGEST] or type(error).__name__, "system": False}
    return {"error": ""}


def in_a_child(request: dict) -> dict:
    """`probe` in a child process, which may crash."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        signal.alarm(SECONDS)
        with contextlib.suppress(ValueError, OSError):  # a lower limit holds already, or limits cannot be set
            resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        os.write(writing, json.dumps(probe(**request)).encode())
        os._exit(0)
    os.close(writing)
    with open(reading, "rb") as stream:
        answer = stream.read()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        how = "does not end with" if os.WTERMSIG(status) == signal.SIGALRM else "crashes on"
        return {"error": f"HDF5 {how} it", "system": False}
    return json.loads(answer or '{"error": "HDF5 ends on it", "system": false}')


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(in_a_child(json.loads(line))), flush=True)
