"""The identity of a model in artefacts: SHA-256 over everything that decides its predictions.

This is its graph: class and configuration of every layer and op, constants included, and each layer's weights. What
does not affect predictions is left out: names, initializers, regularizers, seeds, and nesting of models. A model that
was saved and loaded, or rebuilt with the same weights, therefore has the same fingerprint, on every backend.
"""

from __future__ import annotations

import hashlib
import json

import keras
import numpy

from models import flat

IGNORED = ("name", "trainable", "seed", "build_config", "batch_shape", "batch_input_shape")
IGNORED_ENDINGS = ("_initializer", "_regularizer", "_constraint")


def fingerprint(model: keras.Model) -> str:
    """SHA-256 over architecture, constants and weights of a Keras model (subclassed models: class and weights)."""
    total = hashlib.sha256()
    if flat.function(model) is None:
        _describe(total, type(model).__name__)
        _add_weights(total, model)
        return total.hexdigest()
    listed, output = flat.calls(model)
    first = {}
    for number, call in enumerate(listed):
        operation, arguments = call.operation, [call.args, _without_none(call.kwargs)]
        first_number = first.setdefault(id(operation), number)
        if not number:
            _describe(total, ["input", call.outputs[0].shape[1:], call.outputs[0].dtype])
        elif first_number != number:
            _describe(total, ["again", first_number, *arguments])
        elif flat.function(operation) is not None:  # a nested model that stays closed
            _describe(total, ["model", fingerprint(operation), *arguments])
        else:
            _describe(total, [type(operation).__name__, _deciding(operation.get_config()), *arguments])
            _add_weights(total, operation)
    _describe(total, output)
    return total.hexdigest()


def _describe(total, value):
    total.update(json.dumps(value, sort_keys=True, default=_plain).encode() + b"\n")


def _add_weights(total, layer):
    for weight in getattr(layer, "weights", ()):
        value = numpy.ascontiguousarray(weight.value)
        _describe(total, [value.dtype.name, value.shape])
        total.update(value.data if value.size else b"")


def _deciding(config):
    """A configuration without what does not affect predictions."""
    if isinstance(config, list | tuple):
        return [_deciding(item) for item in config]
    if not isinstance(config, dict):
        return config
    return {
        key: value["config"].get("name") if key == "dtype" and isinstance(value, dict) else _deciding(value)
        for key, value in _without_none(config).items()
        if key not in IGNORED and not key.endswith(IGNORED_ENDINGS)
    }


def _without_none(options):
    """The options that are not None: saved files may leave these out."""
    return {key: value for key, value in options.items() if value is not None}


def _plain(value):
    """JSON values for Results, arrays, tensors and slices."""
    if isinstance(value, flat.Result):
        return {"call": value.call, "output": value.output}
    if isinstance(value, slice):
        return ["slice", value.start, value.stop, value.step]
    try:
        array = numpy.ascontiguousarray(keras.ops.convert_to_numpy(value))
        if array.dtype.kind in "biufc":
            return [array.dtype.name, array.shape, hashlib.sha256(array.tobytes()).hexdigest()]
    except (TypeError, ValueError):
        pass
    return str(type(value))
