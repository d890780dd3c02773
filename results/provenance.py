"""What made a result: the command line, the commit of the checkout, versions and device."""

import importlib.metadata
import os
import pathlib
import platform
import shlex
import subprocess
import sys

import keras

ROOT = pathlib.Path(__file__).resolve().parent.parent


def facts():
    """What made a result: command line, commit, versions and device."""
    packages = ("keras", keras.backend.backend(), "numpy", "h5py", "foolbox", "scikit-learn")
    return {
        "command": literal(shlex.join(["python", *_relative(sys.argv)])),
        **AT_START,
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in packages}},
        "device": device(),
    }


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

    def git(*arguments):
        done = subprocess.run(["git", "-C", ROOT, *arguments], capture_output=True, text=True, check=False)
        return done.stdout.strip() if done.returncode == 0 else None

    try:
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
    if own != ROOT and (own / "results").is_dir():
        raise ValueError(
            f"{place} would run with the packages of {ROOT}, another checkout: use the environment of {own} "
            f"(make quick makes it), or PYTHONPATH={own}"
        )


def device():
    """The accelerators in use, or the processor and its number of cores."""
    if keras.backend.backend() == "jax":
        import jax

        kinds = [device.device_kind for device in jax.devices() if device.platform != "cpu"]
    else:
        import tensorflow

        kinds = [
            tensorflow.config.experimental.get_device_details(gpu).get("device_name", gpu.name)
            for gpu in tensorflow.config.list_physical_devices("GPU")
        ]
    if kinds:
        return ", ".join(kinds)
    model = "CPU"
    cpuinfo = pathlib.Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        names = [line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{model}, {cores} cores"


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
