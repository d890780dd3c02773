"""The figure of robust training: what each method reaches by when, beside the methods of its own kind."""

import math

import matplotlib.lines
import numpy

from reporting import figures, marks
from studies.robust_training import tables
from train import robust

KINDS = ("replayed batches", "PGD", "early stop, first layer", "TRADES", "MART")
COLOURS = (*figures.CYCLE, "black", "#999933")
OTHERS = "#DDDDDD"


def kind(method):
    """Which of KINDS a method of the catalogue is of; None for the control of no attack and an unknown one."""
    if method not in robust.METHODS or method == "standard":
        return None
    strategy = robust.METHODS[method].strategy
    if isinstance(strategy, robust.Replay):
        return KINDS[0]
    if isinstance(strategy, robust.Yopo):
        return KINDS[2]
    if strategy.loss != "cross-entropy":
        return strategy.loss.upper()
    return KINDS[2] if strategy.friendly else KINDS[1]


def trajectories(rows):
    """A figure for one data set and model. A panel a kind: held-out robust accuracy against BP-epochs, a line a method
    and seed over those of all other methods in grey; and a last one: worst case against clean accuracy on test images.
    """
    of_kind = {name: [row for row in rows if kind(row["method"]) == name] for name in KINDS}
    kinds = [name for name in KINDS if of_kind[name]]
    lines = math.ceil((len(kinds) + 1) / 3)
    columns = math.ceil((len(kinds) + 1) / lines)
    figure, axes = figures.panels(lines, columns, (3.6 * columns + 0.6, 3.2 * lines))
    *courses, last = axes.flat[: len(kinds) + 1]
    top = 100 * max(max(one["probe_robust"]) for row in rows for one in row["trajectories"])
    for axis, name in zip(courses, kinds, strict=True):
        for row in rows:
            if kind(row["method"]) != name:
                _courses(axis, row, OTHERS, linewidth=0.7, zorder=1)
        for colour, row in zip(COLOURS, of_kind[name], strict=False):
            _courses(axis, row, colour, linewidth=1.3, zorder=2)
        _finish(axis, name, "BP-epochs", "robust accuracy, held out (%)", [marks.name(row) for row in of_kind[name]])
        axis.set_ylim(0, 1.06 * top)
    for place, name in enumerate(kinds):
        for row in of_kind[name]:
            clean, worst = row["measures"]["clean"], tables.worst(row)
            spread = {"xerr": clean.get("spread"), "yerr": worst.get("spread")}
            style = {"color": COLOURS[place], "markersize": 4, "linewidth": 0.6, "alpha": 0.85}
            style |= {"markerfacecolor": figures.face(row, COLOURS[place])}
            last.errorbar(clean["value"], worst["value"], **spread, fmt="o", **style)
    _finish(last, "test images, selected epoch", "clean accuracy (%)", "worst case (%)", kinds)
    last.set_ylim(bottom=0)
    for axis in axes.flat[len(kinds) + 1 :]:
        axis.set_visible(False)
    figures.explain_raised(figure, rows)
    return figure


def _courses(axis, row, colour, **style):
    for one in row["trajectories"]:
        axis.plot(one["bp_epochs"], 100 * numpy.array(one["probe_robust"]), color=colour, **style)


def _finish(axis, title, x, y, names):
    axis.set_title(title, fontsize=9)
    axis.set_xlabel(x, fontsize=8)
    axis.set_ylabel(y, fontsize=8)
    axis.grid(alpha=0.3)
    lines = [matplotlib.lines.Line2D([], [], color=one, label=name) for one, name in zip(COLOURS, names, strict=False)]
    axis.legend(handles=lines, frameon=False, fontsize=6.5, handlelength=1.2)
