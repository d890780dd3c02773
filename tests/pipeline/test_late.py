"""Help and argument errors load no heavy library; a missing package is a sentence."""

import os
import pathlib
import runpy
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
SCRIPTS = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "scripts").rglob("*.py"))
HEAVY = {"tensorflow", "jax", "keras.src", "foolbox.attacks", "sklearn.base", "scipy.stats._stats_py", "pandas.core"}


def run(*arguments, **settings):
    environment = {name: value for name, value in os.environ.items() if name != "DARE_DEBUG"}
    line = [sys.executable, *arguments]
    return subprocess.run(line, capture_output=True, text=True, check=False, **{"env": environment, **settings})


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_loads_no_heavy_library(script, tmp_path):
    completed = run("-X", "importtime", str(ROOT / script), "--help", cwd=tmp_path)
    loaded = {
        line.rpartition("|")[2].strip() for line in completed.stderr.splitlines() if line.startswith("import time:")
    }
    assert completed.returncode == 0 and completed.stdout.startswith("usage: ") and "argparse" in loaded
    assert not loaded & HEAVY
    assert "\n    python " in completed.stdout  # an example


@pytest.mark.parametrize("script", SCRIPTS)
def test_the_help_says_what_each_option_is(script):
    options = runpy.run_path(str(ROOT / script))["options"]()
    assert [action.option_strings for action in options._actions if not action.help] == []


def test_nor_does_an_argument_error(tmp_path):
    script = str(ROOT / "scripts/dare/1_train.py")
    completed = run("-X", "importtime", script, "--dataset", "cifra10", cwd=tmp_path)
    errors = [line for line in completed.stderr.splitlines() if not line.startswith("import time:")]
    assert completed.returncode == 2 and len(errors) == 1 and "did you mean cifar10?" in errors[0]
    assert not {"tensorflow", "jax", "keras.src"} & {line.split()[-1] for line in completed.stderr.splitlines()}


def test_another_python_is_told_which_to_use(tmp_path):
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    completed = run("-S", str(ROOT / "scripts/dare/1_train.py"), cwd=tmp_path, env=environment)
    message = "no module pipeline: run it with .venv/bin/python (make quick makes it)\n"
    assert completed.returncode and completed.stderr == message
    completed = run(
        "-S", str(ROOT / "scripts/dare/1_train.py"), cwd=tmp_path, env=environment | {"PYTHONPATH": str(ROOT)}
    )
    assert completed.returncode == 2 and completed.stderr == f"1_train.py: {message.replace('pipeline', 'numpy')}"


def test_a_program_that_imports_the_packages_loads_them_at_once(tmp_path):
    program = "import sys, pipeline.command; assert 'keras.src' in sys.modules"
    completed = run("-c", program, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)})
    assert completed.returncode == 0, completed.stderr
