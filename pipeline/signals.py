"""Ctrl-C and other signals: a script ends at once, with one line and the shell's exit status.

One thread waits for the signals, which all other threads block. So no exception is raised inside a library's callback,
while HDF5 writes or while modules load, and nothing runs on afterwards. Files on the disk are whole
(data.files.atomic), as after kill -9, so the same command continues. A process that was started by another script
prints nothing, and ends within a second of it.
"""

import concurrent.futures
import contextlib
import math
import multiprocessing.resource_tracker
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PARENT = "DARE_PARENT"  # environment variable: the process that started this one, and prints the line for it
SCRIPTS = pathlib.Path(__file__).resolve().parent.parent / "scripts"
EXITS = [128 + each for each in ENDS]
GRACE = 5  # seconds for a child to end by itself

_children = []
_ending = threading.Event()
_at_end = []


def install() -> None:
    """Let the signals end this process if it is one of the scripts; a program that imports the library is left alone.

    Signals that the process was started to ignore, by nohup for example, stay ignored. $DARE_DEBUG=1: a traceback
    instead.
    """
    parent = multiprocessing.parent_process()
    owner = parent.pid if parent else int(os.environ.get(PARENT) or 0)
    if os.environ.get("DARE_DEBUG") or _waiting() or not (parent or _is_script()):
        return
    if owner and os.getppid() != owner:  # the parent has ended already
        os._exit(128 + signal.SIGTERM)
    blocked = _block()
    with contextlib.suppress(AttributeError, ValueError):  # standard output was replaced
        sys.stdout.reconfigure(line_buffering=True)  # output to a file is not lost
    threading.Thread(target=_wait, args=(blocked, not owner, os.dup(2)), name=__name__, daemon=True).start()
    if owner:
        threading.Thread(target=_follow, args=(owner,), daemon=True).start()


def pool(count: int, prepare: Callable, *arguments: Any) -> concurrent.futures.ProcessPoolExecutor:
    """A ProcessPoolExecutor of `count` processes that end with this one; each first runs ``prepare(*arguments)``."""
    _start_tracker()
    if _waiting():  # the start unblocks the signals
        _block()
    context = multiprocessing.get_context("spawn")
    return concurrent.futures.ProcessPoolExecutor(count, context, initializer=_begin, initargs=(prepare, arguments))


def _start_tracker():
    """Start Python's helper that cleans up after the processes of a pool, also after a signal: without a warning."""
    before = os.environ.get("PYTHONWARNINGS")
    os.environ["PYTHONWARNINGS"] = ",".join(filter(None, (before, "ignore:resource_tracker:UserWarning")))
    multiprocessing.resource_tracker.ensure_running()
    if before is None:
        del os.environ["PYTHONWARNINGS"]
    else:
        os.environ["PYTHONWARNINGS"] = before


def at_end(function: Callable) -> None:
    """Call `function()` before a signal ends this process."""
    _at_end.append(function)


def run(command: Sequence[str], until: float = math.inf) -> int:
    """Run a command that ends with this process.

    until: time.monotonic() at which it is ended by SIGTERM
    Returns its exit status, or 128 plus the signal that ended it.
    """
    with subprocess.Popen(command, env={**os.environ, PARENT: str(os.getpid())}) as child:
        _children.append(child)
        try:
            code = child.wait(None if math.isinf(until) else max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            child.terminate()
            code = child.wait()
        code = 128 - code if code < 0 else code
        if code in EXITS and _ending.wait(1):  # this process has the signal too
            threading.Event().wait()  # until it has ended
        _children.remove(child)
    return code


def _block():
    """Block the signals in this thread, and in all that it starts. Returns them, without those that are ignored."""
    blocked = [each for each in ENDS if signal.getsignal(each) not in (signal.SIG_IGN, None)]
    signal.pthread_sigmask(signal.SIG_BLOCK, blocked)
    return blocked


def _begin(prepare, arguments):
    """The first call in a process of a pool."""
    install()
    prepare(*arguments)


def _wait(blocked, prints, error):
    """Wait for a signal; then end the children, call the functions of `at_end`, print one line, and exit.

    prints: whether to print; error: descriptor of standard error.
    """
    number = signal.sigwait(blocked)
    _ending.set()
    for child in list(_children):
        child.terminate()
    deadline = time.monotonic() + GRACE
    for child in list(_children):
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(max(0, deadline - time.monotonic()))
        child.kill()
    for function in _at_end:
        with contextlib.suppress(Exception):
            function()
    if prints:
        how = "interrupted" if number == signal.SIGINT else f"ended by {signal.Signals(number).name}"
        cursor = "\x1b[?25h\n" if os.isatty(error) else ""  # a progress bar hides it
        os.write(error, f"{cursor}{how}; the same command continues\n".encode())
    os._exit(128 + number)


def _follow(parent):
    """End with the parent, for whatever reason it ended."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(128 + signal.SIGTERM)


def _is_script():
    """Whether this process runs one of the scripts."""
    file = getattr(sys.modules["__main__"], "__file__", None)
    return file is not None and is_script(file)


def is_script(path: str | pathlib.Path) -> bool:
    """Whether a file is one of the scripts."""
    return SCRIPTS in pathlib.Path(path).resolve().parents


def _waiting():
    """Whether the thread that waits for signals runs."""
    return any(thread.name == __name__ for thread in threading.enumerate())
