"""Ctrl-C and its kind: a script that is told to end does so at once, in one line, with the shell's exit status.

A thread waits for the signals, which all others hold back: nothing is raised inside a library's callback, while HDF5
writes or while modules load, and nothing runs on afterwards. What is on the disk is whole (data.files.atomic), as after
kill -9, so the same command continues. A process that another one of ours began says nothing itself, and ends within a
second of it.
"""

import concurrent.futures
import contextlib
import multiprocessing.resource_tracker
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time

ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PARENT = "DARE_PARENT"  # in the environment: the process that began this one, and speaks for it
SCRIPTS = pathlib.Path(__file__).resolve().parent.parent / "scripts"
EXITS = [128 + each for each in ENDS]
GRACE = 5  # seconds that a child has to end by itself

_children = []
_ending = threading.Event()
_at_end = []


def install():
    """Let the signals end this process, if it is one of the scripts (of a library's user they are the user's own).

    Those that it was begun to ignore, by nohup for example, stay ignored. $DARE_DEBUG=1: a traceback instead.
    """
    parent = multiprocessing.parent_process()
    owner = parent.pid if parent else int(os.environ.get(PARENT) or 0)
    if os.environ.get("DARE_DEBUG") or _waiting() or not (parent or _is_script()):
        return
    if owner and os.getppid() != owner:  # it has ended already
        os._exit(128 + signal.SIGTERM)
    heard = _hold()
    with contextlib.suppress(AttributeError, ValueError):  # a standard output that is no file of ours
        sys.stdout.reconfigure(line_buffering=True)  # what was said is not lost where it goes to a file
    threading.Thread(target=_wait, args=(heard, not owner, os.dup(2)), name=__name__, daemon=True).start()
    if owner:
        threading.Thread(target=_follow, args=(owner,), daemon=True).start()


def pool(count, prepare, *arguments):
    """A ProcessPoolExecutor of `count` processes that end with this one; ``prepare(*arguments)`` runs in each first."""
    multiprocessing.resource_tracker.ensure_running()  # Python's own helper, at whose start signals are let through
    if _waiting():
        _hold()
    context = multiprocessing.get_context("spawn")
    return concurrent.futures.ProcessPoolExecutor(count, context, initializer=_begin, initargs=(prepare, arguments))


def at_end(function):
    """Call `function()` before a signal ends this process."""
    _at_end.append(function)


def run(command):
    """Run a command that ends with this process; its exit status, 128 plus the signal where one ended it."""
    with subprocess.Popen(command, env={**os.environ, PARENT: str(os.getpid())}) as child:
        _children.append(child)
        code = child.wait()
        code = 128 - code if code < 0 else code
        if code in EXITS and _ending.wait(1):  # the signal was for both
            threading.Event().wait()  # until this process has ended
        _children.remove(child)
    return code


def _hold():
    """Hold the signals back in this thread, and in all that it begins. Returns them, without those that are ignored."""
    heard = [each for each in ENDS if signal.getsignal(each) not in (signal.SIG_IGN, None)]
    signal.pthread_sigmask(signal.SIG_BLOCK, heard)
    return heard


def _begin(prepare, arguments):
    install()
    prepare(*arguments)


def _wait(heard, speaks, error):
    number = signal.sigwait(heard)
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
    if speaks:
        said = "interrupted" if number == signal.SIGINT else f"ended by {signal.Signals(number).name}"
        shown = "\x1b[?25h\n" if os.isatty(error) else ""  # a progress bar hides the cursor
        os.write(error, f"{shown}{said}; the same command continues\n".encode())
    os._exit(128 + number)


def _follow(parent):
    """End with the parent, whatever ended that."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(128 + signal.SIGTERM)


def _is_script():
    file = getattr(sys.modules["__main__"], "__file__", None)
    return file is not None and SCRIPTS in pathlib.Path(file).resolve().parents


def _waiting():
    return any(thread.name == __name__ for thread in threading.enumerate())
