"""The provenance of a result: command line, commit of the checkout, versions, device and kernels."""

import importlib.metadata
import os
import pathlib
import platform
import shlex
import subprocess
import sys
from collections.abc import Sequence

import keras

from models import compute

ROOT = pathlib.Path(__file__).resolve().parent.parent
# Besides versions, device and cores these decide on rounding: with other kernels, training ends in other weights.
KERNELS = ("TF_ENABLE_ONEDNN_OPTS", "TF_XLA_FLAGS", "XLA_FLAGS", "TF_DETERMINISTIC_OPS", "NVIDIA_TF32_OVERRIDE")
WATCHED = ("commit", "dirty", "versions", "device", "cores", "kernels", "floatx", "image_data_format")


def facts() -> dict:
    """The provenance of this process: command line, commit, versions, device, cores, kernels and Keras's settings.

    kernels: the environment variables of KERNELS that are set.
    """
    packages = ("keras", keras.backend.backend(), "numpy", "h5py", "foolbox", "scikit-learn")
    return {
        "command": literal(shlex.join(["python", *_relative(sys.argv)])),
        **AT_START,
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in packages}},
        "device": device(),
        "cores": cores(),
        "kernels": {name: os.environ[name] for name in KERNELS if name in os.environ},
        "floatx": keras.config.floatx(),
        "image_data_format": keras.config.image_data_format(),
    }


def changes(processes: Sequence[dict]) -> dict:
    """fact -> its values, in order, for each fact of WATCHED that differs between the processes of a stage.

    processes: the `facts` of each process. A value is None where it was not recorded.
    """
    values = {name: [process.get(name) for process in processes] for name in WATCHED}
    return {name: each for name, each in values.items() if any(value != each[0] for value in each)}


def any_dirty(flags: Sequence[bool | None]) -> bool | None:
    """Whether any process had uncommitted code; None where no flag is True and some are unknown (None)."""
    return True if True in flags else None if None in flags else False


def literal(command: str) -> str:
    """A command line without the options for folders of one machine, which do not affect the result."""
    words = shlex.split(command)
    for option in ("--runs", "--data-dir", "--checkpoints"):
        while option in words:
            place = words.index(option)
            del words[place : place + 2]
    return shlex.join(word for word in words if not word.startswith(("--runs=", "--data-dir=", "--checkpoints=")))


def commit() -> dict:
    """The commit of the checkout, and whether tracked files differ from it; None outside a git checkout."""

    own = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}  # of another checkout

    def git(*arguments):
        line = ["git", "-C", ROOT, *arguments]
        completed = subprocess.run(line, capture_output=True, text=True, check=False, env=own)
        return completed.stdout.strip() if completed.returncode == 0 else None

    try:
        top = git("rev-parse", "--show-toplevel")
        if top is None or not os.path.samefile(top, ROOT):  # a copy of this code inside another repository
            return {"commit": None, "dirty": None}
        revision = git("rev-parse", "HEAD")
        status = git("status", "--porcelain", "--untracked-files=no")
    except FileNotFoundError:
        revision = status = None
    return {"commit": revision, "dirty": None if status is None else bool(status)}


AT_START = commit()  # of the loaded code, which may be edited or committed while it runs


def check_checkout(script: str) -> None:
    """Raise ValueError where a script is in another checkout than the packages that it imports."""
    place = pathlib.Path(script).resolve()
    own = next((parent.parent for parent in place.parents if parent.name == "scripts"), ROOT)
    if own != ROOT and (own / "pipeline").is_dir():
        raise ValueError(
            f"{place} would run with the packages of {ROOT}, another checkout: use the environment of {own} "
            f"(make quick makes it), or PYTHONPATH={own}"
        )


def device() -> str:
    """The accelerators in use, or the processor and its number of cores."""
    return ", ".join(compute.accelerators()) or f"{processor()}, {cores()} cores"


def processor() -> str:
    """The processor's name, family and model, since processors of one name may round differently; or "CPU"."""
    cpuinfo = pathlib.Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    fields = dict(map(str.strip, line.split(":", 1)) for line in reversed(lines) if ":" in line)  # of the first one
    kind = f" (family {fields['cpu family']}, model {fields['model']})" if {"cpu family", "model"} <= {*fields} else ""
    return fields.get("model name", "CPU") + kind


def cores() -> int:
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def _relative(arguments):
    """A command line whose script is relative to the checkout."""
    script = pathlib.Path(arguments[0]).resolve()
    return [str(script.relative_to(ROOT)) if script.is_relative_to(ROOT) else script.name, *arguments[1:]]


def _version(package):
    """The installed version of a package or of its CPU variant, or None."""
    for name in (package, f"{package}-cpu"):
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return None
