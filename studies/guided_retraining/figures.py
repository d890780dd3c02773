"""The figure of guided retraining: accuracy against the inputs retrained on, ours and published."""

from __future__ import annotations

from collections.abc import Iterator

import matplotlib.figure
import numpy

from reporting import figures as drawing
from reporting import published
from reporting.cell import cell_name
from studies.guided_retraining import tables

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


def figures(rows) -> Iterator[tuple]:
    """Yield (file name, caption, Figure): accuracy against inputs, a panel for each configuration."""
    for (dataset, model), own in tables.cells(tables.of_study(rows)).items():
        caption = "accuracy on clean and adversarial test inputs against the inputs retrained on, ours and published"
        yield f"{cell_name(dataset, model)}-guided", caption, curves(own)


def curves(rows) -> matplotlib.figure.Figure:
    """A panel for each configuration: our curves above, the published curves below if there are any."""
    names = sorted({row["configuration"] for row in rows})
    published_curves = {
        (row["configuration"], row["metric"]): published.guided(row["dataset"], row["configuration"], row["metric"])
        for row in rows
    }
    lines = 1 + any(published_curves.values())
    figure, axes = drawing.panels(lines, len(names), (3.6 * len(names), 2.9 * lines + 0.6), sharey="row")
    handles = {}
    for row in rows:
        column, colour = names.index(row["configuration"]), COLOURS[row["metric"]]
        for seed, curve in enumerate(row["curves"]):
            values = [100 * point["both"]["accuracy"] for point in curve]
            counts = [point["inputs"] for point in curve]
            [line] = axes[0, column].plot(
                counts, values, ".-", color=colour, lw=1.1, ms=4, alpha=1 if not seed else 0.5
            )
            handles.setdefault(row["metric"], line)
        if published_curves[row["configuration"], row["metric"]]:
            axes[1, column].plot(
                *zip(*published_curves[row["configuration"], row["metric"]], strict=True), color=colour, lw=1.1
            )
    for column, name in enumerate(names):
        original = 100 * numpy.mean([point["both"]["accuracy"] for point in rows[0]["originals"]])
        axes[0, column].axhline(original, color="black", linestyle=":", lw=0.8)
        axes[0, column].set_title(f"{name}, ours", fontsize=9)
        if lines == 2:
            axes[1, column].set_title(f"{name}, published", fontsize=9)
    for axis in axes.flat:
        axis.grid(alpha=0.3)
        axis.set_xlabel("inputs retrained on", fontsize=8)
    axes[0, 0].set_ylabel("accuracy (%)", fontsize=8)
    figure.legend(handles.values(), handles, frameon=False, fontsize=7, ncols=4, loc="outside lower center")
    drawing.explain_raised(figure, rows)
    return figure
