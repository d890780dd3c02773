"""The check of a model, images and labels that every public function with these arguments makes.

A model is functional or a built Sequential, with one input of images (N, H, W, C) in [0, 1] and one output of float32
logits (N, K). Images are uint8, or floats in [0, 1]; labels are integers from 0 to K - 1.
"""

from __future__ import annotations

import typing

import keras
import numpy

from data import pixels
from models import compute, flat, logits

if typing.TYPE_CHECKING:
    from data.split import Split

FILLED = 0.01  # outputs in [0, 1] that come this close to both ends are probabilities
ENOUGH = 64  # outputs needed for that conclusion


class NonFiniteLogits(ValueError):
    """Logits are NaN or infinite: the model has diverged; the call itself is valid."""


def admit(
    model: keras.Model, x: numpy.ndarray, y: numpy.ndarray | None = None, *, batch_size: int = 1, squashed: bool = False
) -> tuple[numpy.ndarray, numpy.ndarray | None]:
    """Check the arguments and convert them for attacks: (float32 images in [0, 1], int32 labels or None).

    Arguments and errors as of `check`.
    """
    check(model, x, y, batch_size=batch_size, squashed=squashed)
    return pixels.to_unit(x), None if y is None else numpy.asarray(y).astype(numpy.int32)


def check(
    model: keras.Model, x: numpy.ndarray, y: numpy.ndarray | None = None, *, batch_size: int = 1, squashed: bool = False
) -> None:
    """Raise ValueError, with what was seen and expected, unless model, images and labels belong together.

    model: Keras model.
    x: images (N, H, W, C) of the model's size, N at least 1, uint8 or floats in [0, 1].
    y: integer labels (N,) of the model's classes, or None.
    batch_size: at least 1.
    squashed: accept outputs that are probabilities.
    Nothing is predicted (`check_logits` checks predictions), and lazy images (HDF5) are not read.
    """
    check_model(model, squashed=squashed)
    shape, image_shape = numpy.shape(x), model.inputs[0].shape[1:]
    fits = len(shape) == 4 and all(size in (None, actual) for size, actual in zip(image_shape, shape[1:], strict=True))
    if not fits or not shape[0]:
        expected = ", ".join("any" if size is None else str(size) for size in image_shape)
        raise ValueError(f"images have shape {shape}, expected (N, {expected}) with N at least 1")
    pixels.check(x if hasattr(x, "dtype") else numpy.asarray(x))
    if y is not None:
        _check_labels(numpy.asarray(y), shape[0], model.output_shape[-1])
    compute.check_batch_size(batch_size)


def check_model(model: keras.Model, *, squashed: bool = False) -> None:
    """Raise ValueError unless a model maps images to logits. squashed: accept probabilities."""
    if keras.config.floatx() != "float32":
        raise ValueError(
            f"Keras computes in {keras.config.floatx()} (floatx, in keras.json or set), expected float32: call "
            "keras.config.set_floatx('float32') before models are built"
        )
    listed, output = flat.calls(model)
    logits.check_ends(listed, output, model.name)
    logits.check_pixels(listed, model.name)
    dtype = model.outputs[0].dtype
    if dtype != "float32":
        raise ValueError(f"{model.name} puts out {dtype}, expected float32: models.to_logits(model) casts its logits")
    reason = None if squashed else logits.probabilities(listed, output)
    if reason:
        raise ValueError(f"{_PROBABILITIES} ({reason}): {_MEND}")


def check_logits(model: keras.Model, values: numpy.ndarray) -> None:
    """Raise NonFiniteLogits if a model's outputs (N, K) are not finite, ValueError if they are probabilities."""
    check_finite(values)
    reason = probabilities(model, values)
    if reason:
        raise ValueError(f"{_PROBABILITIES} ({reason}): {_MEND}")


def check_outputs(model: keras.Model, x: numpy.ndarray) -> None:
    """`check_logits` of a few images where the graph does not show that the outputs are logits; else nothing is done.

    For functions that predict only when much has been computed. x: images (N, H, W, C), uint8 or floats in [0, 1].
    """
    if not logits.ends_linear(*flat.calls(model)):
        few = pixels.to_unit(numpy.asarray(x[:ENOUGH]))
        check_logits(model, compute.predict(compute.forward(model), few, batch_size=ENOUGH))


def check_split(model: keras.Model, split: Split, *, batch_size: int) -> None:
    """`check` of the training and validation images of a data.Split, and `check_outputs`: before a training."""
    check(model, split.x_train, split.y_train, batch_size=batch_size)
    check(model, split.x_validation, split.y_validation)
    check_outputs(model, split.x_validation)


def check_finite(values: numpy.ndarray) -> None:
    """Raise NonFiniteLogits if logits (N, K) are NaN or infinite."""
    finite = numpy.isfinite(values).all(axis=1)
    if not finite.all():
        raise NonFiniteLogits(
            f"the model's logits are NaN or infinite for {int((~finite).sum())} of {len(values)} images, expected "
            "finite numbers"
        )


def probabilities(model: keras.Model, values: numpy.ndarray) -> str | None:
    """The reason, in words, to take a model's finite outputs (N, K) for probabilities; None if there is none.

    The graph is examined first. If it does not show how the outputs are computed (a user's own layer), the outputs are:
    those of a softmax are at least 0 and every row sums to 1; those of a sigmoid lie in [0, 1] and come within FILLED
    of both ends, unlike small logits.
    """
    listed, output = flat.calls(model)
    reason = logits.probabilities(listed, output)
    if reason or logits.ends_linear(listed, output):
        return reason
    if (values >= 0).all() and numpy.allclose(values.sum(axis=1, dtype=numpy.float64), 1, atol=1e-3):
        return "rows of numbers of at least 0 that sum to 1"
    if values.size >= ENOUGH and 0 <= values.min() <= FILLED and 1 - FILLED <= values.max() <= 1:
        return "numbers that fill [0, 1] and none outside it"
    return None


def _check_labels(labels, count, classes):
    if labels.shape != (count,) or not numpy.issubdtype(labels.dtype, numpy.integer):
        raise ValueError(f"labels are {labels.dtype} of shape {labels.shape}, expected integers of shape ({count},)")
    if labels.min() < 0 or labels.max() >= classes:
        raise ValueError(
            f"labels range from {labels.min()} to {labels.max()}, expected 0 to {classes - 1}, the model's classes"
        )


_PROBABILITIES = "the model's outputs are probabilities"
_MEND = "attacks and mining need logits, so take the last softmax or sigmoid off with models.to_logits or models.load"
