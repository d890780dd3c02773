"""The study of robust training: its tables, made of its rows (study "robust_training").

robust_training-<dataset>-<model>           one line a method: cost, clean accuracy, accuracy under attack
robust_training-<dataset>-<model>-cost      the worst case beside BP-epochs, seconds and the last epoch's
"""

import dataclasses

import numpy

from reporting import marks, notes, order
from reporting import measures as of_measures
from reporting import row as result_row
from reporting.cell import cell_name
from reporting.tables import Cell, Table
from train import robust

ATTACKED = (
    "attack@epsilon: correct on x_test within Linf epsilon, pixels in [0, 1], each attack run on what those before, in"
    " the order of the lines below, left; worst: correct under all of them, the robust accuracy."
)
SELECTED = "Weights of the epoch with the highest robust accuracy on held-out training images; last: of the last epoch."
COST = (
    "BP-epochs: forward and backward passes, as a share of the training images, a forward pass alone counting half; "
    "seconds: of training on the machine below, the epochs' probes included; probes: their part of it, where it was "
    "measured; none where seeds are more than a fifth apart."
)
PUBLISHED = {
    "preact_resnet18": "published in arXiv 2103.03076 for 50 epochs on 50,000 images; worst: AutoAttack. Where a "
    "method has a variant, as trades has trades-deat, that has DEAT's own settings.",
    "resnet18": "published of the PGD baseline on 50,000 images, for the last of just as many epochs.",
    "wrn_34_10": "published with TRADES, ICML 2019, and by AutoAttack's authors (worst).",
    "wrn_32_10": "published with FREE, NeurIPS 2019.",
}
OTHER = "published in arXiv 2103.03076; worst: AutoAttack."
STOPPED = (
    "stopped: the guard ended it, of one seed at least, held-out robust accuracy having fallen by more than 20 points "
    "or, for two epochs and at a higher loss, below half of its best (catastrophic overfitting; where clean accuracy "
    "fell too, divergence)."
)
OLDER = (
    "To be made again{whose}: trained with a constant momentum, which PyTorch's CyclicLR cycles with the rate, and "
    "with clipped random starts and a biased moving variance, which the authors' code does not have."
)
DEFAULTS = {one.name: one.default for one in dataclasses.fields(robust.Setup) if one.default is not dataclasses.MISSING}
ALIKE = ("epsilon", "images", "validation", "precision")
SHARED = (*ALIKE, "setup")


def pool(rows):
    """One row for several seeds of one method: as reporting.row.pool, with the trajectories and times of all.

    Raises ValueError as it does, and where seeds were trained differently.
    """
    lists = dict.fromkeys(("trajectories", "training_s", "probe_s"), of_measures.together)
    made = result_row.pool(rows, alike=lambda row: {what: settings(row, what) for what in SHARED}, details=lists)
    if len(rows) == 1:
        return made
    own = [one["hyperparameters"] for one in rows]
    shared = {name: value for name, value in own[0].items() if name not in ("selected_epoch", "last_epoch")}
    spent = round(float(numpy.mean([one["bp_epochs"] for one in own])), 2)
    stopped = any(one["stopped"] for one in own)
    return dataclasses.replace(made, hyperparameters={**shared, "bp_epochs": spent, "stopped": stopped})


def settings(row, what):
    """One of a row's hyperparameters; a set-up with the defaults of what came to it since the row was made."""
    value = row["hyperparameters"].get(what)
    return value if what != "setup" else {**DEFAULTS, **value}


def older(rows):
    """The note on rows of a cyclic rate whose momentum did not cycle with it: a list of one sentence, or of none."""
    setups = {row["method"]: settings(row, "setup") for row in rows}
    found = [method for method, setup in setups.items() if setup["cyclic"] and setup["momentum_at_peak"] is None]
    return [OLDER.format(whose="" if len(found) == len(rows) else f" ({', '.join(found)})")] if found else []


def cells(rows):
    """(dataset, model) -> its rows, best worst case first, the control of no attack last."""
    found = {}
    for row in rows:
        found.setdefault((row["dataset"], row["model"]), []).append(row)
    for own in found.values():
        own.sort(key=lambda row: (row["role"] == "control", -(worst(row)["value"] or 0.0)))
    return found


