"""Tables of the ablation of DARE's choices (dare/ablation.py).

ablation-<dataset>-<model>            a line for each setting: clean accuracy, ER by attack, ER beyond weight noise
ablation-<dataset>-<model>-effects    a line for each choice: the range of ER over its levels
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy

from reporting import marks, order, statistics
from reporting import measures as of_measures
from reporting import row as result_row
from reporting.cell import cell_name
from reporting.tables import Cell, Table

FACTORS = {
    "published": "as published",
    "combine": "slices combined by",
    "source": "target epoch",
    "layer": "regression layer",
    "learning_rate": "learning rate",
    "steps": "steps",
}
BEYOND = (
    "beyond noise: mean ER over the attacks minus the mean ER of Gaussian weight noise with the same norm in every "
    "layer, in points."
)
SOUND = 1.0  # effects include settings that cost at most so many points of clean accuracy


def method(factor: str, level: Any) -> str:
    """The name of a setting in rows and files: "steps=30"."""
    return factor if factor == "published" else f"{factor}={level}"


def pool(rows: Sequence[Mapping]) -> result_row.Row:
    """One row for several seeds of a setting: as reporting.row.pool, with the weight changes of all tunings."""
    return result_row.pool(rows, details={"change": of_measures.together})


def tables(rows: Sequence[Mapping]) -> list[Table]:
    """Two tables for each data set and model among the rows."""
    cell_tables = []
    for (dataset, model), settings in cells(rows).items():
        name = f"ablation-{cell_name(dataset, model)}"
        cell_tables += [_settings(name, settings), *_effects(name, settings)]
    return cell_tables


def cells(rows: Sequence[Mapping]) -> dict[tuple, list]:
    """(dataset, model) -> its rows, the published setting first, then factor by factor, levels ascending."""
    return order.by_cell(rows, _rank)


def mean_er(row: Mapping, prefix: str = "") -> float:
    """Mean ER over the attacks, in percent; NaN without ER. prefix: "noise-" for the weight noise of the same size."""
    values = [measure["value"] for name, measure in row["measures"].items() if name.startswith(f"{prefix}er/")]
    return float(numpy.mean(values)) if values else math.nan


def published(rows: Sequence[Mapping]) -> Mapping | None:
    """The row of the published setting, or None."""
    return next((row for row in rows if row["factor"] == "published"), None)


def effects(rows: Sequence[Mapping]) -> dict[str, list]:
    """factor -> the rows of its levels that cost at most SOUND points of clean accuracy, sorted by mean ER.

    The published setting is one of the levels. {} without the published setting or without ER.
    """
    base = published(rows)
    if base is None or not all(math.isfinite(mean_er(row)) for row in rows):
        return {}
    least = base["measures"]["clean"]["value"] - SOUND
    sound = [row for row in rows if row["measures"]["clean"]["value"] >= least]
    by_factor = {}
    for factor in FACTORS:
        levels = [row for row in sound if row["factor"] == factor]
        if factor != "published" and levels:
            by_factor[factor] = sorted([base, *levels], key=mean_er)
    return by_factor


def _settings(name, rows):
    names = (measure for row in rows for measure in row["measures"] if measure.startswith("er/"))
    attacks, nothing = list(dict.fromkeys(names)), {"value": None}
    lines = []
    for row in rows:
        measures = [row["measures"].get(measure, nothing) for measure in ("clean", *attacks)]
        change = [100 * value for value in row["change"] if value is not None]
        lines.append(
            (
                marks.label(
                    row, FACTORS[row["factor"]] + ("" if row["factor"] == "published" else f" {level_of(row)}")
                ),
                *(Cell(measure["value"], measure.get("spread")) for measure in measures),
                Cell(mean_er(row) - mean_er(row, "noise-")),
                Cell(float(numpy.mean(change)) if change else None, None, None, 3),
            )
        )
    base = (published(rows) or rows[0])["hyperparameters"]
    line = "as published" if published(rows) else "first line"
    return Table(
        name=name,
        title=f"{rows[0]['dataset']}, {rows[0]['model']}: one choice of DARE changed at a time, ER in %",
        columns=(
            "setting",
            "clean",
            *(attack.removeprefix("er/") for attack in attacks),
            "beyond noise",
            "weights moved, %",
        ),
        rows=tuple(lines),
        notes=(
            f"{line}: {base['combine']} of the slices, {base['source']} epoch, layer {base['layer']}, learning "
            f"rate {base['learning_rate']:g}, {base['steps']} steps. Every other line changes one of these.",
            BEYOND,
            "weights moved: norm of the change of all weights, relative to their norm.",
            f"Mean and standard deviation over {len(rows[0]['seeds'])} source seeds (each the mean of its tunings); "
            f"{rows[0]['repeats']} tunings per line.",
            *marks.raised_note(rows),
        ),
    )


def _effects(name, rows):
    """The table in a list; [] without a published setting to compare with."""
    lines, sizes = [], []
    for factor, levels in effects(rows).items():
        low, high = levels[0], levels[-1]
        beyond = [mean_er(row) - mean_er(row, "noise-") for row in levels]
        gap = _gap(levels)
        sizes.append(f"{FACTORS[factor]} {100 * statistics.detectable(gap):.1f}")
        lines.append(
            (
                FACTORS[factor],
                level_of(low),
                Cell(mean_er(low)),
                level_of(high),
                Cell(mean_er(high)),
                Cell(mean_er(high) - mean_er(low), low=100 * gap.low, high=100 * gap.high),
                Cell(max(beyond) - min(beyond)),
            )
        )
    if not lines:
        return []
    lines.sort(key=lambda line: -line[5].value)
    table = Table(
        name=f"{name}-effects",
        title=f"{rows[0]['dataset']}, {rows[0]['model']}: how far each choice moves mean ER, points",
        columns=("choice", "lowest at", "mean ER", "highest at", "mean ER", "range", "range beyond noise"),
        rows=tuple(lines),
        notes=(
            f"Levels that cost more than {SOUND:g} point of clean accuracy against the published setting are dropped.",
            "[low, high]: 95 % interval over images, simultaneous for all levels of the choice (Tukey). It is too "
            "wide, because all levels are scored on the same images. If it contains 0, the choice shows no significant "
            "effect. It does not cover other source models.",
            f"The smallest range that four of five such studies would show, points: {'; '.join(sizes)}.",
            "range beyond noise: the range of ER minus the ER of weight noise of each level's own size.",
            *marks.raised_note(rows),
        ),
    )
    return [table]


def _gap(levels):
    """The range of mean ER over the levels of a choice, as statistics.Interval over images."""
    totals = [
        min(measure["n"] for name, measure in row["measures"].items() if name.startswith("er/")) for row in levels
    ]
    counts = [round(total * mean_er(row) / 100) for row, total in zip(levels, totals, strict=True)]
    return statistics.largest_gap(counts, totals)


def level_of(row: Mapping, factor: str | None = None) -> str:
    """A row's level of a factor (default: the row's own), as text."""
    value = row["hyperparameters"][factor or row["factor"]] if (factor or row["factor"]) != "published" else "published"
    return f"{value:g}" if isinstance(value, float) else str(value).replace("None", "none")


def order_of(row: Mapping, factor: str) -> Any:
    """The sorting key of a row's level of a factor."""
    value = row["hyperparameters"][factor]
    if isinstance(value, int | float):
        return value
    order = (None, "union", "majority", "intersection", "surest", "random", "newest")
    return order.index(value) if value in order else 0


def _rank(row):
    place = list(FACTORS).index(row["factor"])
    if row["factor"] == "published":
        return place, -math.inf
    return place, order_of(row, row["factor"])
