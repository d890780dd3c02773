"""Tables and figure of the study of DARE's choices (dare/ablation.py), made of its rows.

ablation-<dataset>-<model>            a line a setting: clean accuracy, ER by attack, ER beyond weight noise
ablation-<dataset>-<model>-effects    a line a choice: how far its levels lie apart
"""

import math

import numpy

from reporting import marks, statistics
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
    "beyond noise: mean ER over the attacks, minus that of Gaussian noise with the same norm in every layer, in points."
)
SOUND = 1.0  # points of clean accuracy that a setting may cost to count in the effects


def method(factor, level):
    """The name of a setting in rows and files: "steps=30"."""
    return factor if factor == "published" else f"{factor}={level}"


def pool(rows):
    """One row for several seeds of a setting: as reporting.row.pool, with the changes of weights of all tunings."""
    return result_row.pool(rows, details={"change": of_measures.together})


def tables(rows):
    """Two tables for each data set and model among the rows. Returns a list of Table."""
    made = []
    for (dataset, model), settings in cells(rows).items():
        name = f"ablation-{cell_name(dataset, model)}"
        made += [_settings(name, settings), *_effects(name, settings)]
    return made


def cells(rows):
    """(dataset, model) -> its rows, the published setting first, then factor by factor, levels ascending."""
    found = {}
    for row in rows:
        found.setdefault((row["dataset"], row["model"]), []).append(row)
    return {cell: sorted(settings, key=_rank) for cell, settings in found.items()}


def mean_er(row, prefix=""):
    """Mean over the attacks of a row's ER, percent, NaN for none; "noise-": that of the weight noise beside it."""
    values = [one["value"] for name, one in row["measures"].items() if name.startswith(f"{prefix}er/")]
    return float(numpy.mean(values)) if values else math.nan


def published(rows):
    """The row of the published setting, None where it has not been made."""
    return next((row for row in rows if row["factor"] == "published"), None)


def effects(rows):
    """factor -> its levels, the published one among them, that cost little accuracy, by mean ER; {} without that one or
    without ER."""
    base = published(rows)
    if base is None or not all(math.isfinite(mean_er(row)) for row in rows):
        return {}
    least = base["measures"]["clean"]["value"] - SOUND
    sound = [row for row in rows if row["measures"]["clean"]["value"] >= least]
    found = {}
    for factor in FACTORS:
        levels = [row for row in sound if row["factor"] == factor]
        if factor != "published" and levels:
            found[factor] = sorted([base, *levels], key=mean_er)
    return found


def _settings(name, rows):
    found = (measure for row in rows for measure in row["measures"] if measure.startswith("er/"))
    attacks, nothing = list(dict.fromkeys(found)), {"value": None}
    lines = []
    for row in rows:
        measures = [row["measures"].get(measure, nothing) for measure in ("clean", *attacks)]
        change = [100 * value for value in row["change"] if value is not None]
        lines.append(
            (
                marks.label(
                    row, FACTORS[row["factor"]] + ("" if row["factor"] == "published" else f" {level_of(row)}")
                ),
                *(Cell(one["value"], one.get("spread")) for one in measures),
                Cell(mean_er(row) - mean_er(row, "noise-")),
                Cell(float(numpy.mean(change)) if change else None, None, None, 3),
            )
        )
    base = (published(rows) or rows[0])["hyperparameters"]
    line = "as published" if published(rows) else "first line"
    return Table(
        name=name,
        title=f"{rows[0]['dataset']}, {rows[0]['model']}: one choice of DARE changed at a time, ER in %",
        columns=("setting", "clean", *(one.removeprefix("er/") for one in attacks), "beyond noise", "weights moved, %"),
        rows=tuple(lines),
        notes=(
            f"{line}: {base['combine']} of the slices, {base['source']} epoch, layer {base['layer']}, learning "
            f"rate {base['learning_rate']:g}, {base['steps']} steps; every other line changes one of these.",
            BEYOND,
            "weights moved: norm of the change of all weights, as a share of their norm.",
            f"Mean and standard deviation over {len(rows[0]['seeds'])} source seeds (each the mean of its tunings); "
            f"{rows[0]['repeats']} tunings a line.",
            *marks.said(rows),
        ),
    )


def _effects(name, rows):
    """The table in a list, empty where there is no published setting to compare with."""
    lines, shown = [], []
    for factor, levels in effects(rows).items():
        low, high = levels[0], levels[-1]
        beyond = [mean_er(row) - mean_er(row, "noise-") for row in levels]
        gap = _gap(levels)
        shown.append(f"{FACTORS[factor]} {100 * statistics.detectable(gap):.1f}")
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
    made = Table(
        name=f"{name}-effects",
        title=f"{rows[0]['dataset']}, {rows[0]['model']}: how far each choice moves mean ER, points",
        columns=("choice", "lowest at", "mean ER", "highest at", "mean ER", "range", "range beyond noise"),
        rows=tuple(lines),
        notes=(
            f"Over the levels that cost at most {SOUND:g} point of clean accuracy against the published setting.",
            "[low, high]: 95 % interval over images, of all levels of the choice at once (Tukey), wider than need be "
            "since all are scored on the same; 0 leaves open whether the choice matters. Not over source models.",
            f"A range that shows in four such studies of five, points: {'; '.join(shown)}.",
            "range beyond noise: the range of ER minus that of weight noise of each level's own size.",
            *marks.said(rows),
        ),
    )
    return [made]


def _gap(levels):
    """The range of mean ER over the levels of a choice with its interval over images, as statistics.Interval."""
    totals = [min(one["n"] for name, one in row["measures"].items() if name.startswith("er/")) for row in levels]
    counts = [round(total * mean_er(row) / 100) for row, total in zip(levels, totals, strict=True)]
    return statistics.largest_gap(counts, totals)


def level_of(row, factor=None):
    value = row["hyperparameters"][factor or row["factor"]] if (factor or row["factor"]) != "published" else "published"
    return f"{value:g}" if isinstance(value, float) else str(value).replace("None", "none")


def order_of(row, factor):
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
