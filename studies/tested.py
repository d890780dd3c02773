"""Test a model and save its flags and checks: shared by the test stages of the studies."""

from __future__ import annotations  # its types load no library (pipeline/late.py)

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy

import models
from adv import checks
from dare import test
from dare.flags import Flags
from data.split import Split
from pipeline.progress import Progress


def test_and_keep(
    path: pathlib.Path,
    model: keras.Model,
    split: Split,
    *,
    note: str,
    quiet: bool,
    checked: numpy.ndarray,
    epsilons: Sequence[float],
    rows: numpy.ndarray,
    sets: Mapping | None = None,
    minimal: Mapping | None = None,
    transferred: numpy.ndarray | None = None,
    **options: Any,
) -> Flags:
    """The Flags of a model with its checks (adv.checks). Read from `path` if it exists, else tested and saved there.

    note: text of the progress line
    checked: rows of x_test for the checks
    rows: rows of x_test that are attacked
    epsilons, sets, minimal, options: as in dare.test.test
    transferred: as in adv.checks.check
    Raises ValueError if the file is of another model or other data.
    """
    identity = models.fingerprint(model)
    if not path.is_file():
        with Progress(note, quiet) as progress:
            settings = {"epsilons": epsilons, "rows": rows, "minimal": minimal or {}, "progress": progress, **options}
            flags = test.test(model, split, sets or {}, fingerprint=identity, **settings)
            results = checks.check(
                model,
                split.x_test[checked],
                split.y_test[checked],
                epsilon=max(epsilons),
                transferred=transferred,
                attacked=(split.x_test[rows], split.y_test[rows]),
            )
        dataclasses.replace(flags, checks=tuple(map(dataclasses.asdict, results))).save(path)
    return Flags.load(path, model=identity, data=split.fingerprint)
