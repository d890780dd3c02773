"""Tables and figure of the study of DARE's choices (dare/what_matters.py), made of its rows.

what-matters-<dataset>-<model>            a line a setting: clean accuracy, ER by attack, ER beyond weight noise
what-matters-<dataset>-<model>-effects    a line a choice: how far its levels lie apart
"""

import math

import numpy

from reporting import figures, marks, statistics
from reporting import row as result_row
from reporting.order import cell_name
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
    return {**result_row.pool(rows), "change": [change for row in rows for change in row["change"]]}


def what_matters_tables(rows):
    """Two tables for each data set and model among the rows. Returns a list of Table."""
    made = []
    for (dataset, model), settings in cells(rows).items():
        name = f"what-matters-{cell_name(dataset, model)}"
        made += [_settings(name, settings), _effects(name, settings)]
    return made


def cells(rows):
    """(dataset, model) -> its rows, the published setting first, then factor by factor, levels ascending."""
    found = {}
    for row in rows:
        found.setdefault((row["dataset"], row["model"]), []).append(row)
    return {cell: sorted(settings, key=_rank) for cell, settings in found.items()}


def mean_er(row, prefix=""):
    """Mean over the attacks of a row's ER, percent; prefix "noise-": that of the weight noise beside it."""
    values = [one["value"] for name, one in row["measures"].items() if name.startswith(f"{prefix}er/")]
    return float(numpy.mean(values))


def effects(rows):
    """factor -> (lowest, highest) mean ER over its levels, the published one among them, that cost little accuracy."""
    base = next(row for row in rows if row["factor"] == "published")
    least = base["measures"]["clean"]["value"] - SOUND
    sound = [row for row in rows if row["measures"]["clean"]["value"] >= least]
    found = {}
    for factor in FACTORS:
        levels = [row for row in sound if row["factor"] == factor]
        if factor != "published" and levels:
            found[factor] = sorted([base, *levels], key=mean_er)
    return found


def _settings(name, rows):
    attacks = [measure for measure in rows[0]["measures"] if measure.startswith("er/")]
    lines = []
    for row in rows:
        measures = [row["measures"][measure] for measure in ("clean", *attacks)]
        change = [100 * value for value in row["change"] if value is not None]
        lines.append(
            (
                marks.label(row, FACTORS[row["factor"]] + ("" if row["factor"] == "published" else f" {_level(row)}")),
                *(Cell(one["value"], one.get("spread")) for one in measures),
                Cell(mean_er(row) - mean_er(row, "noise-")),
                Cell(float(numpy.mean(change)) if change else None, None, None, 3),
            )
        )
    base = next(row for row in rows if row["factor"] == "published")["hyperparameters"]
    return Table(
        name=name,
        title=f"{rows[0]['dataset']}, {rows[0]['model']}: one choice of DARE changed at a time, ER in %",
        columns=("setting", "clean", *(one.removeprefix("er/") for one in attacks), "beyond noise", "weights moved, %"),
        rows=tuple(lines),
        notes=(
            f"as published: {base['combine']} of the slices, {base['source']} epoch, layer {base['layer']}, learning "
            f"rate {base['learning_rate']:g}, {base['steps']} steps; every other line changes one of these.",
            BEYOND,
            "weights moved: norm of the change of all weights, as a share of their norm.",
            f"Mean and standard deviation over {len(rows[0]['seeds'])} source seeds (each the mean of its tunings); "
            f"{rows[0]['repeats']} tunings a line.",
            *marks.said(rows),
        ),
    )


def _effects(name, rows):
    lines, shown = [], []
    for factor, levels in effects(rows).items():
        low, high = levels[0], levels[-1]
        beyond = [mean_er(row) - mean_er(row, "noise-") for row in levels]
        gap = _gap(levels)
        shown.append(f"{FACTORS[factor]} {100 * statistics.detectable(gap):.1f}")
        lines.append(
            (
                FACTORS[factor],
                _level(low),
                Cell(mean_er(low)),
                _level(high),
                Cell(mean_er(high)),
                Cell(mean_er(high) - mean_er(low), low=100 * gap.low, high=100 * gap.high),
                Cell(max(beyond) - min(beyond)),
            )
        )
    lines.sort(key=lambda line: -line[5].value)
    return Table(
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


def _gap(levels):
    """The range of mean ER over the levels of a choice with its interval over images, as statistics.Interval."""
    totals = [min(one["n"] for name, one in row["measures"].items() if name.startswith("er/")) for row in levels]
    counts = [round(total * mean_er(row) / 100) for row, total in zip(levels, totals, strict=True)]
    return statistics.largest_gap(counts, totals)


def what_matters(rows):
    """Figure: one panel a choice, mean ER at each level; a grey ring for weight noise of the same size.

    rows: those of one data set and model. A thin line joins the levels of a number; error bars span the seeds.
    """
    base = next(row for row in rows if row["factor"] == "published")
    factors = [factor for factor in FACTORS if any(row["factor"] == factor for row in rows) and factor != "published"]
    figure, axes = figures.panels(1, len(factors), (2.3 * len(factors) + 0.6, 3.2), sharey=True)
    for axis, factor in zip(axes[0], factors, strict=True):
        levels = sorted([base, *(row for row in rows if row["factor"] == factor)], key=lambda row: _order(row, factor))
        places = range(len(levels))
        style = "-" if factor in ("learning_rate", "steps") else ""
        for prefix, colour, marker in (("noise-", "#999999", "o"), ("", figures.BLUE, "D")):
            values = [mean_er(row, prefix) for row in levels]
            axis.errorbar(
                places,
                values,
                [_spread(row, prefix) for row in levels],
                linestyle=style,
                marker=marker,
                markersize=5,
                linewidth=0.9,
                color=colour,
                markerfacecolor="white" if prefix else colour,
                label="weight noise of the same size" if prefix else "tuned",
            )
        axis.set_xticks(places, [_level(row, factor) for row in levels], rotation=40, fontsize=8)
        axis.set_title(FACTORS[factor], fontsize=9)
        axis.set_ylim(0, 100)
        axis.set_xlim(-0.5, len(levels) - 0.5)
        axis.axhline(mean_er(base), color="black", linestyle=":", linewidth=0.8)
        axis.grid(axis="y", alpha=0.3)
    axes[0, 0].set_ylabel("mean ER over the attacks (%)")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    title = f"{base['dataset']}, {base['model']}: seeds {len(base['seeds'])}, tunings a level {base['repeats']}"
    figure.legend(handles, labels, title=title, frameon=False, fontsize=8, title_fontsize=9, loc="outside upper center",
                  ncols=2)  # fmt: skip
    figures.explain_raised(figure, rows)
    return figure


def _spread(row, prefix):
    """Standard deviation of mean ER over the seeds or repeats, from those of the attacks (their mean: they agree)."""
    spreads = [one["spread"] or 0.0 for name, one in row["measures"].items() if name.startswith(f"{prefix}er/")]
    return float(numpy.mean(spreads))


def _level(row, factor=None):
    value = row["hyperparameters"][factor or row["factor"]] if (factor or row["factor"]) != "published" else "published"
    return f"{value:g}" if isinstance(value, float) else str(value).replace("None", "none")


def _order(row, factor):
    value = row["hyperparameters"][factor]
    if isinstance(value, int | float):
        return value
    order = (None, "union", "majority", "intersection", "surest", "random", "newest")
    return order.index(value) if value in order else 0


def _rank(row):
    place = list(FACTORS).index(row["factor"])
    if row["factor"] == "published":
        return place, -math.inf
    return place, _order(row, row["factor"])
