"""The tables of the repair study.

repair-<dataset>-<model>         a line for each method: clean, RR, NFR, BR, ER, white box, and what it changed and cost
repair-<dataset>-<model>-noise   the same minus weight noise of the method's own norm, with the noise under attack
"""

from collections.abc import Mapping, Sequence

import numpy

from reporting import marks, notes, order
from reporting import measures as of_measures
from reporting import row as result_row
from reporting.cell import cell_name
from reporting.tables import Cell, Table
from studies.dare import differences

TOGETHER = ("changed", "relative_change", "forward", "backward", "facts", "p")
HEADINGS = {"clean": "clean", "rr": "RR", "nfr": "NFR", "br": "BR"}
RATES = (
    "RR, repair rate: test images that the original misclassifies and the method does not, of all that the original "
    "misclassifies. NFR, negative flip rate: test images that the method misclassifies and the original does not, of "
    "all test images. BR, break rate: the same, of the images that the original classifies correctly."
)
SEEN = (
    "RR seen: RR on the images that were searched or adjusted on. p: McNemar's exact test that as many test images "
    "were fixed as broken, of the first repeat."
)
OF_ATTACK = "noise-white-box/"  # measures of weight noise under AutoAttack
KIND = "RR of its kind: RR on the test images of the one confusion, a true and a predicted class, that was repaired."
COST = (
    "weights changed: number of weights whose value differs. change: norm of the change of all weights, relative to "
    "their norm. forward, backward: passes in images, each counted in full, also from cached activations; of DARE "
    "those of its tuning alone."
)
NOISE = (
    "Each entry is the method minus Gaussian weight noise whose norm is that of the method's change in every trainable "
    "array, in points; of RR seen and p the values themselves. Where a method measures batch-norm statistics again, so "
    "does its noise."
)
NOISE_ATTACKED = (
    "noise autoattack, noise saturated, noise gradient: accuracy of the weight noise itself under AutoAttack, the "
    "fraction of its attacked images on which float32 rounds the label's softmax to 1, and whether its gradients are "
    "usable (docs/checks.md). A raised check of the noise is named noise-... and marks its line."
)
ENSEMBLE = "ensemble is not one model: it costs several times as much, and an attack goes through all of its models{}."


def pool(rows: Sequence[Mapping]) -> result_row.Row:
    """One row for several seeds of one method: as reporting.row.pool, with costs, differences and checks of all."""
    return differences.pool(rows, **dict.fromkeys(TOGETHER, of_measures.together), noise_checks=result_row.checks)


def cells(rows: Sequence[Mapping]) -> dict[tuple, list]:
    """(dataset, model) -> its rows: the original, DARE, the methods, the controls."""
    return order.by_cell(rows, lambda row: list(notes.ROLES).index(row["role"]))


def tables(rows: Sequence[Mapping]) -> list[Table]:
    """Two tables for each data set and model among the rows."""
    result = []
    for (dataset, model), methods in cells(rows).items():
        name, title = f"repair-{cell_name(dataset, model)}", f"{dataset}, {model}: a trained net repaired, %"
        result += [_whole(name, title, methods), _beyond(f"{name}-noise", title, methods)]
    return result


def measures(rows: Sequence[Mapping]) -> dict[str, str]:
    """measure -> heading, of those that any row has: clean, RR, NFR, BR, ER of each attack, AutoAttack."""
    names = dict.fromkeys(name for row in rows for name in row["measures"])
    result = {name: heading for name, heading in HEADINGS.items() if name in names}
    result |= {name: f"ER {name.removeprefix('er/')}" for name in names if name.startswith("er/")}
    return result | {name: name.removeprefix("white-box/") for name in names if name.startswith("white-box/")}


def mean_er(row: Mapping, prefix: str = "") -> float | None:
    """Mean ER over the attacks, in percent; None without ER. prefix: "noise-" for weight noise of the same norm."""
    values = [measure["value"] for name, measure in row["measures"].items() if name.startswith(f"{prefix}er/")]
    return float(numpy.mean(values)) if values else None


def white_box(row: Mapping, prefix: str = "") -> float | None:
    """Accuracy under AutoAttack, in percent; None where it was not run."""
    values = [measure["value"] for name, measure in row["measures"].items() if name.startswith(f"{prefix}white-box/")]
    return values[0] if values else None


