"""The arguments of a stage."""

import argparse

import pytest

from pipeline import run_directory


@pytest.fixture
def arguments(tmp_path):
    """``arguments(**changes)``: an argparse namespace of one cell under tmp_path/runs; no stage stays under way."""

    def arguments(**changes):
        made = {
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
        return argparse.Namespace(**made | changes)

    yield arguments
    run_directory.abandon()
