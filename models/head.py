"""The last layer of a classifier (a weight vector and a bias for each class): norms, and changes after training."""

from __future__ import annotations

import keras
import numpy


def head(model: keras.Model) -> keras.layers.Dense:
    """The Dense layer of the logits. Raises ValueError if the last layer with weights is another kind."""
    layer = next((layer for layer in reversed(model.layers) if layer.weights), None)
    if not isinstance(layer, keras.layers.Dense) or layer.kernel.shape[-1] != model.output_shape[-1]:
        raise ValueError(f"the logits come from {getattr(layer, 'name', None)}, expected a Dense layer")
    return layer


def class_norms(model: keras.Model) -> numpy.ndarray:
    """The L2 norm of each class's weight vector, without its bias: float64 (K,)."""
    return numpy.linalg.norm(numpy.asarray(head(model).kernel, "float64"), axis=0)


def tau_normalise(model: keras.Model, tau: float) -> None:
    """Multiply each class's weight vector by (mean norm / its norm)^tau.

    Kang et al., ICLR 2020, section 4.1; the mean norm preserves the size of the logits, and the bias is unchanged [D].
    tau: 0 changes nothing; at 1 all norms are equal.
    Raises ValueError if all weights of a class are 0.
    """
    norms = class_norms(model)
    if not norms.all():
        raise ValueError(f"the weights of class {int(norms.argmin())} are all 0: they have no direction")
    factors = (norms.mean() / norms) ** tau
    layer = head(model)
    layer.kernel.assign((numpy.asarray(layer.kernel) * factors).astype("float32"))


def shift_bias(model: keras.Model, shift: numpy.ndarray) -> None:
    """Add `shift` (K,), in logits, to the bias. Raises ValueError for another shape, or without a bias."""
    layer = head(model)
    if layer.bias is None or numpy.shape(shift) != tuple(layer.bias.shape):
        raise ValueError(f"a shift of shape {numpy.shape(shift)}, expected one number for each of {layer.units} biases")
    layer.bias.assign(numpy.asarray(layer.bias) + numpy.asarray(shift, "float32"))
