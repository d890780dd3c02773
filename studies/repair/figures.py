"""The figure of the repair study: the change of clean accuracy against ER and against accuracy under AutoAttack."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.figure

from reporting import figures, marks
from studies.repair import tables


def draw_cell(rows: Sequence[Mapping]) -> matplotlib.figure.Figure:
    """Two panels with a point for each method: mean ER, and accuracy under AutoAttack, against the change of accuracy.

    Controls are grey; a small grey ring is weight noise of a method's own norm, joined to it by a line.

    rows: those of one data set and model, the original among them
    Raises ValueError without the original.
    """
    original = next((row for row in rows if row["role"] == "original"), None)
    if original is None:
        raise ValueError("no row of the original, which changes of accuracy are drawn against: make it first")
    figure, axes = figures.panels(1, 2, (9.4, 4.6))
    base = original["measures"]["clean"]["value"]
    drawn = {"mean ER over the attacks (%)": tables.mean_er, "accuracy under AutoAttack (%)": tables.white_box}
    for axis, (what, score) in zip(axes[0], drawn.items(), strict=True):
        axis.set_xlabel("change of clean accuracy (points)")
        axis.set_ylabel(what)
        axis.grid(alpha=0.3)
        axis.margins(0.15)
        if all(score(row) is None for row in rows):
            axis.text(0.5, 0.5, "not measured", transform=axis.transAxes, ha="center", fontsize=9)
        level = score(original)
        if level is not None:
            axis.axhline(level, color=figures.ROLES["original"], linewidth=0.8)
            axis.axvline(0, color=figures.ROLES["original"], linewidth=0.8)
        points = [point for row in rows if row["role"] != "original" for point in _draw(axis, row, base, score)]
        figures.label(axis, points)
    handles = [
        axes[0, 0].plot([], [], "o", color=figures.ROLES[role], label=name)[0]
        for role, name in (("method", "DARE"), ("baseline", "repair and averages"), ("control", "controls"))
    ]
    handles += axes[0, 0].plot([], [], "o", color=figures.ROLES["control"], markerfacecolor="white", markersize=4,
                               label="weight noise of the same norm")  # fmt: skip
    title = f"{rows[0]['dataset']}, {rows[0]['model']}; seeds {', '.join(map(str, original['seeds']))}; lines: original"
    style = {"loc": "outside upper center", "ncols": 4, "frameon": False, "fontsize": 8, "title_fontsize": 10}
    figure.legend(handles=handles, title=title, **style)
    figures.explain_raised(figure, [tables.with_noise(row) for row in rows])
    return figure


def _draw(axis, row, base, score):
    """Draw a method's point and that of its weight noise, and return what is to be written: (name, x, y, colour) each.

    The noise has no name, only a dagger where one of its checks was raised. Nothing was measured: nothing is drawn.
    """
    value, written = score(row), []
    if value is None:
        return written
    colour, change = figures.ROLES[row["role"]], row["measures"]["clean"]["value"] - base
    noise, noise_clean = score(row, "noise-"), row["measures"].get("noise-clean")
    if noise is not None and noise_clean is not None:
        place = noise_clean["value"] - base, noise
        grey = figures.ROLES["control"]
        axis.plot([change, place[0]], [value, place[1]], color=grey, linewidth=0.5, zorder=1)
        axis.plot(*place, "o", color=grey, markerfacecolor="white", markersize=4, zorder=2)
        if marks.raised({"checks": row.get("noise_checks")}):
            written.append((marks.DAGGER, *place, grey))
    axis.plot(change, value, "o", color=colour, markerfacecolor=figures.face(row, colour), zorder=3)
    return [(marks.name(row), change, value, colour), *written]
