"""The model transformation of DARE: a classifier cut at its regression layer R (TOSEM 33(3) 2024, section 3.3).

G maps images to the activation at R and shares every weight with the classifier, whose head stays as it is, so
tuning G tunes the classifier and "synchronising the weights back" needs no copy.
"""

from __future__ import annotations

import keras

from models import flat

WEIGHTED = (keras.layers.Dense, keras.layers.Conv2D, keras.layers.DepthwiseConv2D)
CONVOLUTIONS = WEIGHTED[1:]
DROPOUT = (keras.layers.Dropout, keras.layers.SpatialDropout2D, keras.layers.GaussianDropout)
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


def regression_layer(model: keras.Model) -> str:
    """Name of the default R: the last convolution with its normalization and activation [I].

    In a branching net R is the Add or Concatenate that these lead to [D].

    Raises ValueError for a model without convolutions, whose R the caller must name.
    """
    convolutions = [layer for layer in model.layers if isinstance(layer, CONVOLUTIONS)]
    if not convolutions:
        raise ValueError(
            f"{model.name} has no convolution: name the regression layer, one of {', '.join(valid(model))}"
        )
    layer = convolutions[-1]
    while True:
        consumers = [consumer for consumer in model.layers if _reads(consumer, layer)]
        if len(consumers) != 1 or not isinstance(consumers[0], FOLLOWERS):
            return layer.name
        layer = consumers[0]


def last_hidden(model: keras.Model) -> str:
    """Name of the layer that the logits read, dropout apart."""
    return [name for name in valid(model) if not isinstance(model.get_layer(name), DROPOUT)][-1]


def transform(model: keras.Model, layer: str | None = None) -> keras.Model:
    """The regression model G, from images to the activation at a layer; it shares its weights with `model`.

    layer: name of R (default: regression_layer).
    Raises ValueError for a name that is not in the model, a layer before any weight (nothing could be tuned), and the
    logits or a layer after them.
    """
    names = valid(model)
    layer = regression_layer(model) if layer is None else layer
    if layer not in names:
        raise ValueError(
            f"{layer!r} cannot be the regression layer of {model.name}: expected one of {', '.join(names)}"
        )
    cache = model.__dict__.setdefault("__regression_models", {})
    if layer not in cache:
        activation = model.get_layer(layer).output
        cache[layer] = keras.Model(model.inputs[0], activation, name=f"{model.name}_to_{layer}")
    return cache[layer]


def valid(model: keras.Model) -> list[str]:
    """Names of the layers that can be R: from the first layer with weights to the one before the logits.

    Raises ValueError for a model that contains another model, which hides its layers, and for one without weights.
    """
    flat.check_open(model)
    weighted = [index for index, layer in enumerate(model.layers) if isinstance(layer, WEIGHTED)]
    if not weighted:
        raise ValueError(f"{model.name} has no convolution or dense layer")
    return [layer.name for layer in model.layers[weighted[0] : weighted[-1]]]


def _reads(layer, source):
    """Whether a layer takes an output of the layer `source`."""
    outputs = {id(tensor) for node in source._inbound_nodes for tensor in node.output_tensors}
    return any(id(tensor) in outputs for node in layer._inbound_nodes for tensor in node.input_tensors)
