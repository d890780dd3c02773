"""Turn a classifier's outputs into logits by removing the softmax or sigmoid at its end.

Attacks, mining and the metrics of guided retraining use differences or a softmax of logits. If outputs are already
probabilities, both are almost constant and robust accuracy is silently too high. The logits are the input of the last
softmax or sigmoid. The predicted classes stay the same. The softmax of the logits equals the original output after a
softmax, but not after a sigmoid for each class; attacks use the logits in both cases.
"""

from __future__ import annotations

import functools
import math

import keras
import numpy

from models import flat

# Layers and ops whose output has the same values as their input, at inference.
SAME_NUMBERS = {
    "ActivityRegularization", "AlphaDropout", "Cast", "Dropout", "ExpandDims", "Flatten", "GaussianDropout",
    "GaussianNoise", "Identity", "Permute", "Reshape", "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D",
    "Squeeze", "StopGradient", "Transpose",
}  # fmt: skip
# Of probabilities these do not give logits either: votes, means, products.
MIXTURES = SAME_NUMBERS | {
    "Add", "Average", "AveragePooling2D", "Clip", "Concatenate", "GetItem", "GlobalAveragePooling2D",
    "GlobalMaxPooling2D", "Max", "MaxPooling2D", "Maximum", "Mean", "Min", "Minimum", "Multiply", "Prod", "Stack",
    "Sum", "Take",
}  # fmt: skip
# Operations on images before a net computes with their values.
MOVING = SAME_NUMBERS | {"CenterCrop", "Cropping2D", "Flip", "GetItem", "Resizing", "ZeroPadding2D"}
SQUASHING = {"softmax": "softmax", "softmax_v2": "softmax", "sigmoid": "sigmoid", "hard_sigmoid": "hard sigmoid"}
LARGE = 16  # no net divides pixels in [0, 1] by this much


@functools.cache
def _with_activation():
    """The layers that may end in an activation. A function, so that Keras is not needed to import this file."""
    return (
        keras.layers.Activation, keras.layers.Dense, keras.layers.EinsumDense, keras.layers.Conv2D,
        keras.layers.SeparableConv2D, keras.layers.DepthwiseConv2D, keras.layers.Conv2DTranspose,
    )  # fmt: skip


def to_logits(model: keras.Model, scale: float | None = None) -> keras.Model:
    """A flat model with the same predictions: float32 images (N, H, W, C) in [0, 1] -> float32 logits (N, K).

    A final softmax or sigmoid is removed, nested models are opened, and logits are cast to float32. If anything
    changes, layers are copied with their weights; otherwise they are shared.
    scale: the largest pixel that the model was trained on, such as 255, by which images are multiplied first; None: 1,
        but a model that seems to expect larger pixels is refused.
    Raises ValueError for a model that is subclassed, not built, or has several inputs or outputs; for fewer than two
    classes; for probabilities without a final softmax (such as a mean of two); and for a scale that is not above 0.
    """
    if scale is not None and not 0 < scale < math.inf:
        raise ValueError(f"scale is {scale}, expected the largest pixel that the model was trained on, as in scale=255")
    listed, output = flat.calls(model)
    check_ends(listed, output, model.name)
    if scale is None:
        check_pixels(listed, model.name)
    logits, changes = _unsquashed(listed, output)
    reason = None if changes else probabilities(listed, logits)
    if reason:
        raise ValueError(
            f"{model.name} puts out probabilities, {reason}, which are no logits without a softmax at the very end "
            "either: end it in a Dense layer without activation"
        )
    graph = flat.function(model)
    unchanged = logits == output and not changes and scale is None and len(graph.operations) == len(listed)
    if unchanged and {graph.inputs[0].dtype, graph.outputs[0].dtype} == {"float32"} and not graph.inputs[0].shape[0]:
        return keras.Model(graph.inputs[0], graph.outputs[0], name=model.name)
    return flat.build(listed, logits, name=model.name, scale=scale, changes=changes, finish=_finish)


def check_ends(listed: list[flat.Call], output: flat.Result, name: str) -> None:
    """Raise ValueError unless the calls `listed` lead from images (N, H, W, C) to an output (N, K) with K >= 2."""
    entry, end = listed[0].outputs[0].shape, listed[output.call].outputs[output.output].shape
    if len(entry) != 4:
        raise ValueError(
            f"{name} takes {_shape(entry)}, expected images (N, H, W, C): begin it with keras.Input((H, W, C)) and a "
            "Flatten or Reshape layer"
        )
    if len(end) != 2 or (end[1] or 0) < 2:
        raise ValueError(
            f"{name} puts out {_shape(end)}, expected logits (N, K) of at least two classes: end it in one Dense "
            "layer with a unit a class, two of them where there are two classes"
        )


def check_pixels(listed: list[flat.Call], name: str) -> None:
    """Raise ValueError if the first operations of the calls `listed` imply that pixels up to 255 are expected."""
    kind, reached = listed[0].outputs[0].dtype, {0}
    reason = None if "float" in kind else f"takes {kind} pixels"
    for number, call in enumerate(listed[1:], start=1):
        if reason is None and any(result.call in reached for result in call.inputs):
            reason = _large(call)
            if call.kind in MOVING or call.kind.startswith("Random"):
                reached.add(number)
    if reason:
        raise ValueError(
            f"{name} {reason}, as if trained on pixels up to 255, but images here are in [0, 1]: models.load(path, "
            "scale=255) or models.to_logits(model, scale=255) multiplies them first (scale=1: take the model as it is)"
        )


