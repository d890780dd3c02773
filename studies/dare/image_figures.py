"""Adversarial examples as images: the original, what was added, and the result."""

import numpy

import data
from reporting import figures


def adversarial_examples(originals, adversarials, labels, predictions, class_names, attack):
    """A column an image: original with its true label, perturbation enlarged as written, adversarial as predicted.

    originals, adversarials: (N, H, W, C) uint8 or float32 in [0, 1], of which the first ten are shown; labels,
    predictions: (N,) true classes, and classes predicted of the adversarials; attack: its name. Sizes are in units
    of the pixel scale [0, 1]. The perturbation is enlarged until its largest entry is full red (more) or blue (less);
    of a colour image, each channel is, around grey.
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
        wrong = predictions[column] != labels[column]
        style = {"color": figures.VERMILION if wrong else figures.GREEN, "fontweight": "bold", "parse_math": False}
        top.set_title(str(class_names[labels[column]]), fontsize=8, parse_math=False)
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
