"""The difference of each class from the average at each neuron: the forward half of slicing.

NNSlicer (FSE 2020, arXiv 2009.13747, section 4.1) describes the reaction of a neuron to an image by the difference
between its activation and its mean over the training set (the profile). One forward pass gives both: the compiled graph
sums the images of a batch by group, and returns (groups, neurons) sums only.

Differences from the papers:
1. [D] A class is represented by the mean of its images (`representative="mean"`); DARE's released code uses its first
   image (`"first"`).
2. [D] A difference below the rounding of float32 (1e-6 of the larger mean) is set to 0, so that a constant neuron, such
   as an always black pixel, has the same reaction (zero) on every machine.
"""

from __future__ import annotations  # its types load no library (pipeline/late.py)

from collections.abc import Callable

import keras
import numpy

import data
from models import compute, contract

REPRESENTATIVES = ("mean", "first")
ROUNDING = 1e-6


def relative_activations(
    model: keras.Model,
    tensors: list,
    x: numpy.ndarray,
    y: numpy.ndarray,
    *,
    classes: int,
    representative: str,
    batch_size: int,
    progress: Callable | None = None,
) -> list[numpy.ndarray]:
    """Class mean minus profile mean of every neuron: one float64 array (classes, neurons) for each of `tensors`.

    Maps are summed over positions.
    model, tensors: a functional model and tensors of it.
    x: uint8 images (N, H, W, C), or float32 in [0, 1].
    y: int64 labels (N,); every class has an image.
    representative: of REPRESENTATIVES.
    batch_size: images in one forward pass.
    progress: called with the number of batches done.
    Raises ValueError where activations are not finite.
    """
    # Groups whose activations are summed: the classes, or the first image of each class and all other images.
    group, groups = y, classes
    if representative == "first":
        first = numpy.unique(y, return_index=True)[1]
        group, groups = numpy.full(len(y), classes), classes + 1
        group[first] = numpy.arange(classes)

    # Sums of each group, over all batches.
    run = compute.compiled(keras.Model(model.inputs[0], tensors), _group_sums)
    batch_size = min(batch_size, len(x))
    sums = [numpy.zeros((groups, tensor.shape[-1])) for tensor in tensors]
    for start in range(0, len(x), batch_size):
        images, members = _batch(x, group, groups, start, batch_size)
        for total, part in zip(sums, run(images, members), strict=True):
            total += numpy.asarray(part)
        if progress is not None:
            progress(start // batch_size + 1)
    counts = numpy.bincount(group, minlength=groups)
    return [_difference(total, counts, classes, tensor) for total, tensor in zip(sums, tensors, strict=True)]


def check(model: keras.Model, x: numpy.ndarray, y: numpy.ndarray, classes: int) -> tuple[numpy.ndarray, numpy.ndarray]:
    """The images x and labels y as NumPy arrays, labels as int64. classes: their number.

    Raises ValueError for images or labels that do not fit the model, and for a class without images.
    """
    x, y = numpy.asarray(x), numpy.asarray(y)
    contract.check(model, x, y)
    y = y.astype(numpy.int64)
    empty = numpy.flatnonzero(numpy.bincount(y, minlength=classes) == 0)
    if empty.size:
        raise ValueError(f"no image of class {', '.join(map(str, empty))}: slicing needs at least one of every class")
    return x, y


def _batch(x, group, groups, start, batch_size):
    """One batch as float32 images and their group membership (N, groups).

    A short last batch is padded with images of no group, so that all batches have one shape and compile once.
    """
    rows = numpy.arange(start, start + batch_size)
    real = rows < len(x)
    rows[~real] = start
    members = numpy.zeros((batch_size, groups), numpy.float32)
    members[real, group[rows[real]]] = 1
    return data.to_unit(x[rows]), members


def _group_sums(call, images, members):
    """The sums of the activations of each group, (groups, neurons) for each output of the model."""
    members = keras.ops.transpose(members)
    return tuple(keras.ops.matmul(members, _neurons(value)) for value in call(images))


def _neurons(value):
    """Activations (N, ..., C) summed over positions: float32 (N, C)."""
    value = keras.ops.cast(value, "float32")
    return keras.ops.sum(value, axis=tuple(range(1, len(value.shape) - 1)))


def _difference(sums, counts, classes, tensor):
    """Class mean minus profile mean: float64 (classes, neurons)."""
    if not numpy.isfinite(sums).all():
        raise ValueError(
            f"the activations {tensor.name!r} are not finite: the model's weights hold NaN or overflow, "
            "so slice a checkpoint from before training diverged"
        )
    means = sums[:classes] / counts[:classes, None]
    profile = sums.sum(axis=0) / counts.sum()
    difference = means - profile
    difference[numpy.abs(difference) <= ROUNDING * numpy.maximum(numpy.abs(means), numpy.abs(profile))] = 0
    return difference