def passes(row: Mapping) -> float:
    """Forward and backward passes of a method, in images: the mean over repeats."""
    return float(numpy.mean(row["forward"]) + numpy.mean(row["backward"]))


def with_noise(row: Mapping) -> dict:
    """The row with the checks of its weight noise among its own, each named noise-<check>."""
    of_noise = [{**check, "name": f"noise-{check['name']}"} for check in row.get("noise_checks") or []]
    return {**row, "checks": [*(row.get("checks") or []), *of_noise]}


def _whole(name, title, rows):
    columns = measures(rows)
    lines = []
    for row in rows:
        cells = [_cell(row, measure) for measure in columns]
        change = [None if value is None else 100 * value for value in row["relative_change"]]
        cost = [_mean(row["changed"], 0), _mean(change, 2), _mean(row["forward"], 0), _mean(row["backward"], 0)]
        lines.append((marks.label(row), *cells, *cost))
    headings = [f"{heading}{notes.count(rows, measure)}" for measure, heading in columns.items()]
    columns = ("method", *headings, "weights changed", "change, %", "forward", "backward")
    several = [
        ENSEMBLE.format("" if white_box(row) is not None else "; here it was not attacked")
        for row in rows
        if row["method"] == "ensemble"
    ]
    return Table(name, title, columns, tuple(lines), (RATES, COST, *several, *_sentences(rows)))


def _beyond(name, title, rows):
    columns, rates, explained = measures(rows), {"rr-seen": "RR seen"}, [NOISE, SEEN]
    if any("rr-confusion" in row["measures"] for row in rows):
        rates["rr-confusion"] = "RR of its kind"
        explained.append(KIND)
    rows = [with_noise(row) for row in rows if any(measure.startswith("noise-") for measure in row["measures"])]
    attacked = _noise_attacked(rows)
    explained += [NOISE_ATTACKED] if attacked else []
    lines = []
    for place, row in enumerate(rows):
        differences = [Cell(_difference(row, measure)) for measure in columns]
        values = [_cell(row, measure) for measure in rates]
        of_noise = [cells[place] for cells in attacked.values()]
        lines.append((marks.label(row), *differences, *of_noise, *values, Cell(row["p"][0], digits=3)))
    headings = ("method", *columns.values(), *attacked, *rates.values(), "p")
    title = f"{title}, minus weight noise of the same norm"
    return Table(name, title, headings, tuple(lines), (*explained, *notes.numbers(rows, [], without=("attacks",))))


def _noise_attacked(rows):
    """heading -> a cell for each row, of the weight noise under AutoAttack: accuracy, and two checks."""
    measures_of_noise = dict.fromkeys(name for row in rows for name in row["measures"] if name.startswith(OF_ATTACK))
    result = {
        f"noise {name.removeprefix(OF_ATTACK)}{notes.count(rows, name)}": [_cell(row, name) for row in rows]
        for name in measures_of_noise
    }
    if result:
        result["noise saturated, %"] = [_noise_check(row, "saturated") for row in rows]
        result["noise gradient"] = [_noise_check(row, "gradient") for row in rows]
    return result


def _noise_check(row, name):
    """The value of a check of the weight noise, or whether it was passed; "-" where the noise was not attacked."""
    if not any(measure.startswith(OF_ATTACK) for measure in row["measures"]):
        return Cell(None)
    check = next((check for check in row["checks"] if check["name"] == f"noise-{name}"), None)
    if check is None:
        return marks.UNKNOWN
    if check.get("value") is not None:
        return Cell(check["value"])
    return "passed" if check["passed"] else "raised"


def _sentences(rows):
    return (*notes.numbers(rows, list(measures(rows)), without=("published",)), *notes.lines(rows))


def _cell(row, measure):
    values = row["measures"].get(measure, {"value": None})
    return Cell(values["value"], values.get("spread"))


def _difference(row, measure):
    pair = [row["measures"].get(name) for name in (measure, f"noise-{measure}")]
    return None if None in pair else pair[0]["value"] - pair[1]["value"]


def _mean(values, digits):
    known = [value for value in values if value is not None]
    return Cell(float(numpy.mean(known)) if known else None, digits=digits)
