"""Arguments of a stage, and finished and killed stages."""

import argparse
import types

import pytest

from data import files
from pipeline import run_directory


@pytest.fixture
def arguments(tmp_path):
    """``arguments(**changes)``: an argparse namespace of one cell under tmp_path/runs; no stage stays under way."""

    def arguments(**changes):
        values = {
            "study": "dare",
            "dataset": "digits",
            "model": "alexnet",
            "seed": 3,
            "runs": str(tmp_path / "runs"),
            "overwrite": False,
            "quiet": False,
            "data_dir": None,
            "epochs": 4,
        }
        return argparse.Namespace(**values | changes)

    yield arguments
    run_directory.abandon()


def whole(stage, arguments, content="made", inputs=(), uses=None):
    """One stage from begin to finish, which writes one file."""
    opened_stage = run_directory.begin(stage, arguments, inputs, uses)
    files.write_text(opened_stage.folder / "out.txt", content)
    run_directory.finish(opened_stage, extra=1)
    return opened_stage.folder


def killed(stage, arguments, uses=None, names=("half.txt",)):
    """A stage that wrote something and never finished."""
    opened_stage = run_directory.begin(stage, arguments, uses=uses)
    for name in names:
        files.write_text(opened_stage.folder / name, "half")
    run_directory.abandon()
    return opened_stage.folder


def listing(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.fixture
def stages():
    """The functions above."""
    return types.SimpleNamespace(whole=whole, killed=killed, listing=listing)
