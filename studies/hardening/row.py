"""The row of a hardening strategy: its settings, its trajectories, and the best final measures."""

import argparse
import dataclasses

import numpy

from adv import checks, scoring
from dare import controls
from dare.hardening import strategies
from pipeline import command, lineage
from pipeline.run_directory import Stage
from reporting import measures as of_measures
from reporting import row
from studies.dare import mined
from studies.hardening import levels
from studies.hardening.cell import Cell

SINGLE = {"original": ("original", "original"), "swa": ("control", controls.TITLES["swa"])}  # name -> (role, title)
ROLES = {"labels": "baseline", "own": "control"}  # targets of a strategy -> its role; default "method"


def make(
    arguments: argparse.Namespace, cell: Cell, stage: Stage, name: str, trajectories: list[dict], *, preparation: float
) -> row.Row:
    """The Row (reporting/row.py) of a strategy.

    cell: studies.hardening.cell.Cell
    stage: run_directory.Stage
    name: of the strategy
    trajectories: as in studies/hardening/levels.py
    preparation: forward/backward passes per sample to make the strategy's targets
    Raises ArithmeticError if no learning rate stays finite for the whole budget.
    """
    strategy = strategies.STRATEGIES.get(name)
    hyperparameters = {"width": command.width(arguments), "source_epochs": cell.history.last}
    budget = 0 if strategy is None else arguments.bp_epochs
    if strategy is not None:
        hyperparameters |= {
            "epsilon": cell.epsilons["near"],
            **{option: getattr(arguments, option) for option in ("steps", "bp_epochs", "batch_size", "learning_rates")},
            "passes": strategy.passes(arguments.steps),
            "preparation": preparation,
            "layer": cell.samples.mined.layer,
            "targets": strategy.targets,
        }
    best = levels.chosen(trajectories, "bp_epochs", budget)
    if best is None:
        raise ArithmeticError(f"{name}: no learning rate stays finite for {budget:g} BP-epochs: give lower ones")
    role, title = SINGLE[name] if strategy is None else (ROLES.get(strategy.targets, "method"), strategy.title)
    return row.of_stage(
        stage,
        study="hardening",
        dataset=cell.split.name,
        method=name,
        title=title,
        role=role,
        verified=cell.split.verified,
        hyperparameters=hyperparameters if strategy is None else {**hyperparameters, "learning_rate": best[0]},
        repeats=len(best[1]),
        measures=measures(best[1], cell.images, cell.epsilons),
        checks=[*checks_of(best[1], cell.images), *mined.checks_of(lineage.above(stage))],
        attacks={
            "white-box/worst": {
                "worst case of": ", ".join(arguments.attack),
                "restarts": arguments.restarts,
                "runs": {str(place): attack.specification() for place, attack in enumerate(cell.attacks)},
            }
        },
        details={"epsilons": cell.epsilons, "images": cell.images, "trajectories": trajectories},
    )


def checks_of(values: list[dict], images: dict) -> list[dict]:
    """The checks `logits`, `gradient` and `saturated` of the nets whose measures a row has, over the repeats.

    values, images: as in measures. [] for values of older units, which lack them.
    Outputs that are not finite logits have no accuracies, so `logits` is always passed.
    """
    parts = "usable", "saturated"
    if not all(part in repeat for repeat in values for part in parts):
        return []
    logits = checks.Check("logits", True, "finite outputs that are no probabilities", checks.LOGITS)
    flags = [{part: _flags(repeat[part], images[part]) for part in parts} for repeat in values]
    return row.checks([list(map(dataclasses.asdict, [logits, *checks.counted(**own)])) for own in flags])


def measures(values: list[dict], images: dict, epsilons: dict) -> dict[str, dict]:
    """measure -> its dictionary (reporting.measures.share), over the repeats.

    values: for each repeat, accuracies in percent by part ("clean", "near", "far")
    images: part -> number of images
    epsilons: part -> Linf radius in [0, 1] pixel scale
    """
    names = {"clean": "clean"} | {part: f"white-box/{scoring.ball('worst', size)}" for part, size in epsilons.items()}
    by_measure = {}
    for part, measure in names.items():
        count = images[part]
        by_measure[measure] = of_measures.share([_flags(repeat[part], count) for repeat in values])
    return by_measure


def _flags(percent, count):
    """As many flags as a percentage of `count` images stands for."""
    return numpy.arange(count) < round(count * percent / 100)
