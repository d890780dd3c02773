"""Bad command lines, several hundred: one sentence that names what was seen, exit status 2, nothing changed on disk.

Every option of every script is given what it cannot be; run by pytest -m faults tests/faults -s, which prints a tally.
"""

import argparse
import contextlib
import io
import pathlib
import runpy
import signal
import sys

import pytest

from pipeline import command

pytestmark = pytest.mark.faults
SCRIPTS = pathlib.Path(__file__).resolve().parents[2] / "scripts"
STAGES = sorted(path.relative_to(SCRIPTS).as_posix() for path in SCRIPTS.rglob("*.py") if path.name != "reproduce.py")
NEVER = {"help"}


def run(script, *options):
    """A script in this process: (exit status, standard error)."""
    out, err, code = io.StringIO(), io.StringIO(), 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [script, *options])
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            signal.alarm(20)  # a command that is not refused would train
            try:
                runpy.run_path(str(SCRIPTS / script), run_name="__main__")
            except SystemExit as exit:
                code = exit.code
            finally:
                signal.alarm(0)
    return code, err.getvalue()


def parser_of(script):
    """The parser that a script passes to command.run."""
    parsers = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(command, "run", lambda main, parser, follower=None: parsers.append(parser))
        patch.setattr(sys, "argv", [script])
        runpy.run_path(str(SCRIPTS / script), run_name="__main__")
    return parsers[0]


def bad_lines(script):
    """Command lines that a script must refuse, each with a word that the error must contain."""
    yield ["--nonsense"], "--nonsense"
    yield ["nonsense"], "nonsense"
    for action in parser_of(script)._actions:
        if action.dest in NEVER or not action.option_strings:
            continue
        option = action.option_strings[-1]
        if action.nargs == 0:
            yield [f"{option}=nonsense"], option
            continue
        if action.nargs not in ("*", "?"):
            yield [option], option
        if action.choices is not None:
            yield [option, "nonsense"], "nonsense"
            yield [option, ""], option
        elif action.type is not None:
            for value in ("nonsense", "nan", "1e999", "--", ""):
                if (value != "--" or action.nargs != "*") and refused(action.type, value):
                    yield [f"{option}={value}"], option
            for value in ("-1", "0", "2.5", "99999999999999999999"):
                if refused(action.type, value):
                    yield [f"{option}={value}"], option


def refused(kind, value):
    """Whether an option's type accepts an invalid value."""
    try:
        kind(value)
    except (argparse.ArgumentTypeError, ValueError, TypeError):
        return True
    return False


INPUTS = [
    (["--dataset", "folder:nowhere"], "nowhere"),
    (["--dataset", "folder:"], "folder:"),
    (["--dataset", "mnist", "--data-dir", "nowhere"], "nowhere"),
    (["--runs", "occupied"], "occupied"),
]
TALLY = {}


@pytest.fixture(autouse=True)
def impatient():
    """A command that runs for long fails the test."""

    def stop(number, frame):
        raise TimeoutError("still at work after 20 s: it was not refused")

    before = signal.signal(signal.SIGALRM, stop)
    yield
    signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("script", STAGES)
def test_every_option_refuses_what_it_cannot_be(script, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "occupied").write_text("a file, not a folder")
    before = sorted(path.name for path in tmp_path.rglob("*"))
    lines = list(bad_lines(script))
    known = {option for action in parser_of(script)._actions for option in action.option_strings}
    lines += [(line, word) for line, word in INPUTS if set(line[::2]) <= known]
    for line, word in lines:
        code, error = run(script, *line)
        assert code == 2, (script, line, code, error)
        assert "Traceback" not in error and error.count("\n") == 1 and len(error) < 900, (script, line, error)
        known_input = line in [options for options, _ in INPUTS]
        missing = "arguments are required" in error  # they are asked for first
        assert word in error or missing or (known_input and "make" in error), (script, line, error)
        assert sorted(path.name for path in tmp_path.rglob("*")) == before, (script, line)
    TALLY[script] = len(lines)


def test_tally():
    """Printed last: how many command lines were refused."""
    print("\n".join(f"{count:4d} {script}" for script, count in TALLY.items()))
    print(f"{sum(TALLY.values())} bad command lines of {len(TALLY)} scripts refused in one sentence")
    assert not TALLY or len(TALLY) < len(STAGES) or sum(TALLY.values()) >= 300
