"""Figures of a slice: how much of each layer the classes keep, and how much of it their combinations freeze."""

import matplotlib.ticker
import numpy

from reporting import figures


def slice_size(kept, classes=None):
    """A map of layers and classes, coloured by the share of its connections that a class keeps.

    kept: layer -> share in [0, 1] a class, as of nnslicer.Slice.kept_share(); classes: their names, default 0, 1, ...
    The colour scale starts at the smallest share, which the colour bar names; shares are written where there is room.
    """
    if not kept:
        raise ValueError("no layer to draw: the slice is empty")
    shares = 100 * numpy.array(list(kept.values()), "float64").T
    classes = range(len(shares)) if classes is None else classes
    if len(classes) != len(shares):
        raise ValueError(f"{len(classes)} class names for shares of {len(shares)} classes: give one name a class")
    width, height = max(5, 0.55 * len(kept) + 2.2), max(2.6, 0.24 * len(shares) + 1.6)
    figure, axes = figures.panels(1, 1, (width, height))
    axis = axes[0, 0]
    low = min(float(shares.min()), 99.0)
    image = axis.imshow(shares, cmap="Blues", vmin=low - 0.15 * (100 - low), vmax=100, aspect="auto")
    if shares.size <= 400:
        for place, share in numpy.ndenumerate(shares):
            ink = "white" if share > low + 0.55 * (100 - low) else "black"
            text = f"{share:.1f}" if share < 99.95 else "100"
            axis.text(*place[::-1], text, color=ink, fontsize=6, ha="center", va="center")
    axis.set_xticks(range(len(kept)), list(kept), rotation=30 if len(kept) > 6 else 0)
    axis.set_yticks(range(len(shares)), [str(one) for one in classes], parse_math=False)
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    axis.set_ylabel("class")
    bar = figure.colorbar(image, ax=axis, boundaries=numpy.linspace(low, 100, 257))
    bar.locator = matplotlib.ticker.MaxNLocator(5)
    bar.set_label("kept connections (%)", fontsize=8)
    bar.ax.tick_params(labelsize=7)
    figure.suptitle(f"Size of the class slices (n = {len(shares)} classes, {len(kept)} layers)", fontsize=10)
    return figure


def frozen_share(frozen):
    """The share of each layer's connections that stays fixed, for each way of combining the class slices.

    frozen: layer -> combine -> share in [0, 1], as of nnslicer.Slice.frozen_share().
    """
    if not frozen:
        raise ValueError("no layer to draw: the slice is empty")
    combines = list(next(iter(frozen.values())))
    figure, axes = figures.panels(1, 1, (max(6, 1.1 * len(frozen) + 2), 3.4))
    axis, width = axes[0, 0], 0.84 / len(combines)
    for place, combine in enumerate(combines):
        shares = [100 * shares[combine] for shares in frozen.values()]
        offsets = numpy.arange(len(frozen)) + (place - (len(combines) - 1) / 2) * width
        bars = axis.bar(
            offsets, shares, width=0.92 * width, color=figures.CYCLE[place % len(figures.CYCLE)], label=combine
        )
        if len(frozen) * len(combines) <= 30:
            axis.bar_label(bars, fmt="%.1f", fontsize=7, padding=1)
    axis.set_xticks(range(len(frozen)), list(frozen), rotation=30 if len(frozen) > 8 else 0)
    axis.set_ylim(0, 108)
    axis.set_yticks(range(0, 101, 20))
    axis.set_ylabel("frozen connections (%)")
    axis.legend(
        title="class slices\ncombined by",
        frameon=False,
        fontsize=8,
        title_fontsize=8,
        loc="upper left",
        bbox_to_anchor=(1, 1),
    )
    axis.grid(axis="y", alpha=0.3)
    figure.suptitle(f"Connections outside the combined slices (n = {len(frozen)} layers)", fontsize=10)
    return figure
