"""How a script ends: status 2 and one sentence for expected errors, a traceback for bugs."""

import logging
import os
import pathlib
import subprocess
import sys

import keras
import pytest

from pipeline import command, run_directory


def exhausted():
    """The error of this backend where an accelerator has no memory left."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow

        return tensorflow.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor\nwith shape[9]")
    import jax

    return jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate\n9 bytes")


def test_tensorflow_does_not_warn_unless_asked(monkeypatch):
    logger = logging.getLogger("tensorflow")
    monkeypatch.setattr(logger, "level", logging.WARNING)
    monkeypatch.setenv("DARE_DEBUG", "1")
    command.load()
    assert logger.level == logging.WARNING
    monkeypatch.delenv("DARE_DEBUG")
    command.load()
    assert logger.level == logging.ERROR


def test_a_model_is_listed_once():
    said = command.parser("x", study="dare", accepted=["vgg16", "alexnet", "vgg16"]).format_help()
    assert "vgg16, alexnet\n" in said


@pytest.fixture
def script(monkeypatch):
    """``script(main)``: command.run with a main and no arguments."""
    monkeypatch.setattr(sys, "argv", ["scripts/x.py"])
    monkeypatch.delenv("DARE_DEBUG", raising=False)
    return lambda main: command.run(main, command.parser("x", study="dare"))


def raising(error):
    def main(arguments):
        raise error

    return main


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ValueError("a\n b"), "a b"),
        (FileNotFoundError(2, "No such file or directory", "there"), "there: No such file or directory"),
        (MemoryError("Unable to allocate 9 EiB"), "out of memory: give it more, or a smaller"),
        (RecursionError("maximum recursion depth exceeded"), "nested too deeply: maximum recursion depth"),
        (ZeroDivisionError("division by zero"), "division by zero"),
        (exhausted(), "out of memory: give it more, or a smaller"),
    ],
)
def test_what_goes_wrong_is_one_sentence(script, capsys, error, message):
    with pytest.raises(SystemExit) as ended:
        script(raising(error))
    err = capsys.readouterr().err
    assert ended.value.code == 2 and err.startswith(f"x.py: {message}") and err.count("\n") == 1


@pytest.mark.parametrize("error", [KeyError("x"), NotImplementedError("x"), RuntimeError("x"), SystemExit(3)])
def test_a_fault_of_ours_keeps_its_traceback_and_takes_its_stage_back(script, arguments, tmp_path, error):
    def main(_):
        run_directory.begin("train", arguments())
        raise error

    with pytest.raises(type(error)):
        script(main)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["torch", "nonsense"])
def test_another_backend_is_named(name):
    script = pathlib.Path(command.__file__).parents[1] / "scripts" / "dare" / "2_slice.py"
    environment = os.environ | {"KERAS_BACKEND": name}
    line = [sys.executable, str(script)]
    completed = subprocess.run(line, env=environment, capture_output=True, text=True, check=False)
    assert completed.returncode == 2 and completed.stderr.count("\n") == 1
    assert f"Keras's backend is {name!r}, expected tensorflow or jax" in completed.stderr
