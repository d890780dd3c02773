"""The figure of the ablation: mean ER at each level of each choice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.figure
import numpy

from reporting import figures
from studies.ablation import tables


def draw_cell(rows: Sequence[Mapping]) -> matplotlib.figure.Figure:
    """A panel for each choice with the mean ER at each level; a grey ring for weight noise of the same size.

    A thin line joins the levels of a numerical choice; error bars show the standard deviation over seeds.

    rows: those of one data set and model
    """
    base = tables.published(rows)
    factors = [
        factor for factor in tables.FACTORS if any(row["factor"] == factor for row in rows) and factor != "published"
    ]
    figure, axes = figures.panels(1, len(factors), (2.3 * len(factors) + 0.6, 3.2), sharey=True)
    for axis, factor in zip(axes[0], factors, strict=True):
        levels = sorted(
            [base, *(row for row in rows if row["factor"] == factor)], key=lambda row: tables.order_of(row, factor)
        )
        places = range(len(levels))
        style = "-" if factor in ("learning_rate", "steps") else ""
        for prefix, colour, marker in (("noise-", "#999999", "o"), ("", figures.BLUE, "D")):
            values = [tables.mean_er(row, prefix) for row in levels]
            axis.errorbar(
                places,
                values,
                [_spread(row, prefix) for row in levels],
                linestyle=style,
                marker=marker,
                markersize=5,
                linewidth=0.9,
                color=colour,
                markerfacecolor="white" if prefix else colour,
                label="weight noise of the same size" if prefix else "tuned",
            )
        axis.set_xticks(places, [tables.level_of(row, factor) for row in levels], rotation=40, fontsize=8)
        axis.set_title(tables.FACTORS[factor], fontsize=9)
        axis.set_ylim(0, 100)
        axis.set_xlim(-0.5, len(levels) - 0.5)
        axis.axhline(tables.mean_er(base), color="black", linestyle=":", linewidth=0.8)
        axis.grid(axis="y", alpha=0.3)
    axes[0, 0].set_ylabel("mean ER over the attacks (%)")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    title = f"{base['dataset']}, {base['model']}: {len(base['seeds'])} seeds, {base['repeats']} tunings per level"
    figure.legend(handles, labels, title=title, frameon=False, fontsize=8, title_fontsize=9, loc="outside upper center",
                  ncols=2)  # fmt: skip
    figures.explain_raised(figure, rows)
    return figure


def _spread(row, prefix):
    """Standard deviation of mean ER over seeds or repeats: mean of the attacks' deviations, which vary together."""
    spreads = [measure["spread"] or 0.0 for name, measure in row["measures"].items() if name.startswith(f"{prefix}er/")]
    return float(numpy.mean(spreads))
