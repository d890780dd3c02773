"""The run directory of a stage: what was asked, of which inputs, and what came out.

    stage = run.begin("slice", arguments, inputs=["train"])
    if stage is None:
        return                      # done before with the same arguments and inputs
    ... write files into stage.folder ...
    run.finish(stage)

``begin`` leaves a started.json, ``finish`` a run.json as the last file; a killed stage has only the first and is
continued when it is called again with the same arguments.
"""

import dataclasses
import importlib.metadata
import json
import os
import pathlib
import platform
import resource
import shlex
import shutil
import subprocess
import sys
import time

import keras

from data import files

NEUTRAL = ("command", "data_dir", "dry_run", "overwrite", "quiet", "runs", "tensorboard")


@dataclasses.dataclass(frozen=True)
class Stage:
    """A stage under way: its folder, its identity (arguments and input digests) and when it was begun."""

    folder: pathlib.Path
    identity: dict
    begun: float
    resumed: bool


def folder(arguments, stage):
    """``<runs>/<study>/<dataset>-<model>/seed<k>/<stage>`` for the arguments of a stage."""
    kind, _, path = arguments.dataset.partition(":")
    dataset = f"{kind}-{pathlib.Path(path.partition('@')[0]).resolve().name}" if path else kind
    cell = pathlib.Path(arguments.runs) / arguments.study / f"{dataset}-{arguments.model}" / f"seed{arguments.seed}"
    return cell / stage


def begin(stage, arguments, inputs=()):
    """Open the folder of `stage`; None if run.json says that it is complete.

    arguments: the argparse namespace; inputs: names of the stages it reads. Raises FileNotFoundError for an input
    that is not there (naming the script that makes it) and ValueError where the folder holds the work of other
    arguments or inputs.
    """
    path = folder(arguments, stage)
    settings = {name: value for name, value in sorted(vars(arguments).items()) if name not in NEUTRAL}
    identity = {
        "stage": stage,
        "arguments": json.loads(json.dumps(settings, default=str)),
        "inputs": {name: _result(folder(arguments, name)) for name in inputs},
    }
    found = [file for file in (path / "run.json", path / "started.json") if file.is_file()]
    if found and arguments.overwrite:
        shutil.rmtree(path)
    elif found:
        before = json.loads(found[0].read_text(encoding="utf-8"))
        difference = _difference(before, identity)
        if difference:
            raise ValueError(
                f"{path} holds a run with {difference}: pass --overwrite to replace it, or --runs for another folder"
            )
        if found[0].name == "run.json":
            print(f"{stage}: done before, skipped ({path})")
            return None
    path.mkdir(parents=True, exist_ok=True)
    files.write_json(path / "started.json", identity)
    return Stage(path, identity, time.monotonic(), bool(found))


def finish(stage, **facts):
    """Write run.json: identity, provenance, digests of the outputs, and any further facts."""
    outputs = {
        str(path.relative_to(stage.folder)): files.digest(path)
        for path in sorted(stage.folder.rglob("*"))
        if path.is_file() and path.name != "started.json" and not path.name.startswith(".")
    }
    files.write_json(
        stage.folder / "run.json",
        {
            **stage.identity,
            **provenance(),
            "resumed": stage.resumed,
            "wall_s": round(time.monotonic() - stage.begun, 1),
            "peak_memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
            **facts,
            "outputs": outputs,
        },
    )
    (stage.folder / "started.json").unlink(missing_ok=True)


def record(path):
    """The run.json of a finished stage's folder. Raises FileNotFoundError naming the script that makes it."""
    file = path / "run.json"
    if not file.is_file():
        name = path.name.split("-")[0]
        raise FileNotFoundError(f"{file}: no such file; make it with the script *_{name}.py of the same study")
    return json.loads(file.read_text(encoding="utf-8"))


def provenance():
    """What made a result: command line, commit, versions and device."""
    packages = ("keras", keras.backend.backend(), "numpy", "h5py", "foolbox", "scikit-learn")
    return {
        "command": shlex.join(["python", *_relative(sys.argv)]),
        **commit(),
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in packages}},
        "device": device(),
    }


def commit():
    """The checkout's commit and whether tracked files differ from it; None outside a git checkout."""
    root = pathlib.Path(__file__).parent

    def git(*arguments):
        done = subprocess.run(["git", "-C", root, *arguments], capture_output=True, text=True, check=False)
        return done.stdout.strip() if done.returncode == 0 else None

    try:
        revision = git("rev-parse", "HEAD")
        status = git("status", "--porcelain", "--untracked-files=no")
    except FileNotFoundError:
        revision = status = None
    return {"commit": revision, "dirty": None if status is None else bool(status)}


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
    return f"{model}, {len(os.sched_getaffinity(0))} cores"


def _result(path):
    return files.fingerprint_json(record(path)["outputs"])


def _difference(before, now):
    for part in ("arguments", "inputs"):
        old, new = before.get(part, {}), now[part]
        for name in sorted({*old, *new}):
            if old.get(name) != new.get(name):
                what = f"another {name} as input" if part == "inputs" else f"{name} {old.get(name)!r}"
                return what if part == "inputs" else f"{what}, not {new.get(name)!r}"
    return None


def _relative(arguments):
    root = pathlib.Path(__file__).resolve().parent.parent
    script = pathlib.Path(arguments[0]).resolve()
    return [str(script.relative_to(root)) if script.is_relative_to(root) else script.name, *arguments[1:]]


def _version(package):
    for name in (package, f"{package}-cpu"):
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return None
