"""The identity of a model that artefacts carry: SHA-256 over what decides its answers.

That is its graph, the class and configuration of every layer and op, constants among them, and each layer's weights.
How the model came about is left out: names, initializers, regularizers, seeds, and whether models lie inside it. So a
model that was saved and read, or built anew and given the weights, has the same one, on every backend.
"""

import hashlib
import json

import keras
import numpy

from models import flat

IGNORED = ("name", "trainable", "seed", "build_config", "batch_shape", "batch_input_shape")
IGNORED_ENDINGS = ("_initializer", "_regularizer", "_constraint")


def fingerprint(model):
    """SHA-256 over architecture, constants and weights of a Keras model; of a subclassed one, class and weights."""
    total = hashlib.sha256()
    if flat.function(model) is None:
        _describe(total, type(model).__name__)
        _add_weights(total, model)
        return total.hexdigest()
    listed, output = flat.calls(model)
    first = {}
    for number, call in enumerate(listed):
        one, arguments = call.operation, [call.args, _given(call.kwargs)]
        seen = first.setdefault(id(one), number)
        if not number:
            _describe(total, ["input", call.outputs[0].shape[1:], call.outputs[0].dtype])
        elif seen != number:
            _describe(total, ["again", seen, *arguments])
        elif flat.function(one) is not None:  # a model that stays closed
            _describe(total, ["model", fingerprint(one), *arguments])
        else:
            _describe(total, [type(one).__name__, _deciding(one.get_config()), *arguments])
            _add_weights(total, one)
    _describe(total, output)
    return total.hexdigest()


def _describe(total, value):
    total.update(json.dumps(value, sort_keys=True, default=_plain).encode() + b"\n")


def _add_weights(total, one):
    for weight in getattr(one, "weights", ()):
        value = numpy.ascontiguousarray(weight.value)
        _describe(total, [value.dtype.name, value.shape])
        total.update(value.data if value.size else b"")


def _deciding(config):
    """A configuration without what decides no answer."""
    if isinstance(config, list | tuple):
        return [_deciding(one) for one in config]
    if not isinstance(config, dict):
        return config
    return {
        key: value["config"].get("name") if key == "dtype" and isinstance(value, dict) else _deciding(value)
        for key, value in _given(config).items()
        if key not in IGNORED and not key.endswith(IGNORED_ENDINGS)
    }


def _given(options):
    """Options but for those that are None, which a file may leave out."""
    return {key: value for key, value in options.items() if value is not None}


def _plain(value):
    """What JSON lacks, in its terms: Results, arrays, tensors, slices."""
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
