"""Train the reduced models of Apricot: M's architecture and recipe on a random part of x_train, kept in the stage.

All steps are float32, also where M's were bfloat16. [D]
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable

import numpy

from studies.dare import trained_cell
from train import seeds
from train.fit import fit
from train.history import History

FEW = 64  # x_validation images on which each epoch is recorded: none takes part in anything


def train(
    trained: trained_cell.Trained,
    folder: pathlib.Path,
    seed: int,
    place: int,
    fraction: float,
    progress: Callable | None = None,
) -> tuple[list, int]:
    """(the weights of the reduced model of a number, its forward passes in images); a killed training is continued.

    trained: trained_cell.Trained.
    folder: of its history; seed: of the cell.
    place: from 0; fraction: of x_train.
    progress: called as progress(done, total, note).
    Raises ValueError where the source model has no recipe, as an imported one.
    """
    split, recipe = trained.split, trained_cell.recipe_of(trained, "apricot", "--method apricot")
    count = max(len(split.classes), round(fraction * len(split.x_train)))
    order = seeds.stream(seed, "images of a reduced model", place).permutation(len(split.x_train))
    rows = numpy.sort(order[:count])
    part = dataclasses.replace(
        split,
        x_train=split.x_train[rows],
        y_train=split.y_train[rows],
        x_validation=split.x_validation[:FEW],
        y_validation=split.y_validation[:FEW],
    )
    number = int(seeds.stream(seed, "weights of a reduced model", place).integers(2**31))
    seeds.seed_weights(number)
    model, history = trained.history.architecture(), History(folder)
    settings = {"recipe": recipe, "seed": number, "epochs": trained.history.last, "keep": "last"}
    fit(model, part, history=history, **settings, origin={"place": place, "fraction": fraction}, progress=progress)
    return model.get_weights(), history.last * count
