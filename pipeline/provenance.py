"""What made a result: the command line, the commit of the checkout, versions, device and kernels."""

import importlib.metadata
import os
import pathlib
import platform
import shlex
import subprocess
import sys

import keras

from models import compute

ROOT = pathlib.Path(__file__).resolve().parent.parent
# What decides on rounding errors beside versions, device and cores: of other kernels the same weights become others.
KERNELS = ("TF_ENABLE_ONEDNN_OPTS", "TF_XLA_FLAGS", "XLA_FLAGS", "TF_DETERMINISTIC_OPS", "NVIDIA_TF32_OVERRIDE")
WATCHED = ("commit", "dirty", "versions", "device", "cores", "kernels", "floatx", "image_data_format")


def facts():
    """What makes a result in this process: command line, commit, versions, device, cores, kernels and Keras's settings.

    kernels: the environment's variables of KERNELS that are set.
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


def changes(processes):
    """Fact -> its values, in order, of each of WATCHED that differs between the `facts` of one stage's processes.

    A value is None where it was not recorded.
    """
    values = {name: [one.get(name) for one in processes] for name in WATCHED}
    return {name: each for name, each in values.items() if any(one != each[0] for one in each)}


def any_dirty(flags):
    """Whether code was uncommitted in any of several processes; None where none is known to be but some are unknown."""
    return True if True in flags else None if None in flags else False


def literal(command):
    """A command line without the options that name folders of one machine, which decide nothing of the result."""
    kept = shlex.split(command)
    for option in ("--runs", "--data-dir", "--checkpoints"):
        while option in kept:
            place = kept.index(option)
            del kept[place : place + 2]
    return shlex.join(one for one in kept if not one.startswith(("--runs=", "--data-dir=", "--checkpoints=")))


def commit():
    """The checkout's commit and whether tracked files differ from it; None outside a git checkout."""

    own = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}  # GIT_DIR: another's

    def git(*arguments):
        line = ["git", "-C", ROOT, *arguments]
        done = subprocess.run(line, capture_output=True, text=True, check=False, env=own)
        return done.stdout.strip() if done.returncode == 0 else None

    try:
        top = git("rev-parse", "--show-toplevel")
        if top is None or not os.path.samefile(top, ROOT):  # a copy of ours inside another repository
            return {"commit": None, "dirty": None}
        revision = git("rev-parse", "HEAD")
        status = git("status", "--porcelain", "--untracked-files=no")
    except FileNotFoundError:
        revision = status = None
    return {"commit": revision, "dirty": None if status is None else bool(status)}


AT_START = commit()  # of the code that was loaded, whatever is edited or committed while it runs


def check_checkout(script):
    """Raise ValueError where a script lies in another checkout than the packages that it imported."""
    place = pathlib.Path(script).resolve()
    own = next((parent.parent for parent in place.parents if parent.name == "scripts"), ROOT)
    if own != ROOT and (own / "pipeline").is_dir():
        raise ValueError(
            f"{place} would run with the packages of {ROOT}, another checkout: use the environment of {own} "
            f"(make quick makes it), or PYTHONPATH={own}"
        )


def device():
    """The accelerators in use, or the processor and its number of cores."""
    return ", ".join(compute.accelerators()) or f"{processor()}, {cores()} cores"


def processor():
    """The processor's name with its family and model, since one name covers several that round otherwise; or "CPU"."""
    cpuinfo = pathlib.Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    said = dict(map(str.strip, line.split(":", 1)) for line in reversed(lines) if ":" in line)  # of the first one
    kind = f" (family {said['cpu family']}, model {said['model']})" if {"cpu family", "model"} <= {*said} else ""
    return said.get("model name", "CPU") + kind


def cores():
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def _relative(arguments):
    script = pathlib.Path(arguments[0]).resolve()
    return [str(script.relative_to(ROOT)) if script.is_relative_to(ROOT) else script.name, *arguments[1:]]


def _version(package):
    for name in (package, f"{package}-cpu"):
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return None
