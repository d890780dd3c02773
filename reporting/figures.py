"""Figures of a study: functions from data to a matplotlib Figure, and `save`, which writes the same bytes every time.

Colours are those of Okabe and Ito, which colour-blind readers can tell apart; no global state of pyplot is used.
"""

import re

import matplotlib.figure
import matplotlib.lines
import matplotlib.patches
import matplotlib.text
import matplotlib.ticker

from data import files
from reporting import marks

BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9"
CYCLE = (BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY)
ROLES = {"original": "#555555", "method": BLUE, "baseline": ORANGE, "control": "#AAAAAA"}
METADATA = {"png": {"Software": None}, "pdf": {"Creator": None, "Producer": None, "CreationDate": None}}

# The number at a tick of a logarithmic axis, in Matplotlib's own markup; all other text is shown as it is.
TICK = re.compile(r"\$\\mathdefault\{-?[\d.]*(\\times)?(10\^\{-?[\d.]+\})?\}\$")


def save(figure, path, *, dpi=150, kind="png"):
    """Write a figure to `path`: whole or not at all, without date or program name. kind: "png" or "pdf"."""
    with files.atomic(path) as temporary:
        draw(figure, temporary, dpi=dpi, kind=kind)


def draw(figure, target, *, dpi, kind="png"):
    """Write a figure to a path or open file. A $ in a name is no formula."""
    for one in figure.findobj(matplotlib.text.Text):
        if "$" in one.get_text() and not TICK.fullmatch(one.get_text()):
            one.set_parse_math(False)
    figure.savefig(target, format=kind, dpi=dpi, metadata=METADATA[kind])


def panels(rows, columns, size, **options):
    """A Figure of size (width, height) inches with (rows, columns) axes, without the two frame lines of no use."""
    figure = matplotlib.figure.Figure(figsize=size, layout="constrained", facecolor="white")
    axes = figure.subplots(rows, columns, squeeze=False, **options)
    for one in axes.flat:
        one.spines[["top", "right"]].set_visible(False)
        one.tick_params(labelsize=8)
        one.set_axisbelow(True)
    return figure, axes


def face(row, colour):
    """The colour that the marker of a row is filled with: none where a check of it was raised."""
    return "white" if marks.raised(row) else colour


def explain_raised(figure, rows):
    """Say in a legend of its own what the hollow markers and daggers of raised checks are, where there are any."""
    if any(map(marks.raised, rows)):
        place = {"loc": "outside lower right", "frameon": False, "fontsize": 7}
        figure.legend(handles=[raised_handle()], **place)


def raised_handle():
    """The entry of a legend for hollow markers and daggers."""
    style = {"linestyle": "", "marker": "o", "color": "black", "markerfacecolor": "white", "markersize": 5}
    return matplotlib.lines.Line2D([], [], label=f"{marks.DAGGER} or hollow: checks raised, may be too kind", **style)
