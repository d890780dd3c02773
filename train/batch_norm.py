"""Recompute batch-norm statistics, as weight averaging requires (Izmailov et al. 2018, section 3.2), or keep them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator

import keras
import numpy

import data
from models import compute


def reestimate(model: keras.Model, x: numpy.ndarray, *, batch_size: int = 256) -> None:
    """Set each BatchNormalization's moving mean and variance to those over all images, in place.

    Layers are set in order, each with the earlier layers already set, in inference mode: exact statistics instead of a
    moving average [D].
    x: images (N, H, W, C), uint8 or float32 in [0, 1].
    batch_size: images in one forward pass.
    """
    for layer in model.layers:
        if not isinstance(layer, keras.layers.BatchNormalization):
            continue
        mean, square = (part.mean(0, dtype="float64") for part in compute.predict(
            _moments(model, layer), x, batch_size=batch_size, prepare=data.to_unit
        ))  # fmt: skip
        layer.moving_mean.assign(mean.astype("float32"))
        layer.moving_variance.assign(numpy.maximum(square - mean**2, 0).astype("float32"))


def remeasure(model: keras.Model, batches: Iterable[numpy.ndarray]) -> None:
    """Set each BatchNormalization's moving mean and variance to the mean of those of the batches, in place.

    In one pass in training mode, as PyTorch's `update_bn` and the authors of SWA do; batches count by their size.
    batches: yields images float32 (n, H, W, C) in [0, 1].
    """
    statistics = _statistics(model)
    run, total, sums = compute.compiled(model, _pass, training=True), 0, [0.0] * len(statistics)
    if not statistics:
        return
    for images in batches:
        for variable, _ in statistics:
            variable.assign(numpy.zeros(variable.shape, "float32"))
        run(images)
        for place, (variable, momentum) in enumerate(statistics):  # from 0 it moves to 1 - momentum of the batch's
            value = numpy.asarray(variable, "float64") / (1 - momentum)
            sums[place] = sums[place] + len(images) * value
        total += len(images)
    for (variable, _), value in zip(statistics, sums, strict=True):
        variable.assign((value / total).astype("float32"))


@contextlib.contextmanager
def keeping_statistics(model: keras.Model) -> Iterator[None]:
    """Give each BatchNormalization's moving mean and variance their values of before, at the end of the context."""
    variables = [variable for variable, _ in _statistics(model)]
    before = [numpy.array(variable) for variable in variables]
    try:
        yield
    finally:
        compute.assign(variables, before)


def _statistics(model):
    """(moving statistic, momentum) of each BatchNormalization, in order."""
    layers = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    return [(variable, layer.momentum) for layer in layers for variable in (layer.moving_mean, layer.moving_variance)]


def _pass(call, images):
    return call(images)


def _moments(model, layer):
    """The compiled first and second moments of what a layer receives, kept with the model."""
    cache = model.__dict__.setdefault("__received_moments", {})
    if layer.name not in cache:
        received = keras.ops.cast(layer.input, "float32")
        positions = tuple(range(1, len(layer.input.shape) - 1))
        moments = [keras.ops.mean(power, axis=positions) if positions else power for power in (received, received**2)]
        cache[layer.name] = compute.forward(keras.Model(model.inputs[0], moments))
    return cache[layer.name]
