"""Looks at HDF5 files in a process of its own, since HDF5 ends the process, or never returns, on some damaged ones.

Run by data/hdf5.py. Each line of standard input asks about one file, as JSON: path, member (its name in a zip, or null)
and allowed (bytes that it may hold unpacked); each line of standard output answers with said ("" where all is well),
system (whether that is what the system says) and errno. Ends when standard input does.
"""

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

OBJECTS = 100_000  # groups and data sets of a file; a model of a hundred layers has about a thousand
SECONDS, MEMORY = 20, 4 << 30  # that looking at one file may take
UNWRITTEN = 10_000  # chunks that a data set may lack: HDF5 takes its time to make them up
ENTRY = 1 << 20  # bytes of a data set that are read to see that they can be


def look(file, allowed):
    """Go through all of an open h5py.File. Raises ValueError where it reads another file, or announces too much."""
    left, seen, announced = [file], set(), 0
    while left:
        item = left.pop()
        place = h5py.h5o.get_info(item.id).addr
        if place in seen:
            continue
        seen.add(place)
        if len(seen) > OBJECTS:
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
                left.append(item[name])
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
    """Read a data set, of a large one the first and the last entries, and go through the places of its chunks."""
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
    """A part of a zip, in memory."""
    with zipfile.ZipFile(path) as archive:
        return io.BytesIO(archive.read(name))


def probe(path, member, allowed):
    """Open and look; the answer."""
    try:
        with h5py.File(_member(path, member), "r") if member else h5py.File(path, "r", locking=False) as file:
            look(file, allowed)
    except OSError as error:
        return {"said": str(error), "system": True, "errno": error.errno}
    except MemoryError:
        return {"said": "it takes more memory than there is", "system": False}
    except Exception as error:
        return {"said": str(error) or type(error).__name__, "system": False}
    return {"said": ""}


def in_a_child(request):
    """`probe` in a process that may end of it."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        signal.alarm(SECONDS)
        with contextlib.suppress(ValueError, OSError):  # where there is a lower limit, or none can be set
            resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        os.write(writing, json.dumps(probe(**request)).encode()[:60_000])
        os._exit(0)
    os.close(writing)
    with open(reading, "rb") as stream:
        answer = stream.read()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        how = "does not end with" if os.WTERMSIG(status) == signal.SIGALRM else "crashes on"
        return {"said": f"HDF5 {how} it", "system": False}
    return json.loads(answer or '{"said": "HDF5 ends on it", "system": false}')


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(in_a_child(json.loads(line))), flush=True)
