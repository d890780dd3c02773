"""The figures of the class-wise study: classes by models, the confusion of one model, and the effect of levers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import matplotlib.figure
import numpy

from reporting import figures as drawing
from reporting import marks, measure_words
from reporting.cell import cell_name
from studies.classwise import rows as class_rows


def figures(rows: Sequence[Mapping]) -> Iterator[tuple]:
    """Yield (file name, caption, Figure): classes by models, the confusion of the best model, and the levers."""
    for (dataset, model), own in class_rows.cells(rows).items():
        whole = [row for row in own if row["role"] != "retrained"]
        if whole:
            cell = cell_name(dataset, model)
            caption = "robust accuracy of each class under the worst of the attacks"
            yield f"{cell}-classes", caption, by_class(whole)
            best = max(marks.sound(whole)[0] or whole, key=lambda row: row["measures"][class_rows.worst(row)]["value"])
            yield f"{cell}-confusion", f"confusion of classes by {best['method']}, clean and attacked", confused(best)
            if any(row["role"] == "lever" for row in whole):
                yield (
                    f"{cell}-levers",
                    "robust accuracy of the worst class against the mean, with levers",
                    pareto(whole),
                )


def by_class(rows: Sequence[Mapping]) -> matplotlib.figure.Figure:
    """A heat map: models down, classes across, robust accuracy (%) written in each cell."""
    classes = rows[0]["classes"]
    figure, axes = drawing.panels(1, 1, (0.62 * len(classes) + 3.2, 0.3 * len(rows) + 1.6))
    values = [class_rows.divided(row["measures"][class_rows.worst(row)]).share for row in rows]
    heat_map = _heat(axes[0, 0], 100 * numpy.array(values), [marks.name(row) for row in rows], classes)
    axes[0, 0].set_title(f"{_cell(rows[0])}: {_words(class_rows.worst(rows[0]))}", fontsize=9)
    bar = figure.colorbar(heat_map, ax=axes[0, 0], fraction=0.03)
    bar.set_label("images of the class\nthat stay correct (%)", fontsize=7)  # no longer than the bar of few models
    drawing.explain_raised(figure, rows)
    return figure


def confused(row: Mapping) -> matplotlib.figure.Figure:
    """Two heat maps of one model, clean and attacked: true class down, predicted class across, % of the true class."""
    classes = row["classes"]
    confusions = {name: row["confusion"][name] for name in ("clean", class_rows.worst(row)) if name in row["confusion"]}
    figure, axes = drawing.panels(
        1, len(confusions), ((0.5 * len(classes) + 2.2) * len(confusions), 0.42 * len(classes) + 1.8)
    )
    for axis, (name, counts) in zip(axes.flat, confusions.items(), strict=True):
        counts = numpy.array(counts, float)
        image = _heat(axis, 100 * counts / counts.sum(axis=1, keepdims=True), classes, classes)
        axis.set_title(f"{marks.name(row)}, {_words(name)} (n = {counts.sum():,.0f})", fontsize=9)
        axis.set_xlabel("predicted class", fontsize=8)
        axis.set_ylabel("true class", fontsize=8)
    figure.suptitle(_cell(row), fontsize=10)
    figure.colorbar(image, ax=list(axes.flat), label="images of the true class (%)", fraction=0.02)
    drawing.explain_raised(figure, [row])
    return figure


def _cell(row):
    return f"{row['dataset']}, {row['model']}"


def _words(measure):
    return measure_words.words(measure) if "/" in measure else measure


def _heat(axis, values, down, across):
    """Draw and write percentages. Returns the image, for a colour bar."""
    image = axis.imshow(values, cmap="cividis", vmin=0, vmax=100, aspect="auto")
    axis.set_xticks(range(len(across)), across, rotation=50, ha="right", fontsize=7)
    axis.set_yticks(range(len(down)), down, fontsize=7)
    axis.tick_params(length=0)
    if values.size <= 1500:
        for (line, column), value in numpy.ndenumerate(values):
            colour = "white" if value < 55 else "black"
            axis.text(column, line, f"{value:.0f}", ha="center", va="center", fontsize=6, color=colour)
    return image


def pareto(rows: Sequence[Mapping]) -> matplotlib.figure.Figure:
    """Worst class against mean robust accuracy of models and levers, with a line through the Pareto front.

    Levers and the models of the front are named.
    """
    figure, axes = drawing.panels(1, 1, (7.5, 5.2))
    axis, points, names = axes[0, 0], [], []
    for row in rows:
        by_class = class_rows.divided(row["measures"][class_rows.worst(row)])
        point = 100 * by_class.mean, 100 * by_class.share.min()
        lever = row["role"] == "lever"
        colour = drawing.VERMILION if lever else drawing.BLUE
        style = {"color": colour, "markerfacecolor": drawing.face(row, colour), "markersize": 5}
        axis.plot(*point, "o" if lever else "s", **style)
        points.append(point)
        names.append((marks.name(row), *point, colour))
    front = sorted(each for each in points if not any(_beats(rival, each) for rival in points))
    axis.plot(*zip(*front, strict=True), color="#555555", linewidth=0.8)
    axis.margins(0.12)
    drawing.label(axis, [each for each in names if each[1:3] in front or each[3] == drawing.VERMILION])
    for marker, colour, text in (("s", drawing.BLUE, "model"), ("o", drawing.VERMILION, "with a lever")):
        axis.plot([], [], marker, color=colour, markersize=5, label=text)
    axis.legend(frameon=False, fontsize=8, title=_cell(rows[0]), title_fontsize=9, loc="upper left")
    axis.set_xlabel("robust accuracy, mean over classes (%)")
    axis.set_ylabel("robust accuracy of the worst class (%)")
    axis.grid(alpha=0.3)
    drawing.explain_raised(figure, rows)
    return figure


def _beats(first, second):
    return first != second and first[0] >= second[0] and first[1] >= second[1]
