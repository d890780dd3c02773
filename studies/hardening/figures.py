"""The figure of hardening: accuracy under attack against weight change and effort."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.figure
import matplotlib.ticker
import numpy

from reporting import figures, marks
from studies.hardening import levels as levels_of
from studies.hardening import tables


def trajectories(rows: Sequence[Mapping]) -> matplotlib.figure.Figure:
    """Accuracy under attack, and clean, against weight change and against BP-epochs: a line for each strategy.

    Seeds are pooled, and a band shows their standard deviation. Single models are points, the original is a horizontal
    line.

    rows: of one data set and model
    Raises ValueError for rows of no or of several cells.
    """
    by_cell = tables.cells(rows)
    if len(by_cell) != 1:
        raise ValueError(f"rows of {len(by_cell)} data sets and models to draw, expected those of one")
    [((dataset, model), methods)] = by_cell.items()
    figure, axes = figures.panels(2, 2, (8.4, 6.2), sharex="col", sharey="row")
    for (axis, what), column in zip(tables.AXES.items(), axes.T, strict=True):
        column[1].set_xlabel(what)
        for measure, panel in zip(("near", "clean"), column, strict=True):
            panel.set_xscale("log")
            panel.xaxis.set_major_locator(matplotlib.ticker.LogLocator(subs=(1, 2, 5)))
            panel.xaxis.set_major_formatter("{x:g}")
            panel.xaxis.set_minor_locator(matplotlib.ticker.NullLocator())
            panel.grid(alpha=0.3)
            for place, row in enumerate(sorted(methods, key=lambda row: not tables.budget(row))):
                _draw(panel, row, axis, measure, place)
    first = methods[0]
    axes[0, 0].set_ylabel(f"correct under attack, epsilon {first['epsilons']['near']:.3g} (%)", fontsize=9)
    axes[1, 0].set_ylabel("correct on clean images (%)", fontsize=9)
    title = f"{dataset}, {model}; n = {first['images']['near']} attacked, {first['images']['clean']} clean, seeds "
    title += ", ".join(map(str, tables.seeds_of(methods)))
    style = {"loc": "outside upper center", "ncols": 4, "frameon": False, "fontsize": 8, "title_fontsize": 10}
    figure.legend(*axes[0, 0].get_legend_handles_labels(), title=title, **style)
    figures.explain_raised(figure, methods)
    return figure


def _draw(panel, row, axis, measure, place):
    """Draw a strategy's line and band, a single model's point, or the original's level."""
    points = [run["points"] for run in row["trajectories"]]
    if not tables.budget(row):
        x, y = (float(numpy.mean([run[0][name] for run in points])) for name in (axis, measure))
        if row["role"] == "original":
            panel.axhline(y, color=figures.ROLES["original"], linewidth=1, label=marks.name(row))
        elif axis == "weight_change":
            style = {"color": "black", "markerfacecolor": figures.face(row, "black"), "linestyle": ""}
            panel.plot(x, y, "D", markersize=6, label=marks.name(row), **style)
        return
    ends = [value[axis] for run in points for value in run[1:]]
    levels = numpy.geomspace(min(ends), max(ends), 40) if ends else []
    pooled = [(level, levels_of.at_level(row, axis, level)) for level in levels]
    pooled = [(level, each[1][measure], each[2][measure]) for level, each in pooled if each is not None]
    x, y, spread = numpy.array(pooled, float).reshape(-1, 3).T
    colours = figures.CYCLE
    colour, line = colours[place % len(colours)], ("-", "--", ":")[place // len(colours) % 3]
    panel.plot(x, y, linewidth=1.5, color=colour, linestyle=line, label=marks.name(row))
    if numpy.isfinite(spread).all():
        panel.fill_between(x, y - spread, y + spread, color=colour, alpha=0.15, linewidth=0)
