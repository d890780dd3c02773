"""Figures of rows: every measure, ER by attack, transfer against white box, and how far adversarials lie away."""

import math

import matplotlib.figure
import matplotlib.lines
import matplotlib.patches
import matplotlib.ticker
import numpy

from reporting import figures, marks, order


def er_by_attack(rows, methods):
    """A heat map a method: cells (data set, model) down, attacks across, Empirical Robustness written in each.

    rows: result rows of any number of cells; methods: names of the methods, in the order of the panels; one that no
    row has is left out. A missing value stays white; a published one stands below ours, in brackets.
    Raises ValueError where no row is of these methods.
    """
    present = [method for method in methods if any(row["method"] == method for row in rows)]
    if not present:
        raise ValueError(f"no row of {', '.join(methods)} to draw")
    cells = list(dict.fromkeys((row["dataset"], row["model"]) for row in rows))
    attacks = order.attacks(rows)
    across = min(4, len(present))
    down = math.ceil(len(present) / across)
    size = (across * (0.55 * len(attacks) + 0.4) + 1.9, down * (0.5 * len(cells) + 0.8) + 0.6)
    figure, axes = figures.panels(down, across, size, sharex=True, sharey=True)
    for place, (axis, method) in enumerate(zip(axes.flat, present, strict=False)):
        values = numpy.full((len(cells), len(attacks)), numpy.nan)
        for row in (row for row in rows if row["method"] == method):
            line = cells.index((row["dataset"], row["model"]))
            for column, measure in enumerate(row["measures"].get(f"er/{attack}") for attack in attacks):
                if measure is not None and measure["value"] is not None:
                    values[line, column] = measure["value"]
                    _write(axis, line, column, measure, row)
        shown = axis.imshow(values, cmap="cividis", vmin=0, vmax=100, aspect="auto")
        axis.set_xticks(range(len(attacks)), attacks, rotation=50, fontsize=8)
        axis.set_yticks(range(len(cells)), [f"{dataset}\n{model}" for dataset, model in cells], fontsize=8)
        axis.tick_params(length=0, labelbottom=place + across >= len(present))
        axis.set_title(method, fontsize=9)
        axis.spines[:].set_visible(False)
    for axis in axes.flat[len(present) :]:
        axis.set_visible(False)
    figure.colorbar(shown, ax=list(axes.flat), label="Empirical Robustness (%)", fraction=0.03)
    figures.explain_raised(figure, [row for row in rows if row["method"] in present])
    return figure


def _write(axis, line, column, measure, row):
    """The value of one measure in its place, a dagger where checks were raised, with the published one below it."""
    published = "" if measure.get("published") is None else f"\n({measure['published']:.0f})"
    colour = "white" if measure["value"] < 55 else "black"
    text = f"{measure['value']:.0f}{marks.DAGGER if marks.raised(row) else ''}{published}"
    axis.text(column, line, text, ha="center", va="center", fontsize=7 if published else 8, color=colour)


def transfer_against_white_box(rows, measure):
    """A point a method: mean ER on the original's adversarials across, accuracy under attack on the model itself up.

    rows: those of one data set and model; measure: the white-box measure, such as "white-box/pgd@0.02". If ER meant
    robustness, the points would rise from left to right. Error bars: 95 % intervals, over images.
    """
    points = [(row, _mean_er(row), row["measures"][measure]) for row in rows if measure in row["measures"]]
    points = [point for point in points if point[1] is not None and point[2]["value"] is not None]
    if not points:
        raise ValueError(f"no row has both an ER and {measure}")
    figure, axes = figures.panels(1, 1, (6.4, 4.4))
    axis = axes[0, 0]
    for row, across, up in points:
        colour = figures.ROLES.get(row["role"], figures.BLUE)
        low, high = up.get("interval") or (up["value"], up["value"])
        bars = [[max(0.0, up["value"] - low)], [max(0.0, high - up["value"])]]
        style = {"color": colour, "markerfacecolor": figures.face(row, colour), "markersize": 5, "elinewidth": 0.8}
        axis.errorbar(across, up["value"], bars, fmt="o", alpha=0.9, **style)
        axis.annotate(
            marks.name(row), (across, up["value"]), (4, 3), textcoords="offset points", fontsize=7, color=colour
        )
    axis.set_xlabel("mean Empirical Robustness: adversarials of the original model (%)")
    weak = next((marks.weak(row) for row, _, _ in points if "/worst@" in measure and marks.weak(row)), "")
    worst = f"\n(worst of {weak}; no margin-based attack)" if weak else ""
    axis.set_ylabel(f"correct under {measure.removeprefix('white-box/')}, run on the model (%){worst}")
    axis.grid(alpha=0.3)
    present = [role for role in figures.ROLES if any(row["role"] == role for row, _, _ in points)]
    axis.legend(
        handles=[
            matplotlib.lines.Line2D([], [], linestyle="", marker="o", color=figures.ROLES[role], label=role)
            for role in present
        ]
        + ([figures.raised_handle()] if any(marks.raised(row) for row, _, _ in points) else []),
        frameon=False,
        fontsize=8,
    )
    counts = sorted({up["n"] for _, _, up in points})
    first = points[0][0]
    figure.suptitle(f"{first['dataset']}, {first['model']}: n = {'-'.join(map(str, counts))} test images", fontsize=10)
    return figure


def perturbation_sizes(sizes, norm):
    """The share of adversarials within each size, one line an attack, on a logarithmic axis.

    sizes: attack -> sizes (N,) in `norm`, of adversarials that moved (zeros, images wrong from the start, are left
    out); pixels in [0, 1]. A dotted line marks 1/255, the step of eight-bit pixels, for norm "linf".
    """
    drawn = {name: numpy.sort(values[values > 0]) for name, values in sizes.items()}
    drawn = {name: values for name, values in drawn.items() if len(values)}
    if not drawn:
        raise ValueError("no adversarial that moved: nothing to draw")
    figure, axes = figures.panels(1, 1, (6.4, 3.6))
    axis = axes[0, 0]
    styles = ("-", "--", "-.", ":")
    for place, (name, values) in enumerate(drawn.items()):
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


def _mean_er(row):
    """Mean ER over the attacks; None where a value is missing."""
    values = [one["value"] for name, one in row["measures"].items() if name.startswith("er/") and name != "er/worst"]
    return None if not values or None in values else float(numpy.mean(values))


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
    figure, axes = figures.panels(
        lines, columns, (2.1 * columns + 1.8, lines * (0.24 * len(rows) + 0.9) + 0.6), sharey=True
    )
    published = False
    for axis, name in zip(axes.flat, measures, strict=False):
        for place, row in enumerate(rows):
            measure = row["measures"].get(name)
            if measure is not None:
                colour = figures.ROLES.get(row["role"], figures.BLUE)
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
