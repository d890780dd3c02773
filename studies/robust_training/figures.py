"""The figure of robust training: accuracy against BP-epochs, a panel for each kind of method."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence

import matplotlib.figure
import matplotlib.lines
import numpy

from reporting import figures, marks
from studies.robust_training import tables
from train import robust

REPLAYED, PGD, EARLY = "replayed batches", "PGD", "early stop, first layer"
MOVED, SOFT, FEW, MINED = "moved or averaged weights", "soft targets", "one or two steps", "mined targets"
KINDS = (REPLAYED, PGD, EARLY, "TRADES", "MART", MOVED, SOFT, FEW, MINED)
COLOURS = (*figures.CYCLE, "black", "#999933", "#882255")
OTHERS = "#DDDDDD"


def kind(method: str) -> str | None:
    """The kind (of KINDS) of a catalogued method; None for standard training and unknown methods."""
    if method not in robust.METHODS or method == "standard":
        return None
    strategy = robust.METHODS[method].strategy
    if isinstance(strategy, robust.Nuclear):
        return FEW
    if robust.METHODS[method].average is not None:
        return MOVED
    if isinstance(strategy, robust.Replay):
        return REPLAYED
    if isinstance(strategy, robust.Yopo):
        return EARLY
    if isinstance(strategy.targets, robust.Mined):
        return MINED
    if strategy.awp or strategy.targets or strategy.distil or strategy.noise:
        return MOVED if strategy.awp else FEW if strategy.noise else SOFT
    if strategy.loss != "cross-entropy":
        return strategy.loss.upper()
    return EARLY if strategy.friendly else PGD


def trajectories(rows: Sequence[Mapping]) -> matplotlib.figure.Figure:
    """Held-out accuracy against BP-epochs for one data set and model: a panel for each kind of method.

    A panel has a line for each method and seed of its kind, dotted of clean images and solid under attack, and all
    other methods under attack in grey. A last panel shows the worst case against clean accuracy on test images.
    """
    of_kind = {name: [row for row in rows if kind(row["method"]) == name] for name in KINDS}
    kinds = [name for name in KINDS if of_kind[name]]
    lines = math.ceil((len(kinds) + 1) / 3)
    columns = math.ceil((len(kinds) + 1) / lines)
    figure, axes = figures.panels(lines, columns, (3.6 * columns + 0.6, 3.2 * lines))
    *courses, last = axes.flat[: len(kinds) + 1]
    top = 100 * max(max(run["probe_clean"]) for row in rows for run in row["trajectories"])
    for axis, name in zip(courses, kinds, strict=True):
        for row in rows:
            if kind(row["method"]) != name:
                _courses(axis, row, OTHERS, linewidth=0.7, zorder=1)
        for colour, row in zip(itertools.cycle(COLOURS), of_kind[name], strict=False):
            _courses(axis, row, colour, linewidth=1.3, zorder=3)
            _courses(axis, row, colour, "probe_clean", linewidth=0.9, linestyle=":", zorder=2)
        heights = "under attack, held out (%)\ndotted: clean images"
        _finish(axis, name, "BP-epochs", heights, [marks.name(row) for row in of_kind[name]])
        axis.set_ylim(0, 1.06 * top)
    points = []
    for place, name in enumerate(kinds):
        for row in of_kind[name]:
            clean, worst = row["measures"]["clean"], tables.worst(row)
            spread = {"xerr": clean.get("spread"), "yerr": worst.get("spread")}
            style = {"color": COLOURS[place], "markersize": 4, "linewidth": 0.6, "alpha": 0.85}
            style |= {"markerfacecolor": figures.face(row, COLOURS[place])}
            last.errorbar(clean["value"], worst["value"], **spread, fmt="o", **style)
            points.append((marks.name(row), clean["value"], worst["value"], COLOURS[place]))
    _finish(last, "test images, selected epoch", "clean accuracy (%)", "worst case (%)", kinds)
    if points:
        heights = [height for *_, height, _ in points]
        room = 0.3 * (max(heights) - min(heights)) + 1
        last.set_ylim(max(0, min(heights) - room), max(heights) + room)
        last.get_legend().set_loc("lower right")  # below the points, as the room is
        figures.label(last, points)
    for axis in axes.flat[len(kinds) + 1 :]:
        axis.set_visible(False)
    figures.explain_raised(figure, rows)
    return figure


def _courses(axis, row, colour, measured="probe_robust", **style):
    for run in row["trajectories"]:
        axis.plot(run["bp_epochs"], 100 * numpy.array(run[measured]), color=colour, **style)


def _finish(axis, title, x, y, names):
    axis.set_title(title, fontsize=9)
    axis.set_xlabel(x, fontsize=8)
    axis.set_ylabel(y, fontsize=8)
    axis.grid(alpha=0.3)
    lines = [
        matplotlib.lines.Line2D([], [], color=colour, label=name) for colour, name in zip(COLOURS, names, strict=False)
    ]
    axis.legend(handles=lines, frameon=False, fontsize=6.5, handlelength=1.2)
