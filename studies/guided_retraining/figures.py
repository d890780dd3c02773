"""The figure of guided retraining: accuracy against the inputs, ours and published, and areas above random order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import matplotlib.figure
import numpy

from reporting import figures as drawing
from reporting import published, statistics
from reporting.cell import cell_name
from studies.guided_retraining import differences, tables

COLOURS = dict(
    zip(
        (
            *("lsa", "dsa", "deepgini", "softmax_entropy", "neuron_coverage", "random", "margin", "max_softmax"),
            *("be-st", "km-st", "km-st-released"),
        ),
        (*drawing.CYCLE[:5], "#777777", drawing.SKY, "#000000", "#882255", "#44AA99", "#999933"),
        strict=True,
    )
)


def figures(rows: Sequence[Mapping]) -> Iterator[tuple]:
    """Yield (file name, caption, Figure): accuracy against inputs, a panel for each configuration."""
    for (dataset, model), own in tables.cells(tables.of_study(rows)).items():
        caption = (
            "accuracy on clean and adversarial test inputs against the inputs retrained on, ours and published; the "
            "area of each order minus that of the random order, with its 95 % interval"
        )
        yield f"{cell_name(dataset, model)}-guided", caption, curves(own)


def curves(rows: Sequence[Mapping]) -> matplotlib.figure.Figure:
    """A column for each configuration: our curves, the published ones if there are any, and areas if there is a random
    order.

    A curve is the mean over seeds; its band reaches from the lowest to the highest seed, or for one seed over Wilson's
    interval of the test inputs at 95 %.
    """
    names = sorted({row["configuration"] for row in rows})
    published_curves = {
        (row["configuration"], row["metric"]): published.guided(row["dataset"], row["configuration"], row["metric"])
        for row in rows
    }
    areas = differences.area_over_random(rows)
    below = any(published_curves.values())
    lines = 1 + below + bool(areas)
    figure, axes = drawing.panels(lines, len(names), (3.6 * len(names), 2.9 * lines + 0.6), sharey="row")
    sharing = axes[-1, :] if areas else ()
    handles = {}
    for row in rows:
        column, colour = names.index(row["configuration"]), COLOURS[row["metric"]]
        counts, values, low, high = band(row)
        [line] = axes[0, column].plot(counts, values, ".-", color=colour, lw=1.1, ms=4)
        axes[0, column].fill_between(counts, low, high, color=colour, alpha=0.08, lw=0)
        handles.setdefault(row["metric"], line)
        if published_curves[row["configuration"], row["metric"]]:
            axes[1, column].plot(
                *zip(*published_curves[row["configuration"], row["metric"]], strict=True), color=colour, lw=1.1
            )
    for column, name in enumerate(names):
        original = 100 * numpy.mean([point["both"]["accuracy"] for point in rows[0]["originals"]])
        axes[0, column].axhline(original, color="black", linestyle=":", lw=0.8)
        axes[0, column].set_title(f"{name}, ours", fontsize=9)
        if below:
            axes[1, column].set_title(f"{name}, published", fontsize=9)
    metrics = list(dict.fromkeys(metric for _, metric in areas))
    for column, axis in enumerate(sharing):
        axis.set_title(f"{names[column]}, area minus random", fontsize=9)
        axis.axhline(0, color="black", linestyle=":", lw=0.8)
        for (name, metric), interval in areas.items():
            if name == names[column]:
                _error_bar(axis, metrics.index(metric), interval, COLOURS[metric])
        axis.set_xticks(range(len(metrics)), metrics, rotation=45, ha="right", fontsize=6)
        axis.grid(alpha=0.3)
    if areas:
        axes[-1, 0].set_ylabel("points", fontsize=8)
    for axis in axes[: lines - bool(areas)].flat:
        axis.grid(alpha=0.3)
        axis.set_xlabel("inputs retrained on", fontsize=8)
    axes[0, 0].set_ylabel("accuracy (%)", fontsize=8)
    figure.legend(handles.values(), handles, frameon=False, fontsize=7, ncols=4, loc="outside lower center")
    drawing.explain_raised(figure, rows)
    return figure


def band(row: Mapping) -> tuple[list, numpy.ndarray, numpy.ndarray, numpy.ndarray]:
    """(inputs, mean accuracy over seeds, lower and upper end of its band) of each prefix, in percent."""
    accuracies = 100 * numpy.array([[point["both"]["accuracy"] for point in curve] for curve in row["curves"]])
    counts, mean = [point["inputs"] for point in row["curves"][0]], accuracies.mean(axis=0)
    if len(accuracies) > 1:
        return counts, mean, accuracies.min(axis=0), accuracies.max(axis=0)
    n = row["measures"]["best"]["n"]
    intervals = [statistics.wilson(round(value * n / 100), n) for value in mean]
    ends = ([100 * getattr(each, end) for each in intervals] for end in ("low", "high"))
    return counts, mean, *map(numpy.array, ends)


def _error_bar(axis, place, interval, colour):
    """A point with the ends of its interval; the point alone if they are infinite."""
    error = None
    if numpy.isfinite([interval.low, interval.high]).all():
        error = [[interval.value - interval.low], [interval.high - interval.value]]
    axis.errorbar([place], [interval.value], yerr=error, fmt="o", ms=4, lw=1.2, capsize=2, color=colour)
