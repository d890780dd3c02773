"""Retrain on one prefix and measure the model: a job of 4_retrain.py, in this or in another process."""

import argparse
import dataclasses
import pathlib
import time
from collections.abc import Callable

import numpy

import data
from adv.guided import configuration, ordering, retraining
from data import files, ledger
from models import compute
from pipeline import command, run_directory
from studies.guided_retraining import attacked, energy
from studies.guided_retraining import cell as guided_cell

_cell = {}


def prepare(settings: dict, beside: str | pathlib.Path | None = None) -> None:
    """Open the cell in this process, once, and compile its training.

    settings: the arguments of 4_retrain.py
    beside: the stage's folder if several processes train; this process then continues the ledger there, and does not
        measure energy
    """
    if beside is not None:
        ledger.keep(beside)
    arguments = argparse.Namespace(**settings)
    command.load()
    if arguments.deterministic:
        compute.deterministic()
    cell = guided_cell.load(arguments)
    adversarial = guided_cell.inputs(arguments, cell)
    images, labels, are = guided_cell.pool(cell, adversarial)
    scores = guided_cell.load_scores(run_directory.folder(arguments, "rank") / "scores.h5", cell, arguments.metric)
    tests = {
        "clean": (data.to_unit(cell.split.x_test), cell.split.y_test),
        "adversarial": (adversarial.images["test"], adversarial.labels["test"]),
    }
    fresh = guided_cell.build(arguments, cell.split).get_weights()
    _cell.update(arguments=arguments, cell=cell, images=images, labels=labels, are=are, scores=scores, tests=tests)
    _cell.update(fresh=fresh, alone=beside is None)
    first = slice(cell.recipe.batch_size + 3)
    warm = dataclasses.replace(cell.recipe, epochs=1)
    retraining.fit(cell.model, fresh, images[first], labels[first], recipe=warm, seed=0)
    retraining.measure_parts(cell.model, {name: (x[:600], y[:600]) for name, (x, y) in tests.items()})


def job(name: str, metric: str, count: int, path: pathlib.Path) -> dict:
    """Train one model and write its measures to `path`, whole or not at all. Returns the measures.

    peak_memory_mib: the largest of the process so far; joules: of all processors, None if several processes train

    name: of the configuration
    count: inputs of the prefix
    """
    cell = _cell["cell"]
    meter, started_at = energy.Meter(), time.perf_counter()
    ranked = _fit(name, metric, count)
    seconds, joules = time.perf_counter() - started_at, meter.joules() if _cell["alone"] else None
    logits = retraining.logits_of_parts(cell.model, _cell["tests"])
    result = {
        "inputs": count,
        "adversarial_inputs": int(_cell["are"][ranked].sum()),
        **retraining.of_parts(logits, _cell["tests"]),
        "correct": retraining.correct_of(logits, _cell["tests"]),
        "seconds": round(seconds, 2),
        "peak_memory_mib": run_directory.peak_memory(),
        "joules": None if joules is None else round(joules, 1),
    }
    files.write_sealed(path, result)
    return result


def _fit(name, metric, count):
    """Train the cell's model on a prefix; returns the rows of the pool that it holds."""
    cell, chosen = _cell["cell"], configuration.CONFIGURATIONS[name]
    scores, seed = _cell["scores"][metric], _cell["arguments"].seed
    rows = configuration.pool(numpy.arange(len(scores)), _cell["are"], chosen)
    ranked = rows[ordering.METRICS[metric].arrange(scores[rows], seed)][:count]
    weights = cell.original if chosen.original else _cell["fresh"]
    retraining.fit(
        cell.model, weights, _cell["images"][ranked], _cell["labels"][ranked], recipe=cell.recipe,
        seed=seed,
    )  # fmt: skip
    return ranked


def attack(
    name: str,
    metric: str,
    count: int,
    path: pathlib.Path,
    *,
    images: int,
    epsilon: float,
    progress: Callable | None,
) -> dict:
    """Accuracy under AutoAttack of the model of a prefix, written to `path`; the flags lie beside it.

    The model is retrained, which gives the same bits on the same machine.

    name: of the configuration; "original": the original model
    metric, count: the order of the inputs, and how many of them the model was retrained on
    images: number of clean test images that are attacked, drawn by the seed
    epsilon: Linf radius
    """
    cell, arguments = _cell["cell"], _cell["arguments"]
    if not path.is_file():
        if name == "original":
            cell.model.set_weights(cell.original)
        else:
            _fit(name, metric, count)
    settings = {"images": images, "epsilon": epsilon, "seed": arguments.seed, "progress": progress}
    return attacked.autoattack(cell.model, *_cell["tests"]["clean"], path, **settings)


def original() -> dict:
    """The measures of the original model."""
    _cell["cell"].model.set_weights(_cell["cell"].original)
    return retraining.measure_parts(_cell["cell"].model, _cell["tests"])
