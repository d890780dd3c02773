"""Figures of one cell: training, slices, and examples of adversarial images."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.figure
import matplotlib.lines
import matplotlib.patches
import matplotlib.ticker
import numpy

import data
from reporting import figures


def slice_size(by_layer: dict, classes: Sequence[str] | None = None) -> matplotlib.figure.Figure:
    """A heat map of layers and classes: the fraction of connections that each class keeps.

    The colour scale starts at the smallest fraction. Fractions are written into the map if there is room.

    by_layer: layer -> fraction in [0, 1] for each class, as returned by nnslicer.Slice.kept_share()
    classes: their names, default 0, 1, ...
    Raises ValueError without layers, or for a wrong number of names.
    """
    if not by_layer:
        raise ValueError("no layer to draw: the slice is empty")
    shares = 100 * numpy.array(list(by_layer.values()), "float64").T
    classes = range(len(shares)) if classes is None else classes
    if len(classes) != len(shares):
        raise ValueError(f"{len(classes)} class names for shares of {len(shares)} classes: give one name a class")
    width, height = max(5, 0.55 * len(by_layer) + 2.2), max(2.6, 0.24 * len(shares) + 1.6)
    figure, axes = figures.panels(1, 1, (width, height))
    axis = axes[0, 0]
    low = min(float(shares.min()), 99.0)
    image = axis.imshow(shares, cmap="Blues", vmin=low - 0.15 * (100 - low), vmax=100, aspect="auto")
    if shares.size <= 400:
        for place, share in numpy.ndenumerate(shares):
            ink = "white" if share > low + 0.55 * (100 - low) else "black"
            text = f"{share:.1f}" if share < 99.95 else "100"
            axis.text(*place[::-1], text, color=ink, fontsize=6, ha="center", va="center")
    axis.set_xticks(range(len(by_layer)), list(by_layer), rotation=30 if len(by_layer) > 6 else 0)
    axis.set_yticks(range(len(shares)), [str(name) for name in classes])
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    axis.set_ylabel("class")
    bar = figure.colorbar(image, ax=axis, boundaries=numpy.linspace(low, 100, 257))
    bar.locator = matplotlib.ticker.MaxNLocator(5)
    bar.set_label("kept connections (%)", fontsize=8)
    bar.ax.tick_params(labelsize=7)
    figure.suptitle(f"Size of the class slices (n = {len(shares)} classes, {len(by_layer)} layers)", fontsize=10)
    return figure


def frozen_share(frozen: dict) -> matplotlib.figure.Figure:
    """A bar for the frozen fraction of each layer's connections, for each way of combining the class slices.

    frozen: layer -> combine -> fraction in [0, 1], as returned by nnslicer.Slice.frozen_share()
    Raises ValueError without layers.
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


def training_history(metrics: list[dict]) -> matplotlib.figure.Figure:
    """Loss, accuracy and learning rate of each epoch; a dotted line marks each change of the learning rate.

    metrics: a dictionary for each epoch, as in metrics.csv (values may be strings): epoch, learning_rate (NaN if the
        net was trained elsewhere), loss, accuracy, validation_loss, validation_accuracy
    Raises ValueError without epochs.
    """
    if not metrics:
        raise ValueError("no epoch to draw: metrics are empty")
    names = ("epoch", "learning_rate", "loss", "accuracy", "validation_loss", "validation_accuracy")
    column = {name: numpy.array([float(row[name]) for row in metrics]) for name in names}
    epochs, rates = column["epoch"], column["learning_rate"]
    figure, axes = figures.panels(3, 1, (6.4, 6), sharex=True, height_ratios=(3, 3, 1.4))
    loss, accuracy, rate = axes[:, 0]
    marker = "." if len(epochs) < 40 else None
    for axis, name, scale in ((loss, "loss", 1), (accuracy, "accuracy", 100)):
        axis.plot(epochs, scale * column[name], color=figures.BLUE, marker=marker, label="training images")
        held_out = scale * column["validation_" + name]
        axis.plot(epochs, held_out, color=figures.VERMILION, marker=marker, linestyle="--", label="x_validation")
        axis.grid(alpha=0.3)
    loss.set_ylabel("loss (cross-entropy, nats)")
    loss.legend(frameon=False, fontsize=8)
    accuracy.set_ylabel("accuracy (%)")
    rate.step(epochs, rates, where="mid", color="black")
    if numpy.isnan(rates).any():
        rate.set_title("not known", fontsize=8)
    elif rates.min() > 0 and rates.max() > 3 * rates.min():
        rate.set_yscale("log")
    else:
        rate.set_ylim(0, 1.3 * rates.max() or 1)
    rate.set_ylabel("learning rate")
    rate.set_xlabel("epoch")
    rate.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(integer=True))
    changes = epochs[1:][(rates[1:] != rates[:-1]) & ~numpy.isnan(rates[1:])]
    for epoch in changes if len(changes) <= 12 else []:
        for axis in (loss, accuracy):
            axis.axvline(epoch - 0.5, color="black", linestyle=":", linewidth=0.8)
    final = f"{100 * column['validation_accuracy'][-1]:.1f} %"
    figure.suptitle(f"Training history, n = {len(epochs)} epochs; final x_validation accuracy {final}", fontsize=10)
    return figure


