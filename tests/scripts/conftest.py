"""The scripts of the DARE study as a user runs them: processes, calls in this process, and one finished small cell."""

import contextlib
import fcntl
import functools
import hashlib
import io
import json
import multiprocessing
import os
import pathlib
import runpy
import shutil
import signal
import sys
import tempfile
import time
import types

import pytest

from reporting import row as result_row

SCRIPTS = pathlib.Path(__file__).resolve().parents[2] / "scripts"
FORKS = multiprocessing.get_context("forkserver")  # a process that has loaded what takes seconds, and nothing else
FORKS.set_forkserver_preload(["tensorflow", "keras", "sklearn", "h5py", "foolbox"])
MODEL = "alexnet@0.03"
SMALL = {
    "1_train": ["--epochs", "4", "--batch-size", "8", "--deterministic"],
    "2_slice": ["--deterministic"],
    "3_get_ats": ["--deterministic", "--quiet"],
    "4_generate_adv": ["--attack", "fgsm", "pgd", "--parts", "12", "8", "12", "8", "--deterministic"],
    "5_finetune_dare": [
        *("--variant", "dare", "dare-s", "dare-sl", "weight-noise", "logit-noise", "tune-clean", "checkpoint", "swa"),
        *("--choose-on", "fgsm", "pgd", "--repeats", "1", "--learning-rates", "1e-5", "1e-4"),
    ],
    "6_finetune_adv": ["--attack", "fgsm", "pgd", "--repeats", "1", "--epochs", "2", "--distillation"],
    "7_test": ["--attack", "fgsm", "pgd", "--epsilons", "0.1", "--white-box-images", "10"],
    "8_tables": [],
}


def narrow(script, options):
    """The options with the small model, where they name none and the script takes one."""
    takes_none = script.endswith(("tables", "evaluate", "import", "pack", "/rank"))
    return [*options] if takes_none or "--model" in options else ["--model", MODEL, *options]


def path_of(script):
    """The file of a script of DARE's study, of another ("robust_training/1_train"), or of none ("tables")."""
    whole = "/" in script or script in ("tables", "evaluate", "pack")
    return SCRIPTS / f"{script if whole else f'dare/{script}'}.py"


def start(script, *options, cwd):
    """A script in a process of its own, begun: forked from one that has loaded the libraries, seconds sooner."""
    line = [str(path_of(script)), *map(str, narrow(script, options))]
    streams = tempfile.TemporaryFile(), tempfile.TemporaryFile()
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "FORCE_COLOR")}
    descriptors = [FORKS.reducer.DupFd(stream.fileno()) for stream in streams]
    process = FORKS.Process(target=be, args=(line, str(cwd), environment, *descriptors))
    process.start()
    process.streams = streams
    return process


def be(line, cwd, environment, *descriptors):
    """Become the script: what the child does."""
    for number, descriptor in enumerate(descriptors, start=1):
        os.dup2(descriptor.detach(), number)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(cwd)
    sys.argv = line
    runpy.run_path(line[0], run_name="__main__")


def finish(process):
    """What a process that was begun says and how it ends: .code, .out, .err."""
    process.join(timeout=900)
    assert process.exitcode is not None, "still running"
    texts = []
    for stream in process.streams:
        with stream:
            stream.seek(0)
            texts.append(stream.read().decode())
    return types.SimpleNamespace(code=process.exitcode, out=texts[0], err=texts[1])


def here(script, *options, cwd):
    """A script run in this process, in a few seconds less: what it says and how it ends, as `finish` gives it."""
    path, code = path_of(script), 0
    with pytest.MonkeyPatch.context() as patch:
        out, err = io.StringIO(), io.StringIO()
        patch.chdir(cwd)
        patch.setattr(sys, "argv", [str(path), *map(str, narrow(script, options))])
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                runpy.run_path(str(path), run_name="__main__")
            except SystemExit as exit:
                code = exit.code
    return types.SimpleNamespace(code=code, out=out.getvalue(), err=err.getvalue())


def all_here(stages, cwd):
    """Several scripts run in this process, one after the other: script -> what it says. Every one has to succeed."""
    by_script = {script: here(script, *options, cwd=cwd) for script, options in stages.items()}
    assert all(completed.code == 0 for completed in by_script.values()), {
        script: completed.err for script, completed in by_script.items()
    }
    return by_script


def kill_when(process, folder, pattern):
    """kill -9 as soon as a file of that pattern is in a folder; the process must not have ended before."""
    deadline = time.monotonic() + 240
    while not any(folder.glob(pattern)):
        assert process.is_alive() and time.monotonic() < deadline
        time.sleep(0.001)
    process.kill()
    assert finish(process).code == -signal.SIGKILL


def digests(folder, but=()):
    """Name -> SHA-256 of every file below a folder, except those whose file name is in `but`."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in but
    }


@pytest.fixture(scope="session")
def shell():
    """The functions above, and the options of a small run of each script."""
    return types.SimpleNamespace(
        start=start,
        finish=finish,
        here=here,
        all_here=all_here,
        kill_when=kill_when,
        digests=digests,
        small=SMALL,
        scripts=SCRIPTS,
    )


@pytest.fixture
def call(tmp_path):
    """``call(script, *options)``: the script run in this process, from tmp_path; gives .code, .out, .err."""
    return functools.partial(here, cwd=tmp_path)


@pytest.fixture
def cell_copy(finished, tmp_path):
    """The cell of a file's fixture `finished` (.folder, .cell) in tmp_path, to be changed."""
    shutil.copytree(finished.folder / "runs", tmp_path / "runs")
    return tmp_path / finished.cell.relative_to(finished.folder)


def whole_study(folder):
    """What every script says, run in `folder`, each a process: those that do not read each other's results at once."""
    by_script = {}
    for group in (["1_train"], ["2_slice", "3_get_ats", "4_generate_adv"], ["5_finetune_dare", "6_finetune_adv"],
                  ["7_test"], ["8_tables"]):  # fmt: skip
        processes = {script: start(script, *SMALL[script], cwd=folder) for script in group}
        by_script |= {script: vars(finish(process)) for script, process in processes.items()}
    return by_script


@pytest.fixture(scope="session")
def study(tmp_path_factory):
    """A whole study of one small cell, to be read: .folder (it ran there), .cell, .completed of each script.

    The workers of one run of the tests share it: the first that needs it makes it, the others wait.
    """
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "study"
    path = folder.with_suffix(".json")
    with open(folder.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.is_file():
            folder.mkdir()
            path.write_text(json.dumps(whole_study(folder)))
    by_script = {
        script: types.SimpleNamespace(**completed) for script, completed in json.loads(path.read_text()).items()
    }
    cell = folder / "runs" / "dare" / f"digits-{MODEL}" / "seed0"
    return types.SimpleNamespace(folder=folder, cell=cell, completed=by_script)


@pytest.fixture(scope="session")
def unsaturated():
    """``unsaturated(folder)``: the row files below it with a white-box measure but without the check `saturated`."""

    def unsaturated(folder):
        paths = (path for path in sorted(folder.rglob("row*.json")) if path.name != "rows.json")  # of a report
        rows = {path: result_row.load(path) for path in paths}
        attacked = {
            path: row for path, row in rows.items()
            if any(name.startswith(("white-box/", "last/white-box/", "autoattack@")) for name in row["measures"])
        }  # fmt: skip
        assert attacked, "no white-box measure in any row"
        return [path for path, row in attacked.items() if result_row.saturated(row["checks"]) is None]

    return unsaturated
