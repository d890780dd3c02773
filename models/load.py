"""Bring a saved classifier into the form every stage expects: a functional Keras model that ends in logits."""

import hashlib
import pathlib

import keras
import numpy


def load(path):
    """Read a whole Keras classifier (``.keras`` or ``.h5``); a final softmax is taken off, so it ends in logits.

    Raises FileNotFoundError, or ValueError where the file is no whole Keras model of one input and one output.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such model file")
    try:
        model = keras.models.load_model(path, compile=False)
    except (OSError, KeyError, TypeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ValueError(f"{path}: not a whole Keras model ({reason}); expected a .keras or .h5 classifier") from error
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise ValueError(
            f"{path}: has {len(model.inputs)} inputs and {len(model.outputs)} outputs; expected one of each"
        )
    return to_logits(keras.Model(model.inputs[0], model.outputs[0], name=model.name))


def to_logits(model):
    """The same functional model without its final softmax (a softmax layer, or a dense layer's activation)."""
    final = model.output._keras_history.operation
    if isinstance(final, keras.layers.Softmax) or (
        isinstance(final, keras.layers.Activation) and final.activation is keras.activations.softmax
    ):
        return keras.Model(model.input, final.input, name=model.name)
    if getattr(final, "activation", None) is keras.activations.softmax:
        final.activation = keras.activations.linear
        return keras.Model(model.input, final(final.input), name=model.name)
    return model


def fingerprint(model):
    """SHA-256 over shapes and values of a model's weights, in their order: the identity that artefacts carry of it."""
    total = hashlib.sha256()
    for variable in model.weights:
        value = numpy.ascontiguousarray(variable.value if keras.backend.backend() == "jax" else variable.numpy())
        total.update(f"{variable.path.split('/', 1)[-1]}{value.shape}".encode())
        total.update(value.data if value.size else b"")
    return total.hexdigest()