def probabilities(listed: list[flat.Call], result: flat.Result) -> str | None:
    """The reason, in words, to take a Result of the calls `listed` for probabilities; None if there is none."""
    call = listed[result.call]
    if squash(call):
        return f"the {squash(call)} of {call.operation.name!r}"
    factor = _factor(call)
    if (call.kind in MIXTURES and factor is None) or (factor is not None and factor <= 1):
        reasons = [probabilities(listed, result) for result in call.inputs]
        if reasons and all(reasons):
            return reasons[0] if _same(call) else f"{call.operation.name!r} of {reasons[0]}"
    return None


def ends_linear(listed: list[flat.Call], output: flat.Result) -> bool:
    """Whether the output comes from a Keras layer with weights and no activation, and so is no probability."""
    call = listed[_end(listed, output).call]
    layer = call.operation
    weighted = isinstance(layer, _with_activation()) and call.kind not in ("", "Activation")
    return weighted and layer.activation is keras.activations.linear


def squash(call: flat.Call) -> str | None:
    """ "softmax", "sigmoid" or "hard sigmoid" if a call ends in it, else None."""
    if call.kind in ("Softmax", "Sigmoid", "HardSigmoid"):
        return {"Softmax": "softmax", "Sigmoid": "sigmoid", "HardSigmoid": "hard sigmoid"}[call.kind]
    if not isinstance(call.operation, _with_activation()):
        return None
    activation = call.operation.activation
    if isinstance(activation, keras.layers.Softmax):
        return "softmax"
    known = getattr(activation, "__module__", "").startswith(("keras.", "tensorflow.", "jax."))
    return SQUASHING.get(getattr(activation, "__name__", None)) if known else None


def _unsquashed(listed, output):
    """(Result of the logits, `changes` for flat.build) if the output is their softmax or sigmoid, else (output, {})."""
    end = _end(listed, output)
    call = listed[end.call]
    kind = squash(call)
    if not (kind == "sigmoid" or (kind == "softmax" and _over_all_classes(call))):
        return output, {}
    if call.kind in ("Softmax", "Sigmoid", "Activation"):
        return call.inputs[0], {}
    return end, {end.call: {"activation": "linear"}}


def _end(listed, output):
    """The Result whose values the output repeats."""
    while _same(listed[output.call]):
        output = listed[output.call].inputs[0]
    return output


def _same(call):
    """Whether a call leaves the values of a vector an image unchanged, except for shape or dtype."""
    if len(call.inputs) != 1 or len(call.outputs) != 1 or len(_wide(call.outputs[0])) > 1:
        return False
    linear = call.kind == "Activation" and call.operation.activation is keras.activations.linear
    return call.kind in SAME_NUMBERS or linear or (_factor(call) == 1 and not getattr(call.operation, "offset", 0))


def _over_all_classes(call):
    """Whether a softmax is over the only axis with more than one value."""
    axis, rank = getattr(call.operation, "axis", -1), len(call.outputs[0].shape)
    axes = [axis] if isinstance(axis, int) else list(axis or ())
    return [axis % rank for axis in axes if call.outputs[0].shape[axis] != 1] == _wide(call.outputs[0])


def _wide(tensor):
    """The axes, without the batch's, that have more than one value."""
    return [axis for axis, size in enumerate(tensor.shape) if axis and size != 1]


def _factor(call):
    """The largest constant by which a call multiplies its only tensor; None if it is no such call."""
    if call.kind == "Rescaling":
        return float(numpy.abs(call.operation.scale).max())
    if call.kind not in ("TrueDivide", "Divide", "Multiply") or len(call.inputs) != 1:
        return None
    constants = [value for value in (*call.args, *call.kwargs.values()) if not isinstance(value, flat.Result)]
    if len(constants) != 1 or (call.kind != "Multiply" and not isinstance(call.args[0], flat.Result)):
        return None
    constant = numpy.abs(keras.ops.convert_to_numpy(constants[0]))
    return float(constant.max()) if call.kind == "Multiply" else float(1 / constant.min())


def _large(call):
    """What a call does, in words, that makes sense only for pixels up to 255; None if it does no such thing."""
    operation, factor = call.operation, _factor(call)
    if factor is not None and 0 < factor <= 1 / LARGE:
        return f"divides its images by {1 / factor:g} in {operation.name!r}"
    mean = {"Normalization": "mean", "BatchNormalization": "moving_mean"}.get(call.kind)
    centre = None if mean is None else getattr(operation, mean)
    if call.kind == "Subtract" and len(call.inputs) == 1 and isinstance(call.args[0], flat.Result):
        centre = call.args[1] if len(call.args) > 1 else None
    if centre is not None and (largest := float(numpy.max(keras.ops.convert_to_numpy(centre)))) > 1.5:
        return f"subtracts means of up to {largest:.4g} in {operation.name!r}"
    return None


def _finish(outputs, name):
    """The input of the last softmax as float32 logits (N, K)."""
    if len(outputs.shape) > 2:
        outputs = keras.layers.Flatten(dtype="float32", name=name("logits_flat"))(outputs)
    if outputs.dtype != "float32":
        outputs = keras.layers.Activation("linear", dtype="float32", name=name("logits_float32"))(outputs)
    return outputs


def _shape(shape):
    return f"({', '.join('N' if size is None and not axis else str(size) for axis, size in enumerate(shape))})"
