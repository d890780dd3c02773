"""Figures of rows: all measures, ER by attack, ER against white-box accuracy, and perturbation sizes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import matplotlib.figure
import matplotlib.lines
import matplotlib.patches
import matplotlib.ticker
import numpy

from reporting import figures, marks, measure_words, order


def er_by_attack(rows: Sequence[Mapping], methods: Sequence[str]) -> matplotlib.figure.Figure:
    """A heat map of ER for each cell (data set, model): methods down, attacks across; published values in brackets.

    rows: result rows of any number of cells
    methods: names in the order of the lines; methods without a row are left out
    Raises ValueError if no row is of one of the methods.
    """
    drawn = (row for row in rows if row["method"] in methods and order.attacks([row]))
    cells = order.by_cell(drawn, lambda row: methods.index(row["method"]))
    if not cells:
        raise ValueError(f"no row of {', '.join(methods)} to draw")
    lines = max(map(len, cells.values()))
    widths = [len(order.attacks(own)) for own in cells.values()]
    figure, axes = figures.panels(
        1, len(cells), (0.6 * sum(widths) + 1.5 * len(cells) + 0.8, 0.38 * lines + 1.4), width_ratios=widths
    )
    for axis, (cell, own) in zip(axes.flat, cells.items(), strict=True):
        attacks = order.attacks(own)
        values = numpy.full((len(own), len(attacks)), numpy.nan)
        for line, row in enumerate(own):
            for column, measure in enumerate(row["measures"].get(f"er/{attack}") for attack in attacks):
                if measure is not None and measure["value"] is not None:
                    values[line, column] = measure["value"]
                    _write(axis, line, column, measure)
        heat_map = axis.imshow(values, cmap="cividis", vmin=0, vmax=100, aspect="auto")
        axis.set_xticks(range(len(attacks)), [measure_words.attack(name) for name in attacks], rotation=50, fontsize=8)
        axis.set_yticks(range(len(own)), [marks.name(row) for row in own], fontsize=8)
        axis.tick_params(length=0)
        axis.set_title("\n".join(cell), fontsize=9)
        axis.spines[:].set_visible(False)
    figure.colorbar(heat_map, ax=list(axes.flat), label="Empirical Robustness (%)", fraction=0.03)
    figures.explain_raised(figure, [row for own in cells.values() for row in own])
    return figure


def _write(axis, line, column, measure):
    """Write the value of a measure into its place, with the published value below."""
    published = "" if measure.get("published") is None else f"\n({measure['published']:.0f})"
    colour = "white" if measure["value"] < 55 else "black"
    size = 6.5 if published else 8
    axis.text(column, line, f"{measure['value']:.0f}{published}", ha="center", va="center", fontsize=size, color=colour)


def transfer_against_white_box(rows: Sequence[Mapping], measure: str) -> matplotlib.figure.Figure:
    """A point for each method: mean ER (x) and accuracy under white-box attack (y), with 95 % intervals over images.

    If ER measured robustness, the points would rise from left to right.

    rows: those of one data set and model
    measure: the white-box measure, such as "white-box/pgd@0.02"
    Raises ValueError if no row has both.
    """
    points = [(row, _mean_er(row), row["measures"][measure]) for row in rows if measure in row["measures"]]
    points = [point for point in points if point[1] is not None and point[2]["value"] is not None]
    if not points:
        raise ValueError(f"no row has both an ER and {measure}")
    figure, axes = figures.panels(1, 1, (6.4, 4.4))
    axis = axes[0, 0]
    for row, across, up in points:
        colour = _colour(row)
        low, high = up.get("interval") or (up["value"], up["value"])
        bars = [[max(0.0, up["value"] - low)], [max(0.0, high - up["value"])]]
        style = {"color": colour, "markerfacecolor": figures.face(row, colour), "markersize": 5, "elinewidth": 0.8}
        axis.errorbar(across, up["value"], bars, fmt="o", alpha=0.9, **style)
    figures.label(axis, [(marks.name(row), across, up["value"], _colour(row)) for row, across, up in points])
    axis.set_xlabel("mean Empirical Robustness: adversarials of the original model (%)")
    weak = next((marks.weak(row) for row, _, _ in points if "/worst@" in measure and marks.weak(row)), "")
    worst = f"\n(worst of {weak}; without APGD-T)" if weak else ""
    axis.set_ylabel(f"{measure_words.words(measure)}: correct (%){worst}")
    axis.grid(alpha=0.3)
    present = [role for role in figures.ROLES if any(row["role"] == role for row, _, _ in points)]
    figure.legend(
        handles=[
            matplotlib.lines.Line2D([], [], linestyle="", marker="o", color=figures.ROLES[role], label=role)
            for role in present
        ]
        + ([figures.raised_handle()] if any(marks.raised(row) for row, _, _ in points) else []),
        title=_title_of(points),
        loc="outside upper center",
        ncols=3,
        frameon=False,
        fontsize=8,
        title_fontsize=10,
    )
    return figure


def _title_of(points):
    """The cell and the number of images of (row, x, measure) points."""
    counts = sorted({up["n"] for _, _, up in points})
    row = points[0][0]
    return f"{row['dataset']}, {row['model']}: n = {'-'.join(map(str, counts))} test images"


def against_change(rows: Sequence[Mapping]) -> matplotlib.figure.Figure:
    """A point for each method of one cell: mean ER, and white-box accuracy, by the fraction of changed clean answers.

    If ER measures how much a model differs from the original, its points lie on one rising line, controls among them.

    rows: those of one data set and model that have the measure "changed"
    Raises ValueError if no row has it and an ER.
    """
    rows = [row for row in rows if "changed" in row["measures"] and _mean_er(row) is not None]
    if not rows:
        raise ValueError("no row has both an ER and the fraction of changed answers")
    balls = [f"white-box/{ball}" for ball in order.attacks(rows, "white-box") if ball.startswith("worst@")]
    figure, axes = figures.panels(1, 1 + len(balls[:1]), (4.6 * (1 + len(balls[:1])), 4.2))
    panels = [("mean Empirical Robustness (%)", _mean_er)]
    panels += [(f"{measure_words.words(ball)}: correct (%)", _reader(ball)) for ball in balls[:1]]
    for axis, (title, value) in zip(axes.flat, panels, strict=True):
        points = [(row, row["measures"]["changed"]["value"], value(row)) for row in rows if value(row) is not None]
        for row, across, up in points:
            colour = _colour(row)
            axis.plot(across, up, "o", color=colour, markerfacecolor=figures.face(row, colour), markersize=5)
        figures.label(axis, [(marks.name(row), across, up, _colour(row)) for row, across, up in points])
        axis.set_ylabel(title)
        axis.grid(alpha=0.3)
    figure.supxlabel(f"{measure_words.words('changed')} (%)", fontsize=9)
    return figure


def _reader(name):
    return lambda row: row["measures"].get(name, {}).get("value")


def perturbation_sizes(sizes: dict, norm: str) -> matplotlib.figure.Figure:
    """The cumulative fraction of adversarials by perturbation size, a line for each attack, on a logarithmic axis.

    For norm "linf" a dotted line marks 1/255, the step of eight-bit pixels.

    sizes: attack -> perturbation sizes (N,) in `norm`, pixels in [0, 1]; zeros (images misclassified without an
        attack) are left out
    Raises ValueError if all sizes are zero.
    """
    positive = {name: numpy.sort(values[values > 0]) for name, values in sizes.items()}
    positive = {name: values for name, values in positive.items() if len(values)}
    if not positive:
        raise ValueError("all perturbations are zero: nothing to draw")
    figure, axes = figures.panels(1, 1, (6.4, 3.6))
    axis = axes[0, 0]
    styles = ("-", "--", "-.", ":")
    for place, (name, values) in enumerate(positive.items()):
        share = 100 * numpy.arange(1, len(values) + 1) / len(values)
        colour = figures.CYCLE[place % len(figures.CYCLE)]
        label = f"{name}: median {numpy.median(values):.2g}, n = {len(values)}"
        axis.step(values, share, where="post", color=colour, linestyle=styles[place // len(figures.CYCLE)], label=label)
    if norm == "linf":
        axis.axvline(1 / 255, color="black", linestyle=":", linewidth=0.9)
        axis.text(1 / 255, 101, "1/255", ha="center", fontsize=7)
    axis.set_xscale("log")
    axis.set_ylim(0, 104)
    axis.set_xlabel(f"size of the perturbation, {norm} (pixels in [0, 1])")
    axis.set_ylabel("adversarials within it (%)")
    axis.grid(alpha=0.3)
    axis.legend(frameon=False, fontsize=7, loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def _colour(row):
    return figures.ROLES.get(row["role"], figures.BLUE)


def _mean_er(row):
    """Mean ER over the attacks; None if a value is missing."""
    values = [
        measure["value"] for name, measure in row["measures"].items() if name.startswith("er/") and name != "er/worst"
    ]
    return None if not values or None in values else float(numpy.mean(values))


def robustness(rows: Sequence[Mapping], measures: Sequence[str] | None = None) -> matplotlib.figure.Figure:
    """A panel for each measure, a bar for each method: mean, 95 % interval, and a diamond at the published value.

    rows: result rows of one data set and model, top to bottom
    measures: default measure_words.shown_in_figures
    Raises ValueError without rows.
    """
    if not rows:
        raise ValueError("no row to draw")
    er = [f"er/{attack}" for attack in order.attacks(rows)]
    white_box = [f"white-box/{ball}" for ball in order.attacks(rows, "white-box")]
    known = {name for row in rows for name in row["measures"]}
    ordered = [name for name in ("clean", *er, "er/worst", *white_box) if name in known]
    measures = measures or measure_words.shown_in_figures(ordered)
    columns = min(4, len(measures))
    lines = math.ceil(len(measures) / columns)
    figure, axes = figures.panels(
        lines, columns, (2.1 * columns + 1.8, lines * (0.24 * len(rows) + 0.9) + 0.6), sharey=True
    )
    published = False
    for axis, name in zip(axes.flat, measures, strict=False):
        for place, row in enumerate(rows):
            measure = row["measures"].get(name)
            if measure is not None:
                colour = _colour(row)
                style = {"color": "white", "edgecolor": colour} if marks.raised(row) else {"color": colour}
                published |= _bar(axis, place, measure, style)
        counts = sorted({row["measures"][name]["n"] for row in rows if name in row["measures"]})
        number = " to ".join(f"{count:,}" for count in counts[:1] + counts[1:][-1:])
        axis.set_title(f"{measure_words.words(name)}\nn = {number}", fontsize=8)
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
    """Draw one measure. Returns True if it has a published value."""
    axis.barh(place, measure["value"], height=0.72, **style)
    if measure.get("interval"):
        axis.plot(measure["interval"], [place, place], color="black", linewidth=1)
    if measure.get("published") is None:
        return False
    axis.plot(measure["published"], place, "D", markersize=4.5, color="white", markeredgecolor="black", clip_on=False)
    return True


def _legend(figure, rows, published):
    present = [role for role in figures.ROLES if any(row["role"] == role for row in rows)]
    handles = [matplotlib.patches.Patch(color=figures.ROLES[role], label=role) for role in present]
    handles.append(matplotlib.lines.Line2D([], [], color="black", linewidth=1, label="95 % interval over images"))
    if published:
        style = {"linestyle": "", "marker": "D", "markersize": 4.5, "color": "white", "markeredgecolor": "black"}
        handles.append(matplotlib.lines.Line2D([], [], label="published", **style))
    if any(map(marks.raised, rows)):
        handles.append(figures.raised_handle())
    title = f"{rows[0]['dataset']}, {rows[0]['model']}"
    place = {"loc": "outside upper center", "ncols": min(4, len(handles))}
    figure.legend(handles=handles, title=title, frameon=False, fontsize=8, title_fontsize=10, **place)
