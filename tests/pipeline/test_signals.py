"""How a signal ends a script and its children: one line, its status; programs that import us keep their handlers."""

import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from pipeline import signals

ROOT = pathlib.Path(signals.__file__).resolve().parents[1]
SLEEPS = "import pipeline, time, sys; print('ready', flush=True); time.sleep(60)"
SCRIPT = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
sys.modules["__main__"].__file__ = {str(ROOT / "scripts" / "dare" / "x.py")!r}
from pipeline import signals
"""
PARENT = SCRIPT + "print('ready', flush=True); signals.run([sys.executable, '-c', sys.argv[1]]); print('afterwards')"
POOLED = """
import os, time
from pipeline import signals

def told():
    print("child", os.getpid(), flush=True)
    time.sleep(60)

if __name__ == "__main__":
    signals.pool(1, os.getpid).submit(told)
    time.sleep(60)
"""
SCRIPT_WITH_POOL = (
    """
import pathlib
from pipeline import signals
signals.SCRIPTS = pathlib.Path(__file__).parent
signals.install()
"""
    + POOLED
)
CHILD = SCRIPT + "import os, time; print('child', os.getpid(), flush=True); time.sleep(60)"


def heard():
    """Do not ignore SIGINT, as a shell lets processes in the background do, nor SIGHUP, as nohup does."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def begin(code, *arguments, **settings):
    line = [sys.executable, "-c", code, *arguments]
    environment = {name: value for name, value in os.environ.items() if name != "DARE_DEBUG"} | {
        "PYTHONPATH": str(ROOT)
    }
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen(line, text=True, env=environment, **{"preexec_fn": heard, **pipes, **settings})
    assert process.stdout.readline() == "ready\n"
    return process


def child_of(process):
    """The process id that the child of PARENT prints."""
    word, number = process.stdout.readline().split()
    assert word == "child"
    return int(number)


def wait_for_end(pid):
    deadline = time.monotonic() + 20
    while pathlib.Path(f"/proc/{pid}").exists() and pathlib.Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z":
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("number", "line"),
    [(signal.SIGINT, "interrupted"), (signal.SIGTERM, "ended by SIGTERM"), (signal.SIGHUP, "ended by SIGHUP")],
)
def test_a_script_ends_in_one_line(number, line):
    process = begin(SCRIPT + SLEEPS)
    process.send_signal(number)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (128 + number, "", f"{line}; the same command continues\n")


WRITES = """
import threading, time
from data import files

signals.at_end(files.discard)  # as pipeline.command does, which here would load and print TensorFlow's lines

def main(arguments):
    signals.at_end(lambda: (ended.set(), time.sleep(2)))  # the writer gets its time to fail
    with files.atomic(sys.argv[1]) as path:
        path.write_text("half")
        print("ready", flush=True)
        ended.wait()

ended = threading.Event()
main(None)
print("went on", flush=True)
"""


def test_a_writer_whose_file_is_deleted_waits_for_the_end(tmp_path):
    process = begin(SCRIPT + WRITES, str(tmp_path / "x.txt"))
    process.terminate()
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (143, "") and err == "ended by SIGTERM; the same command continues\n"
    assert not list(tmp_path.iterdir())


def test_what_a_script_was_writing_is_deleted(tmp_path):
    writes = "from pipeline import command; from data import files\nwith files.atomic(sys.argv[1]) as path:\n    "
    begun = "path.write_text('half'); print('ready', flush=True); import time; time.sleep(60)"
    process = begin(SCRIPT + writes + begun, str(tmp_path / "x.txt"))
    process.terminate()
    process.communicate(timeout=20)
    assert process.returncode == 143 and not list(tmp_path.iterdir())


@pytest.mark.parametrize("to_all", [False, True])
def test_a_child_ends_with_its_parent_which_speaks_for_both(to_all):
    process = begin(PARENT, CHILD, start_new_session=True)
    child = child_of(process)
    os.killpg(process.pid, signal.SIGINT) if to_all else process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (130, "", "interrupted; the same command continues\n")
    wait_for_end(child)


def test_a_child_ends_with_a_parent_that_was_killed():
    process = begin(PARENT, CHILD)
    child = child_of(process)
    process.kill()
    process.communicate()
    wait_for_end(child)


def test_a_child_that_is_ended_alone_has_the_status_of_its_signal():
    process = begin(
        SCRIPT + "print('ready', flush=True); print(signals.run([sys.executable, '-c', sys.argv[1]]))", CHILD
    )
    os.kill(child_of(process), signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (0, "130\n", "")


def test_the_processes_of_a_pool_end_with_a_parent_that_was_killed(tmp_path):
    (tmp_path / "pooled.py").write_text(POOLED)
    process = subprocess.Popen(
        [sys.executable, str(tmp_path / "pooled.py")], stdout=subprocess.PIPE, text=True, env={"PYTHONPATH": str(ROOT)}
    )
    child = child_of(process)
    process.kill()
    process.wait()
    wait_for_end(child)
    process.communicate()


def test_a_script_with_a_pool_ends_in_one_line_too(tmp_path):
    """The semaphores of the pool are cleaned up by a helper of Python, which is silent."""
    (tmp_path / "pooled.py").write_text(SCRIPT_WITH_POOL)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "env": {"PYTHONPATH": str(ROOT)}}
    process = subprocess.Popen([sys.executable, str(tmp_path / "pooled.py")], **pipes)
    child = child_of(process)
    process.terminate()
    _, err = process.communicate(timeout=20)  # after the last process that holds the pipe
    assert (process.returncode, err) == (143, "ended by SIGTERM; the same command continues\n")
    wait_for_end(child)


@pytest.mark.parametrize(
    ("code", "ended"), [("sys.exit(0)", 0), ("sys.exit(3)", 3), ("os.kill(os.getpid(), signal.SIGKILL)", 137)]
)
def test_the_status_of_a_command_is_that_of_a_shell(code, ended):
    assert signals.run([sys.executable, "-c", f"import os, signal, sys; {code}"]) == ended


def test_a_command_is_ended_in_time():
    began = time.monotonic()
    assert signals.run([sys.executable, "-c", "import time; time.sleep(60)"], began + 0.5) == 128 + signal.SIGTERM
    assert signals.run([sys.executable, "-c", "import time; time.sleep(60)"], began) == 128 + signal.SIGTERM
    assert time.monotonic() - began < 30


def test_a_program_of_a_user_who_imports_the_package_keeps_its_handlers():
    process = begin(SLEEPS)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert process.returncode != 130 and "KeyboardInterrupt" in err


def test_what_is_ignored_stays_ignored():
    process = begin(
        SCRIPT + "import time; print('ready', flush=True); time.sleep(1)",
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),
    )
    process.send_signal(signal.SIGHUP)
    assert process.wait(timeout=20) == 0
