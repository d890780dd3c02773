"""The tables of robust training, from rows of the study "robust_training".

robust_training-<dataset>-<model>           a line for each method: clean accuracy and accuracy under attack
robust_training-<dataset>-<model>-cost      BP-epochs, seconds, and the worst case of the selected and the last epoch
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy

import data
from reporting import marks, notes, order
from reporting import measures as of_measures
from reporting import row as result_row
from reporting.cell import cell_name
from reporting.tables import Cell, Table
from train import robust

ATTACKED = (
    "attack@epsilon: accuracy on x_test within Linf radius epsilon, pixels in [0, 1]. Attacks run in the order of the "
    "lines below, each only on images that are still correct. worst: correct under all attacks, the robust accuracy."
)
SELECTED = (
    "Weights: of the epoch with the highest robust accuracy on held-out training images; last: of the last epoch."
)
COST = (
    "BP-epochs: forward and backward passes, divided by the number of training images; a forward pass alone counts "
    "half. best - last: points lost after the selected epoch (robust overfitting). seconds: training time on the "
    "machine below, including the evaluation after each epoch (probes), if measured. Times are omitted if seeds differ "
    "by more than a fifth."
)
PUBLISHED = {
    "preact_resnet18": "published in arXiv 2103.03076 for 50 epochs on 50,000 images; worst: AutoAttack. A method with "
    "the suffix -deat, such as trades-deat, has DEAT's settings. With the set-up of Rice et al.: by Wu, Xia, Wang, "
    "NeurIPS 2020, for 200 epochs.",
    "resnet18": "published for the PGD baseline on 50,000 images, for the last of equally many epochs.",
    "wrn_34_10": "published with TRADES, ICML 2019, with the methods themselves, and by AutoAttack's authors (worst).",
    "wrn_32_10": "published with FREE, NeurIPS 2019.",
}
OTHER = "published in arXiv 2103.03076; worst: AutoAttack."
STOPPED = (
    "stopped: the guard stopped training of at least one seed. Its held-out robust accuracy had fallen by more than 20 "
    "points, or to less than half of its best for two epochs with a higher loss (catastrophic overfitting; divergence "
    "if clean accuracy fell too)."
)
OLDER = (
    "To be retrained{whose}: the momentum was constant (PyTorch's CyclicLR cycles it with the learning rate), random "
    "starts were clipped, and the moving variance was biased; the authors' code does none of this."
)
DEFAULTS = {
    field.name: field.default for field in dataclasses.fields(robust.Setup) if field.default is not dataclasses.MISSING
}
ALIKE = ("epsilon", "images", "validation", "precision", "attack_steps")
SHARED = (*ALIKE, "setup")


def pool(rows: Sequence[Mapping]) -> result_row.Row:
    """One row for several seeds of one method: as reporting.row.pool, with the trajectories and times of all.

    Raises ValueError as reporting.row.pool, and if seeds were trained differently.
    """
    lists = dict.fromkeys(("trajectories", "training_s", "probe_s"), of_measures.together)
    pooled = result_row.pool(rows, alike=lambda row: {what: settings(row, what) for what in SHARED}, details=lists)
    if len(rows) == 1:
        return pooled
    own = [each["hyperparameters"] for each in rows]
    shared = {name: value for name, value in own[0].items() if name not in ("selected_epoch", "last_epoch")}
    spent = numpy.average([each["bp_epochs"] for each in own], weights=[len(row["seeds"]) for row in rows])
    bp_epochs = round(float(spent), 2)
    stopped = any(each["stopped"] for each in own)
    return dataclasses.replace(pooled, hyperparameters={**shared, "bp_epochs": bp_epochs, "stopped": stopped})


def settings(row: Mapping, what: str) -> Any:
    """One of a row's hyperparameters; of a "setup" those that are not empty, with the defaults of newer fields."""
    value = row["hyperparameters"].get(what)
    if what != "setup":
        return value
    return {name: each for name, each in {**DEFAULTS, **value}.items() if each not in ((), [])}


def older(rows: Sequence[Mapping]) -> list[str]:
    """The note on rows whose learning rate was cyclic and whose momentum was not: a list with at most one sentence."""
    setups = {row["method"]: settings(row, "setup") for row in rows}
    outdated = [method for method, setup in setups.items() if setup["cyclic"] and setup["momentum_at_peak"] is None]
    return [OLDER.format(whose="" if len(outdated) == len(rows) else f" ({', '.join(outdated)})")] if outdated else []


def cells(rows: Sequence[Mapping]) -> dict[tuple, list]:
    """(dataset, model) -> its rows by decreasing worst case, standard training last."""
    return order.by_cell(rows, lambda row: (row["role"] == "control", -(worst(row)["value"] or 0.0)))


def worst(row: Mapping, prefix: str = "") -> dict:
    """The measure of a row's worst case over all attacks.

    Without a worst case (no attack reaches APGD-T): that of the strongest attack.
    """
    attacked = {name: each for name, each in row["measures"].items() if name.startswith(f"{prefix}white-box/")}
    chosen = [each for name, each in attacked.items() if name.startswith(f"{prefix}white-box/worst@")]
    return min(chosen or attacked.values(), key=lambda each: each["value"], default={"value": None})


def worst_case(row: Mapping) -> tuple[dict, dict]:
    """The measures of a row's worst case: of the selected epoch, and of the last."""
    return worst(row), worst(row, "last/")


