"""The model transformation of DARE: a classifier cut at its regression layer R (TOSEM 33(3) 2024, section 3.3).

G maps images to the activation at R and shares every weight with the classifier, whose head stays as it is, so
tuning G tunes the classifier and "synchronising the weights back" needs no copy.
"""

import keras

from models import flat

WEIGHTED = (keras.layers.Dense, keras.layers.Conv2D, keras.layers.DepthwiseConv2D)
CONVOLUTIONS = WEIGHTED[1:]
FOLLOWERS = (
    keras.layers.BatchNormalization,
    keras.layers.GroupNormalization,
    keras.layers.LayerNormalization,
    keras.layers.Activation,
    keras.layers.ReLU,
    keras.layers.LeakyReLU,
    keras.layers.PReLU,
    keras.layers.ELU,
    keras.layers.Add,
    keras.layers.Concatenate,
)


def regression_layer(model):
    """Name of the default R: the output of the last convolution, normalization and activation included [I], and
    in a branching net the Add or Concatenate that it ends in [D].

    Raises ValueError for a model without convolutions: name the layer yourself.
    """
    convolutions = [layer for layer in model.layers if isinstance(layer, CONVOLUTIONS)]
    if not convolutions:
        raise ValueError(
            f"{model.name} has no convolution: name the regression layer, one of {', '.join(valid(model))}"
        )
    layer = convolutions[-1]
    while True:
        consumers = [other for other in model.layers if _reads(other, layer)]
        if len(consumers) != 1 or not isinstance(consumers[0], FOLLOWERS):
            return layer.name
        layer = consumers[0]


def transform(model, layer=None):
    """The regression model G: images -> activation at `layer` (default: regression_layer), sharing all weights.

    Raises ValueError for a name that is not in the model, for a layer before any weight (nothing could be tuned),
    and for the logits or anything after them.
    """
    names = valid(model)
    layer = regression_layer(model) if layer is None else layer
    if layer not in names:
        raise ValueError(
            f"{layer!r} cannot be the regression layer of {model.name}: expected one of {', '.join(names)}"
        )
    cache = model.__dict__.setdefault("__regression_models", {})
    if layer not in cache:
        at = model.get_layer(layer).output
        cache[layer] = keras.Model(model.inputs[0], at, name=f"{model.name}_to_{layer}")
    return cache[layer]


def valid(model):
    """Names of the layers that can be R: after the first weighted layer and before the last one (the logits).

    Raises ValueError for a model inside the model, which hides its layers, and for a model without weighted layers.
    """
    flat.check_open(model)
    weighted = [index for index, layer in enumerate(model.layers) if isinstance(layer, WEIGHTED)]
    if not weighted:
        raise ValueError(f"{model.name} has no convolution or dense layer")
    return [layer.name for layer in model.layers[weighted[0] : weighted[-1]]]


def _reads(layer, source):
    outputs = {id(tensor) for node in source._inbound_nodes for tensor in node.output_tensors}
    return any(id(tensor) in outputs for node in layer._inbound_nodes for tensor in node.input_tensors)
