"""Progress: a bar on a terminal, plain lines elsewhere, nothing when quiet."""

import contextlib
import os
import pty
import sys

import pytest

from pipeline import progress as of_progress
from pipeline.progress import Progress


@pytest.fixture
def on_terminal(monkeypatch):
    """``on_terminal(action)``: what an action shows where standard error is a terminal."""
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")

    def shown(action):
        master, slave = pty.openpty()
        with os.fdopen(slave, "w") as stream, monkeypatch.context() as changed:
            changed.setattr(sys, "stderr", stream)
            action()
        output = b""
        with contextlib.suppress(OSError):  # the other end is closed
            while block := os.read(master, 10_000):
                output += block
        os.close(master)
        return output.decode()

    return shown


def work(quiet=False):
    with Progress("work", quiet) as progress:
        for done in range(1, 4):
            progress(done, 3, f"note {done}")


def test_a_terminal_shows_a_bar(on_terminal):
    output = on_terminal(work)
    assert "work" in output and "━" in output and "100%" in output and "note 3" in output


def test_quiet_shows_nothing_even_there(on_terminal):
    assert on_terminal(lambda: work(quiet=True)) == ""


def test_no_terminal_gets_the_last_line_alone(capsys):
    work()
    assert capsys.readouterr().err == "work: 3/3 note 3, 0 s\n"


def test_no_terminal_gets_a_line_every_ten_seconds(capsys, monkeypatch):
    seconds = iter(range(0, 100, 4))  # asked for once at the start and once a call
    monkeypatch.setattr(of_progress.time, "monotonic", lambda: next(seconds))
    with Progress("work") as progress:
        for done in range(1, 8):
            progress(done, 9)
    assert capsys.readouterr().err == "work: 3/9, 12 s, about 24 s left\nwork: 6/9, 24 s, about 12 s left\n"


def test_the_time_left_is_of_what_this_process_has_done(capsys, monkeypatch):
    seconds = iter([0, 30, 60])
    monkeypatch.setattr(of_progress.time, "monotonic", lambda: next(seconds))
    with Progress("work") as progress:
        for done in (91, 92):  # it goes on after 90
            progress(done, 100)
    assert capsys.readouterr().err == "work: 91/100, 30 s\nwork: 92/100, 60 s, about 4 min left\n"


def test_quiet_says_nothing(capsys):
    work(quiet=True)
    assert capsys.readouterr().err == ""
