"""Figures of a study: functions from data to a matplotlib Figure, and `save`, which writes the same bytes every time.

Colours are those of Okabe and Ito, which colour-blind readers can tell apart; no global state of pyplot is used.
"""

import math

import matplotlib.figure
import matplotlib.lines
import matplotlib.patches
import matplotlib.ticker
import numpy

from data import files
from reporting import marks

BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9"
CYCLE = (BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY)
ROLES = {"original": "#555555", "method": BLUE, "baseline": ORANGE, "control": "#AAAAAA"}


def save(figure, path, *, dpi=150):
    """Write a figure to `path` as PNG: whole or not at all, without date or program name."""
    with files.atomic(path) as temporary:
        figure.savefig(temporary, format="png", dpi=dpi, metadata={"Software": None})


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


def training_history(metrics):
    """Loss, accuracy and learning rate of each epoch; a dotted line wherever the learning rate changes.

    metrics: a dictionary an epoch, as in metrics.csv (values may be strings): epoch, learning_rate, loss, accuracy,
    validation_loss, validation_accuracy.
    """
    if not metrics:
        raise ValueError("no epoch to draw: metrics are empty")
    names = ("epoch", "learning_rate", "loss", "accuracy", "validation_loss", "validation_accuracy")
    column = {name: numpy.array([float(row[name]) for row in metrics]) for name in names}
    epochs, rates = column["epoch"], column["learning_rate"]
    figure, axes = panels(3, 1, (6.4, 6), sharex=True, height_ratios=(3, 3, 1.4))
    loss, accuracy, rate = axes[:, 0]
    marker = "." if len(epochs) < 40 else None
    for axis, name, scale in ((loss, "loss", 1), (accuracy, "accuracy", 100)):
        axis.plot(epochs, scale * column[name], color=BLUE, marker=marker, label="training images")
        held = scale * column["validation_" + name]
        axis.plot(epochs, held, color=VERMILION, marker=marker, linestyle="--", label="x_validation")
        axis.grid(alpha=0.3)
    loss.set_ylabel("loss (cross-entropy, nats)")
    loss.legend(frameon=False, fontsize=8)
    accuracy.set_ylabel("accuracy (%)")
    rate.step(epochs, rates, where="mid", color="black")
    if rates.min() > 0 and rates.max() > 3 * rates.min():
        rate.set_yscale("log")
    else:
        rate.set_ylim(0, 1.3 * rates.max() or 1)
    rate.set_ylabel("learning rate")
    rate.set_xlabel("epoch")
    rate.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(integer=True))
    changes = epochs[1:][rates[1:] != rates[:-1]]
    for epoch in changes if len(changes) <= 12 else []:
        for axis in (loss, accuracy):
            axis.axvline(epoch - 0.5, color="black", linestyle=":", linewidth=0.8)
    final = f"{100 * column['validation_accuracy'][-1]:.1f} %"
    figure.suptitle(f"Training history, n = {len(epochs)} epochs; final x_validation accuracy {final}", fontsize=10)
    return figure


def robustness(rows, measures=None):
    """One panel a measure, one bar a method: mean, a line for its 95 % interval, a diamond where a value is published.

    rows: result rows of one data set and model, top to bottom; measures: default clean, er/*, white-box/*.
    """
    if not rows:
        raise ValueError("no row to draw")
    known = dict.fromkeys(name for row in rows for name in row["measures"])
    starts = ("clean", "er/", "white-box/")
    measures = measures or [name for start in starts for name in known if name.startswith(start)]
    columns = min(4, len(measures))
    lines = math.ceil(len(measures) / columns)
    figure, axes = panels(lines, columns, (2.1 * columns + 1.8, lines * (0.24 * len(rows) + 0.9) + 0.6), sharey=True)
    published = False
    for axis, name in zip(axes.flat, measures, strict=False):
        for place, row in enumerate(rows):
            measure = row["measures"].get(name)
            if measure is not None:
                colour = ROLES.get(row["role"], BLUE)
                style = {"color": "white", "edgecolor": colour} if marks.raised(row) else {"color": colour}
                published |= _bar(axis, place, measure, style)
        counts = sorted({row["measures"][name]["n"] for row in rows if name in row["measures"]})
        axis.set_title(f"{name}\nn = {'-'.join(map(str, counts[:1] + counts[1:][-1:]))}", fontsize=8)
        axis.set_xlim(0, 100)
        axis.set_xticks(range(0, 101, 25))
        axis.grid(axis="x", alpha=0.3)
        axis.set_yticks(range(len(rows)), [marks.name(row) for row in rows])
        axis.set_ylim(len(rows) - 0.4, -0.6)
    for axis in axes.flat[len(measures) :]:
        axis.set_visible(False)
    figure.supxlabel("classified as the true label (%)", fontsize=9)
    _legend(figure, rows, published)
    return figure


def _bar(axis, place, measure, style):
    """Draw one measure; whether a published value stands beside it."""
    axis.barh(place, measure["value"], height=0.72, **style)
    if measure.get("interval"):
        axis.plot(measure["interval"], [place, place], color="black", linewidth=1)
    if measure.get("published") is None:
        return False
    axis.plot(measure["published"], place, "D", markersize=4.5, color="white", markeredgecolor="black", clip_on=False)
    return True


def _legend(figure, rows, published):
    present = [role for role in ROLES if any(row["role"] == role for row in rows)]
    handles = [matplotlib.patches.Patch(color=ROLES[role], label=role) for role in present]
    handles.append(matplotlib.lines.Line2D([], [], color="black", linewidth=1, label="95 % interval over images"))
    if published:
        style = {"linestyle": "", "marker": "D", "markersize": 4.5, "color": "white", "markeredgecolor": "black"}
        handles.append(matplotlib.lines.Line2D([], [], label="published", **style))
    if any(map(marks.raised, rows)):
        handles.append(raised_handle())
    title = f"{rows[0]['dataset']}, {rows[0]['model']}"
    place = {"loc": "outside upper center", "ncols": min(4, len(handles))}
    figure.legend(handles=handles, title=title, frameon=False, fontsize=8, title_fontsize=10, **place)