def clean(row: Mapping) -> tuple[dict, dict]:
    """The same of its clean accuracy."""
    return row["measures"]["clean"], row["measures"].get("last/clean", {"value": None})


def chance(dataset: str) -> list[str]:
    """The note on what a net that learnt nothing scores: a list with at most one sentence."""
    entry = data.DATASETS.get(dataset)
    if entry is None:
        return []
    classes = len(entry.classes)
    return [f"Chance: a net that predicts one class for all images has about {100 / classes:.1f} % in every column."]


def robust_training_tables(rows: Sequence[Mapping]) -> list[Table]:
    """Two tables for every data set and model."""
    tables = []
    for (dataset, model), methods in cells(rows).items():
        name = f"robust_training-{cell_name(dataset, model)}"
        attacked = order.attacks(methods, "white-box")  # in the order of the catalogue, the worst case last
        measures = ["clean", *(f"white-box/{name}" for name in attacked)]
        headings = tuple(measure.removeprefix("white-box/") for measure in measures)
        published = any(each.get("published") is not None for row in methods for each in row["measures"].values())
        brackets = f"(in brackets): {PUBLISHED.get(model.partition('@')[0], OTHER)}"
        first_notes = (*older(methods), SELECTED, ATTACKED, *([brackets] if published else []))
        tables.append(
            marks.saturated(
                Table(
                    name=name,
                    title=f"{dataset}, {model}: robust training, %",
                    columns=(
                        "method",
                        *(
                            f"{heading}{notes.count(methods, measure)}"
                            for heading, measure in zip(headings, measures, strict=True)
                        ),
                    ),
                    rows=tuple((marks.label(row), *(_cell(row, measure) for measure in measures)) for row in methods),
                    notes=(
                        *first_notes,
                        *chance(dataset),
                        *_numbers(methods, measures),
                        *marks.margins(methods),
                        *_lines(methods),
                    ),
                ),
                methods,
            )
        )
        tables.append(_cost(f"{name}-cost", dataset, model, methods))
    return tables


def _cost(name, dataset, model, methods):
    further = dict.fromkeys(  # of the last epoch, where something is published beside it
        name
        for row in methods
        for name, measure in row["measures"].items()
        if name.startswith("last/white-box/") and "/worst@" not in name and measure.get("published") is not None
    )
    columns = ("method", "BP-epochs", "seconds", "probes", "worst case", "clean", "last: worst case", "last: clean")
    columns += ("best - last: worst case", "best - last: clean")
    columns += (*(f"last: {name.removeprefix('last/white-box/')}" for name in further), "stopped")
    lines, methods = [], sorted(methods, key=lambda row: row["hyperparameters"]["bp_epochs"])
    for row in methods:
        seconds = (Cell(_close(row.get(name)), digits=0) for name in ("training_s", "probe_s"))
        both = worst_case(row), clean(row)
        cells = [Cell(best["value"], best.get("spread")) for best, _ in both]
        cells += [Cell(last["value"], last.get("spread"), last.get("published")) for _, last in both]
        cells += [_fall(best, last) for best, last in both]
        last_measures = (row["measures"].get(name, {"value": None}) for name in further)
        cells += [Cell(measure["value"], measure.get("spread"), measure.get("published")) for measure in last_measures]
        stopped = "yes" if row["hyperparameters"]["stopped"] else "no"
        lines.append((marks.label(row), Cell(row["hyperparameters"]["bp_epochs"]), *seconds, *cells, stopped))
    machine = f"Machine: {'; '.join(result_row.devices(methods))}."
    sentences = (*older(methods), COST, STOPPED, *chance(dataset), machine, *marks.raised_note(methods))
    table = Table(name, f"{dataset}, {model}: cost of robust training", columns, tuple(lines), sentences)
    return marks.saturated(dataclasses.replace(table, notes=(*sentences, *marks.margins(methods))), methods)


def _fall(best, last):
    """The cell of best - last in points: mean and standard deviation over seeds."""
    if best["value"] is None or last["value"] is None:
        return Cell(None)
    points = numpy.subtract(best["values"], last["values"])
    return Cell(float(points.mean()), float(points.std(ddof=1)) if len(points) > 1 else None)


def _close(seconds):
    """The mean of similar times; None if they are unknown, or differ because of other load on the machine."""
    if not seconds or max(seconds) > 1.2 * min(seconds):
        return None
    return float(numpy.mean(seconds))


def _cell(row, name):
    measure = row["measures"].get(name)
    return Cell(None) if measure is None else Cell(measure["value"], measure.get("spread"), measure.get("published"))


def _numbers(methods, measures):
    """Notes on the values, without the sentences that apply only to DARE."""
    sentences = notes.numbers(methods, measures, without=("spread", "published"))
    if any(measure.get("spread") is not None for row in methods for measure in row["measures"].values()):
        sentences.insert(0, "a ± b: mean and standard deviation over seeds.")
    return sentences


def _lines(methods):
    described = [
        {**row, "hyperparameters": {name: value for name, value in row["hyperparameters"].items() if name in ALIKE}}
        for row in methods
    ]
    setups = list(dict.fromkeys(notes.settings(settings(row, "setup")) for row in methods))
    return [*notes.lines(described), *(f"Set-up: {setup}." for setup in setups)]
