"""SIGINT, SIGTERM and SIGHUP at random moments of random stages: one line, a shell's exit status, nothing left behind.

pytest -m faults tests/faults -s; FAULTS_SIGNALS says how many (200), FAULTS_SEED which. The first moment is the first
line of the script: what Python does before it is not ours. A signal to a whole terminal, to one process, and to
reproduce.py, whose stage must end with it.
"""

import contextlib
import os
import pathlib
import random
import shlex
import shutil
import signal
import subprocess
import sys
import time

import pytest

pytestmark = pytest.mark.faults
SIGNALS, SEED = int(os.environ.get("FAULTS_SIGNALS", "200")), int(os.environ.get("FAULTS_SEED", "0"))
KINDS = {signal.SIGINT: "interrupted", signal.SIGTERM: "ended by SIGTERM", signal.SIGHUP: "ended by SIGHUP"}
REPRODUCE = "reproduce"
WORKERS = "guided_retraining/4_retrain"


def hears(process):
    """Wait until a process blocks SIGINT (bit 2 of its mask), as the first line of every script does."""
    status = pathlib.Path(f"/proc/{process.pid}/status")
    while process.poll() is None:
        mask = next(line for line in status.read_text().splitlines() if line.startswith("SigBlk"))
        if int(mask.split()[1], 16) & 2:
            return
        time.sleep(0.001)


def descendants(pid):
    """The children of a process, their children and so on."""
    pids = []
    for thread in pathlib.Path(f"/proc/{pid}/task").glob("*/children"):  # a process belongs to the thread that began it
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
            pids += map(int, thread.read_text().split())
    return [*pids, *(each for child in pids for each in descendants(child))]


def lives(pid):
    """Whether a process exists and is no zombie (whose parent may be gone)."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def begin(name, folder, stages):
    if name == REPRODUCE:
        line = [sys.executable, str(stages.scripts / "reproduce.py"), "--quiet"]
    else:
        workers = ["--workers", "2"] if name == WORKERS else []
        line = [sys.executable, str(stages.scripts / f"{name}.py"), *stages.options[name], *workers]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(line, cwd=folder, text=True, start_new_session=True, preexec_fn=_hear_all, **pipes)


def _hear_all():
    """A background shell makes SIGINT ignored, and nohup SIGHUP: here they are heard."""
    for kind in KINDS:
        signal.signal(kind, signal.SIG_DFL)


def test_a_signal_ends_a_stage_in_one_line(whole, stages, tally, tmp_path):
    chance = random.Random(SEED)
    for number in range(SIGNALS):
        name = chance.choice([*stages.names, REPRODUCE])
        folder = tmp_path / str(number)
        if name == REPRODUCE:
            folder.mkdir()
        else:
            stages.before(name, whole.folder, folder)
        kind, to_all = chance.choice([*KINDS]), chance.random() < 0.5
        process = begin(name, folder, stages)
        hears(process)
        time.sleep(chance.uniform(0, 1.05) * whole.seconds.get(name, 30))
        below = descendants(process.pid)
        if process.poll() is None:
            os.killpg(process.pid, kind) if to_all else process.send_signal(kind)
        out, err = process.communicate(timeout=120)
        case = (number, name, kind, to_all, process.returncode, err[-900:])
        assert "Traceback" not in out + err and "Exception" not in err, case
        if process.returncode == 0:  # it came after the last line
            tally[f"{name} had ended"] += 1
        else:
            assert process.returncode == 128 + kind, case
            assert err.splitlines()[-1:] == [f"{KINDS[kind]}; the same command continues"], case
            assert len([line for line in err.splitlines() if "continues" in line]) == 1, case
            tally[f"{kind.name}{' to all' if to_all else ''}: one line, {128 + kind}"] += 1
            if name == REPRODUCE:  # nothing is begun afterwards
                assert out.count("\n$ ") == max(out.count("$ python") - 1, 0), case
                time.sleep(1)
            elif number % 10 == 0:
                stages.finish(name, folder)
                assert stages.files(name, folder) == whole.files[name], case
                tally["and then the same files"] += 1
        ended = time.monotonic()
        while any(map(lives, below)):
            assert time.monotonic() < ended + 60, (case, [pid for pid in below if lives(pid)])
            time.sleep(0.05)
        shutil.rmtree(folder)


@pytest.mark.parametrize("name", [REPRODUCE, WORKERS])
def test_nothing_outlives_its_parent(name, whole, stages, tally, tmp_path):
    """kill -9 of the parent, at five moments: a minute later at most no process of its own is left."""
    chance = random.Random(SEED)
    for number in range(5):
        folder = tmp_path / str(number)
        folder.mkdir() if name == REPRODUCE else stages.before(name, whole.folder, folder)
        process = begin(name, folder, stages)
        while process.poll() is None and not descendants(process.pid):
            time.sleep(0.01)
        time.sleep(chance.uniform(0, 8))
        below = descendants(process.pid)
        process.kill()
        process.communicate()
        ended = time.monotonic()
        while any(map(lives, below)):
            assert time.monotonic() < ended + 60, below
            time.sleep(0.05)
        tally[f"{name} killed: {len(below)} processes ended with it"] += 1


def test_a_process_that_ignores_a_hangup_goes_on(whole, stages, tmp_path):
    """As nohup makes it."""
    script = "dare/2_slice"
    folder = stages.before(script, whole.folder, tmp_path / "run")
    line = [sys.executable, str(stages.scripts / f"{script}.py"), *stages.options[script]]
    process = subprocess.Popen(["bash", "-c", f"trap '' HUP; exec {shlex.join(line)}"], cwd=folder)
    hears(process)
    process.send_signal(signal.SIGHUP)
    assert process.wait() == 0
