"""RobOT in a cell of guided retraining: its attacked images, and a retraining of each selection."""

from __future__ import annotations

import pathlib
import time

import numpy

import data
from adv import search
from adv.guided import fol, retraining, robot, selection
from data import files
from pipeline import run_directory
from studies.guided_retraining import cell as guided_cell
from studies.guided_retraining.cell import Cell, Inputs


def attack(cell: Cell, *, epsilon: float, seed: int) -> Inputs:
    """The pool of training images, those that fool the original model [P], and all attacked test images [D].

    Raises ValueError if no attack succeeds.
    """
    parts = {"train": (cell.split.x_train, cell.split.y_train), "test": (cell.split.x_test, cell.split.y_test)}
    fields = {name: {} for name in ("images", "labels", "rows", "attack")}
    for part, (x, y) in parts.items():
        adversarials = {
            name: robot.attack(cell.model, x, y, name, epsilon=epsilon, seed=seed) for name in robot.ATTACKS
        }
        images, labels = numpy.concatenate(list(adversarials.values())), numpy.concatenate([y] * len(adversarials))
        rows, names = numpy.tile(numpy.arange(len(y)), len(adversarials)), numpy.repeat(list(adversarials), len(y))
        kept = search.classes(cell.model, images) != labels if part == "train" else numpy.ones(len(labels), bool)
        if not kept.any():
            raise ValueError(f"no attack of epsilon {epsilon:g} fools the original model: pass a larger --epsilon")
        for name, values in zip(fields, (images, labels, rows, names), strict=True):
            fields[name][part] = values[kept]
    return Inputs(**fields, model=cell.identity, data=cell.split.fingerprint)


def evidence(cell: Cell, inputs: Inputs, *, epsilon: float) -> tuple[dict, float]:
    """({"fol": (N,), "probabilities": (N, K)} of the pool at the original model, seconds)."""
    started_at = time.perf_counter()
    x, y, rows = (getattr(inputs, name)["train"] for name in ("images", "labels", "rows"))
    loss = fol.fol(cell.model, x, data.to_unit(cell.split.x_train[rows]), y, epsilon=epsilon)
    _, _, probabilities = retraining.traces(cell.model, x)
    return {"fol": loss, "probabilities": probabilities}, time.perf_counter() - started_at


def counts(cell: Cell, inputs: Inputs, percent: list[float]) -> list[int]:
    """Numbers of selected inputs: percentages of the training images, at least 1. Raises ValueError for too many."""
    numbers = [max(1, round(each * len(cell.split.y_train) / 100)) for each in percent]
    pool = len(inputs.labels["train"])
    if max(numbers) > pool:
        raise ValueError(
            f"{max(numbers)} inputs to select, but the attacks succeeded on {pool}: pass a smaller --percent, of at "
            f"most {100 * pool / len(cell.split.y_train):.3g}"
        )
    return sorted(set(numbers))


def tests_of(cell: Cell, inputs: Inputs) -> dict:
    """The test parts: name -> (images, labels)."""
    return {
        "clean": (data.to_unit(cell.split.x_test), cell.split.y_test),
        "adversarial": (inputs.images["test"], inputs.labels["test"]),
    }


def retrain(
    cell: Cell,
    inputs: Inputs,
    pool_scores: dict,
    selector: str,
    n: int,
    path: str | pathlib.Path,
    *,
    recipe: retraining.Recipe,
    seed: int,
    sections: int,
    epsilon: float,
) -> dict:
    """Retrain on one selection and write its measures to `path`, whole or not at all. Returns them.

    cell, inputs: the trained net, and the attacked images of `attack`.
    pool_scores: of `evidence`.
    epsilon: of the attacks that are run anew on the retrained model; "anew" is its accuracy on their test images.
    selector, n, sections: as of selection.take; recipe: of the training; seed: of the selection and the training.
    """
    started_at = time.perf_counter()
    rows = fit(cell, inputs, pool_scores, selector, n, recipe=recipe, seed=seed, sections=sections)
    seconds = time.perf_counter() - started_at
    parts = tests_of(cell, inputs)
    logits = retraining.logits_of_parts(cell.model, parts)
    result = {
        "inputs": len(rows),
        "adversarial_inputs": len(rows),
        **retraining.of_parts(logits, parts),
        "correct": retraining.correct_of(logits, parts),
        "anew": anew(cell, epsilon=epsilon, seed=seed),
        "seconds": round(seconds, 2),
        "peak_memory_mib": run_directory.peak_memory(),
        "joules": None,
    }
    files.write_sealed(path, result)
    return result


def anew(cell: Cell, *, epsilon: float, seed: int) -> float:
    """The accuracy of the cell's model, as its weights are now, on test images that RobOT's attacks make on itself."""
    x, y = cell.split.x_test, cell.split.y_test
    correct = [
        search.classes(cell.model, robot.attack(cell.model, x, y, name, epsilon=epsilon, seed=seed)) == y
        for name in robot.ATTACKS
    ]
    return float(numpy.mean(correct))


def fit(
    cell: Cell,
    inputs: Inputs,
    pool_scores: dict,
    selector: str,
    n: int,
    *,
    recipe: retraining.Recipe,
    seed: int,
    sections: int,
) -> numpy.ndarray:
    """Retrain the cell's model on all training images and one selection of the pool; returns its rows, (n,)."""
    rows = selection.take(selector, n, **pool_scores, sections=sections, seed=seed)
    x = numpy.concatenate([data.to_unit(cell.split.x_train), inputs.images["train"][rows]])
    y = numpy.concatenate([cell.split.y_train, inputs.labels["train"][rows]])
    retraining.fit(cell.model, cell.original, x, y, recipe=recipe, seed=seed)
    return rows


def open_inputs(path: pathlib.Path, cell: Cell, *, epsilon: float, seed: int) -> Inputs:
    """The Inputs in a file, made first if there is none."""
    if not path.is_file():
        attack(cell, epsilon=epsilon, seed=seed).save(path)
    return guided_cell.Inputs.load(path, model=cell.identity, data=cell.split.fingerprint)
