"""AutoAttack run anew on a model of the study, for a part of its clean test images."""

from __future__ import annotations  # its types load no library (pipeline/late.py)

import pathlib
from collections.abc import Callable

import keras
import numpy

from adv import evaluation
from data import files
from train import seeds


def autoattack(
    model: keras.Model,
    x: numpy.ndarray,
    y: numpy.ndarray,
    path: pathlib.Path,
    *,
    images: int,
    epsilon: float,
    seed: int,
    progress: Callable | None = None,
) -> dict:
    """The row of adv.evaluation.benchmark, kept in `path`; the flags of each attack lie in a folder beside it.

    x, y: clean test images (N, H, W, C) and their labels (N,).
    images: how many of them are attacked, drawn by the seed.
    epsilon: Linf radius in [0, 1] pixel scale.
    A killed call continues; a finished one is read back.
    """
    if path.is_file():
        return files.read_sealed(path)
    rows = numpy.sort(seeds.stream(seed, "attacked images").permutation(len(y))[:images])
    folder = path.with_suffix("")
    folder.mkdir(parents=True, exist_ok=True)
    result = evaluation.benchmark(
        model, x[rows], y[rows], epsilon=epsilon, seed=seed, folder=folder, progress=progress
    ).row()
    files.write_sealed(path, result)
    return result
