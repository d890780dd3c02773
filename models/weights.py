"""The weights of a model as a value that can be changed and given back."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import keras
import numpy


@contextlib.contextmanager
def keeping_weights(model: keras.Model, weights: list[numpy.ndarray] | None = None) -> Iterator[None]:
    """Restore a model's weights when the context ends, also after an error.

    weights: restored instead of the weights that the model has at the start, in the order of model.get_weights().
    """
    weights = model.get_weights() if weights is None else weights
    try:
        yield
    finally:
        model.set_weights(weights)
