"""Read every file of a folder as its format asks, in little memory; print how each ended, then what was opened.

Run by test_hostile_files.py: python read_hostile.py <ending> <folder>. After one harmless file of each kind was read,
whatever Python opens outside the folder and its own libraries, and whatever it starts, is kept.
"""

import json
import os
import pathlib
import resource
import signal
import sys
import sysconfig
import time
import warnings

from data import archive, cifar, files, folder, idx, svhn

MEMORY, SECONDS = 4 << 30, 60
ROOT, PATHS = str(pathlib.Path(__file__).parents[2]), sysconfig.get_paths()
OWN = (PATHS["stdlib"], PATHS["purelib"], ROOT, "/proc")
STARTS = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "socket.connect", "ctypes.dlopen")


def artefact_or_model(path):
    import models

    with open(path, "rb") as file:
        if b"model_config" not in file.read():
            return files.load_artefact(path, "numbers")
    return models.load(path)


def model(path):
    import models

    return models.load(path)


READERS = {
    "pickle": lambda path: cifar.read_batch(path.read_bytes(), cifar.CIFAR10, path),
    "tar.gz": lambda path: archive.read(path, "cifar-10-batches-py", ["data_batch_1"]),
    "gz": lambda path: idx.read_file(path, (28, 28)),
    "mat": svhn.read_file,
    "png": folder.read_image,
    "keras": model,
    "h5": artefact_or_model,
    "json": files.read_json,
}


def read(reader, path):
    """The outcome of reading a file."""
    started_at, message = time.monotonic(), ""
    signal.alarm(SECONDS)  # ends this process
    try:
        reader(path)
        outcome = "read"
    except BaseException as error:
        outcome, message = type(error).__name__, str(error)
        if isinstance(error, OSError):
            outcome = "OSError"
    signal.alarm(0)
    return {"name": path.name, "outcome": outcome, "said": message, "seconds": time.monotonic() - started_at}


def memory():
    """The most memory that this process had, in MiB."""
    status = pathlib.Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) >> 10


def main(ending, place):
    opened, armed = [], False

    def hook(event, arguments):
        if not armed:
            return
        if event in STARTS:
            opened.append([event, str(arguments)[:200]])
        if event == "open" and isinstance(arguments[0], str | bytes):
            path = os.path.abspath(os.fsdecode(arguments[0]))
            if not path.startswith((str(place), *OWN)):
                opened.append([event, path])

    warnings.simplefilter("ignore")
    sys.addaudithook(hook)
    paths = sorted(place.iterdir())
    for harmless in sorted(place.parent.glob(f"*.{ending}")):
        READERS[ending](harmless)
    read(READERS[ending], paths[0])
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    armed = True
    reports = [read(READERS[ending], path) for path in paths]
    armed = False
    for report in reports:
        print(json.dumps(report))
    print(json.dumps({"opened": opened, "memory": memory()}))


if __name__ == "__main__":
    main(sys.argv[1], pathlib.Path(sys.argv[2]))