def adversarial_examples(
    originals: numpy.ndarray,
    adversarials: numpy.ndarray,
    labels: numpy.ndarray,
    predictions: numpy.ndarray,
    class_names: Sequence[str],
    attack: str,
) -> matplotlib.figure.Figure:
    """A column for each image: original with true label, enlarged perturbation, adversarial with predicted label.

    The perturbation is scaled so that its largest entry is full red (brighter) or blue (darker); in colour images each
    channel is scaled around grey. Perturbation sizes are for pixels in [0, 1].

    originals, adversarials: (N, H, W, C) uint8, or float32 in [0, 1]; the first ten are shown
    labels: (N,) true classes; predictions: (N,) predicted classes of the adversarials
    attack: its name
    Raises ValueError without images, or for different shapes.
    """
    if not len(originals):
        raise ValueError(f"no adversarial example of {attack} to draw")
    shapes = numpy.shape(originals), numpy.shape(adversarials)
    if shapes[0] != shapes[1]:
        raise ValueError(f"originals have shape {shapes[0]} but adversarials {shapes[1]}: expected the same")
    originals, adversarials = (numpy.asarray(data.to_unit(images[:10])) for images in (originals, adversarials))
    grey = originals.shape[-1] == 1
    figure, axes = figures.panels(3, len(originals), (max(5, 1.25 * len(originals) + 0.5), 5.2))
    for column, (before, after) in enumerate(zip(originals, adversarials, strict=True)):
        top, middle, bottom = axes[:, column]
        change = after.astype("float64") - before
        largest = float(numpy.abs(change).max())
        _show(top, before)
        _show(middle, change, largest=largest or 1.0)
        _show(bottom, after)
        misclassified = predictions[column] != labels[column]
        style = {"color": figures.VERMILION if misclassified else figures.GREEN, "fontweight": "bold"}
        top.set_title(str(class_names[labels[column]]), fontsize=8)
        middle.set_title(_enlarged((1 if grey else 0.5) / largest) if largest else "no change", fontsize=8)
        bottom.set_title(str(class_names[predictions[column]]), fontsize=8, **style)
        bottom.set_xlabel(f"L2 {numpy.linalg.norm(change):.3g}\nL∞ {largest:.2g}", fontsize=7)
    texts = ("original\n(true label)", "perturbation\n(enlarged)", f"{attack}\n(predicted)")
    for axis, text in zip(axes[:, 0], texts, strict=True):
        axis.set_ylabel(text, fontsize=8)
    figure.suptitle(
        f"{attack}: adversarial examples (n = {len(originals)} shown; sizes for pixels in [0, 1])", fontsize=9
    )
    return figure


def _enlarged(factor):
    return f"×{factor:,.0f}" if factor >= 100 else f"×{factor:.3g}"


def _show(axis, image, largest=None):
    """Draw one image, or with `largest` one perturbation within [-largest, largest]."""
    axis.set_xticks([])
    axis.set_yticks([])
    axis.spines[:].set_visible(True)
    axis.spines[:].set_color("#BBBBBB")
    grey = image.shape[-1] == 1
    if largest is None:
        axis.imshow(image[..., 0] if grey else image, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    elif grey:
        axis.imshow(image[..., 0], cmap="RdBu_r", vmin=-largest, vmax=largest, interpolation="nearest")
    else:
        axis.imshow(0.5 + 0.5 * image / largest, interpolation="nearest")
