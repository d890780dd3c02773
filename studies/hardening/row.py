"""The row of one strategy of hardening: what it is, its trajectories, what the best measures at the end."""

import numpy

from adv import scoring
from dare import controls
from dare.hardening import strategies
from pipeline import command, lineage
from reporting import measures as of_measures
from reporting import row
from studies.dare import mined
from studies.hardening import levels

SINGLE = {"original": ("original", "original"), "swa": ("control", controls.TITLES["swa"])}  # name -> (role, title)
ROLES = {"labels": "baseline", "own": "control"}  # targets of a strategy -> its role; of others "method"


def make(arguments, cell, stage, name, trajectories, *, preparation):
    """The Row (reporting/row.py) with `trajectories` (studies/hardening/levels.py).

    cell: the hardening.cell.Cell; stage: the run_directory.Stage; preparation: passes a sample that
    making the strategy's targets took. Raises ArithmeticError where no learning rate stays finite for the whole budget.
    """
    strategy = strategies.STRATEGIES.get(name)
    hyperparameters = {"width": command.width(arguments), "source_epochs": cell.history.last}
    budget = 0 if strategy is None else arguments.bp_epochs
    if strategy is not None:
        hyperparameters |= {
            "epsilon": cell.epsilons["near"],
            **{one: getattr(arguments, one) for one in ("steps", "bp_epochs", "batch_size", "learning_rates")},
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
        checks=mined.checks_of(lineage.above(stage)),
        attacks={
            "white-box/worst": {
                "worst case of": ", ".join(arguments.attack),
                "restarts": arguments.restarts,
                "runs": {str(place): attack.specification() for place, attack in enumerate(cell.attacks)},
            }
        },
        details={"epsilons": cell.epsilons, "images": cell.images, "trajectories": trajectories},
    )


def measures(values, images, epsilons):
    """Measure -> its dict (reporting.measures.share), over the repeats.

    values: of each repeat, accuracies in percent by part ("clean", "near", "far"); images: part -> how many it is over;
    epsilons: part -> Linf radius in [0, 1] pixel scale.
    """
    named = {"clean": "clean"} | {part: f"white-box/{scoring.ball('worst', size)}" for part, size in epsilons.items()}
    found = {}
    for part, measure in named.items():
        count = images[part]
        found[measure] = of_measures.share([numpy.arange(count) < round(count * one[part] / 100) for one in values])
    return found