def worst(row, prefix=""):
    """The measure of the worst case over all attacks of a row; without one, of attacks none of which is margin-based,
    that of the attack that fools most."""
    found = {name: one for name, one in row["measures"].items() if name.startswith(f"{prefix}white-box/")}
    chosen = [one for name, one in found.items() if name.startswith(f"{prefix}white-box/worst@")]
    return min(chosen or found.values(), key=lambda one: one["value"], default={"value": None})


def robust_training_tables(rows):
    """Two tables for every data set and model. Returns a list of Table."""
    made = []
    for (dataset, model), methods in cells(rows).items():
        name = f"robust_training-{cell_name(dataset, model)}"
        attacked = order.attacks(methods, "white-box")  # in the order of the catalogue, the worst case last
        measures = ["clean", *(f"white-box/{one}" for one in attacked)]
        shown = tuple(measure.removeprefix("white-box/") for measure in measures)
        published = any(one.get("published") is not None for row in methods for one in row["measures"].values())
        where = f"(in brackets): {PUBLISHED.get(model.partition('@')[0], OTHER)}"
        said = (*older(methods), SELECTED, ATTACKED, *([where] if published else []))
        made.append(
            marks.saturated(
                Table(
                    name=name,
                    title=f"{dataset}, {model}: robust training, %",
                    columns=(
                        "method",
                        *(
                            f"{heading}{notes.count(methods, one)}"
                            for heading, one in zip(shown, measures, strict=True)
                        ),
                    ),
                    rows=tuple((marks.label(row), *(_cell(row, one) for one in measures)) for row in methods),
                    notes=(*said, *_numbers(methods, measures), *marks.margins(methods), *_lines(methods)),
                ),
                methods,
            )
        )
        made.append(_cost(f"{name}-cost", dataset, model, methods))
    return made


def _cost(name, dataset, model, methods):
    further = dict.fromkeys(  # of the last epoch, where something is published beside it
        name
        for row in methods
        for name, one in row["measures"].items()
        if name.startswith("last/white-box/") and "/worst@" not in name and one.get("published") is not None
    )
    columns = ("method", "BP-epochs", "seconds", "probes", "worst case", "clean", "last: worst case", "last: clean")
    columns += (*(f"last: {name.removeprefix('last/white-box/')}" for name in further), "stopped")
    lines, methods = [], sorted(methods, key=lambda row: row["hyperparameters"]["bp_epochs"])
    for row in methods:
        seconds = (Cell(_close(row.get(name)), digits=0) for name in ("training_s", "probe_s"))
        both = worst(row), row["measures"]["clean"]
        last = worst(row, "last/"), *(row["measures"].get(name, {"value": None}) for name in ("last/clean", *further))
        cells = [Cell(one["value"], one.get("spread")) for one in both]
        cells += [Cell(one["value"], one.get("spread"), one.get("published")) for one in last]
        stopped = "yes" if row["hyperparameters"]["stopped"] else "no"
        lines.append((marks.label(row), Cell(row["hyperparameters"]["bp_epochs"]), *seconds, *cells, stopped))
    machine = f"Machine: {'; '.join(result_row.devices(methods))}."
    said = (*older(methods), COST, STOPPED, machine, *marks.raised_note(methods))
    table = Table(name, f"{dataset}, {model}: cost of robust training", columns, tuple(lines), said)
    return marks.saturated(dataclasses.replace(table, notes=(*said, *marks.margins(methods))), methods)


def _close(seconds):
    """The mean of times that are alike; None where they are not: other work slowed one of them, or they are unknown."""
    if not seconds or max(seconds) > 1.2 * min(seconds):
        return None
    return float(numpy.mean(seconds))


def _cell(row, name):
    measure = row["measures"].get(name)
    return Cell(None) if measure is None else Cell(measure["value"], measure.get("spread"), measure.get("published"))


def _numbers(methods, measures):
    """How to read the values, without the sentences that are DARE's own."""
    said = notes.numbers(methods, measures, without=("spread", "published"))
    if any(one.get("spread") is not None for row in methods for one in row["measures"].values()):
        said.insert(0, "a ± b: mean and standard deviation over seeds.")
    return said


def _lines(methods):
    shown = [
        {**row, "hyperparameters": {name: value for name, value in row["hyperparameters"].items() if name in ALIKE}}
        for row in methods
    ]
    setups = list(dict.fromkeys(notes.settings(settings(row, "setup")) for row in methods))
    return [*notes.lines(shown), *(f"Set-up: {one}." for one in setups)]
