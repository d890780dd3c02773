"""Figures of a study: functions from data to a matplotlib Figure, and `save`, which writes the same bytes every time.

The colours are those of Okabe and Ito, which colour-blind readers can distinguish. pyplot's global state is not used.
"""

from __future__ import annotations

import pathlib
import re
import typing
from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO

import matplotlib.figure
import matplotlib.lines
import matplotlib.patches
import matplotlib.text
import matplotlib.ticker
import numpy

from data import files
from reporting import marks

if typing.TYPE_CHECKING:
    import matplotlib.axes

BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9"
CYCLE = (BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY)
ROLES = {"original": "#555555", "method": BLUE, "baseline": ORANGE, "control": "#AAAAAA"}
METADATA = {"png": {"Software": None}, "pdf": {"Creator": None, "Producer": None, "CreationDate": None}}

# The label of a tick on a logarithmic axis, in Matplotlib's markup. All other text is shown literally.
TICK = re.compile(r"\$\\mathdefault\{-?[\d.]*(\\times)?(10\^\{-?[\d.]+\})?\}\$")


def save(figure: matplotlib.figure.Figure, path: str | pathlib.Path, *, dpi: int = 150, kind: str = "png") -> None:
    """Write a figure to `path`, whole or not at all, without date or program name.

    dpi: dots per inch; kind: "png" or "pdf"
    """
    with files.atomic(path) as temporary:
        draw(figure, temporary, dpi=dpi, kind=kind)


def draw(
    figure: matplotlib.figure.Figure, target: str | pathlib.Path | BinaryIO, *, dpi: int, kind: str = "png"
) -> None:
    """Write a figure to `target`, a path or open file. A $ in a name does not start a formula. dpi, kind: as `save`."""
    for label in figure.findobj(matplotlib.text.Text):
        if "$" in label.get_text() and not TICK.fullmatch(label.get_text()):
            label.set_parse_math(False)
    figure.savefig(target, format=kind, dpi=dpi, metadata=METADATA[kind])


def panels(
    rows: int, columns: int, size: tuple[float, float], **options: Any
) -> tuple[matplotlib.figure.Figure, numpy.ndarray]:
    """(Figure, axes (rows, columns)) without the frame lines at the top and on the right. size: width, height, inch."""
    figure = matplotlib.figure.Figure(figsize=size, layout="constrained", facecolor="white")
    axes = figure.subplots(rows, columns, squeeze=False, **options)
    for axis in axes.flat:
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=8)
        axis.set_axisbelow(True)
    return figure, axes


def face(row: Mapping, colour: str) -> str:
    """The fill colour of a row's marker: white if one of the row's checks was raised."""
    return "white" if marks.raised(row) else colour


def label(axis: matplotlib.axes.Axes, points: Sequence[tuple[str, float, float, str]]) -> None:
    """Write a name beside each point (name, x, y, colour), moved up or down to a free place."""
    low, high = axis.get_ylim()
    left, right = axis.get_xlim()
    line, letter = (high - low) / 26, (right - left) / 80  # approximate size of a line and of a letter
    occupied = [(across - letter / 2, across + letter / 2, up) for _, across, up, _ in points]
    for name, across, up, colour in sorted(points, key=lambda point: (-point[2], point[1])):
        end = across + letter * (len(name) + 2)
        shifts = sorted((step * line for step in range(-8, 9)), key=abs)
        free = (
            up + shift for shift in shifts if not any(_overlap(across, end, up + shift, box, line) for box in occupied)
        )
        height = next(free, up)
        occupied.append((across, end, height))
        line_to = {"arrowprops": {"arrowstyle": "-", "color": colour, "linewidth": 0.4}} if height != up else {}
        place = (across + letter, height)
        axis.annotate(name, (across, up), place, textcoords="data", va="center", fontsize=7, color=colour, **line_to)


def _overlap(start, end, height, box, line):
    return start < box[1] and box[0] < end and abs(height - box[2]) < line


def explain_raised(figure: matplotlib.figure.Figure, rows: Sequence[Mapping]) -> None:
    """Add a legend that explains hollow markers and daggers, if any row has a raised check."""
    if any(map(marks.raised, rows)):
        place = {"loc": "outside lower right", "frameon": False, "fontsize": 7}
        figure.legend(handles=[raised_handle()], **place)


def raised_handle() -> matplotlib.lines.Line2D:
    """The legend entry for hollow markers and daggers."""
    style = {"linestyle": "", "marker": "o", "color": "black", "markerfacecolor": "white", "markersize": 5}
    return matplotlib.lines.Line2D([], [], label=f"{marks.DAGGER} or hollow: checks raised, may be too kind", **style)
