"""The weighted layers of a Keras graph, and how a contribution passes back between them.

Slicing needs no knowledge of a particular architecture: the table of dense and convolutional layers, with the
tensor that each receives and the tensor that it makes, is read off the functional graph, and everything
between them hands contributions back by a fixed rule (NNSlicer, FSE 2020, arXiv 2009.13747, section 4).

A contribution is an array (classes, neurons) belonging to one tensor: neurons are the units of a vector and
the channels of a map. A layer passes it on unchanged where each channel of its output is made of the same
channel of its input alone: so do padding, cropping, upsampling, pooling of every kind, dropout, activations
and normalization by stored statistics. A normalization that measures a statistic across channels is refused.

Differences from the papers:
1. [D] Flatten sums the contributions of a channel's positions.
2. [D] Add hands the whole contribution to every branch and Concatenate splits it by channels; a tensor that
   feeds several layers sums what they hand back. The released code knows plain chains only.
3. [D] In a depthwise layer of multiplier M a channel receives its own input channel alone: output i * M + m
   has the single connection (i, m), from input i. Weights, `kept` and masks have the shape (inputs, M) of
   its kernel. As int((1 - per) * 1) is 0, rule "dare" cuts none of them.
4. [D] GroupNormalization passes contributions on where every channel is a group of its own.
"""

import collections
import dataclasses

import keras
import numpy

from models import flat

PASSING = (
    keras.layers.InputLayer,
    keras.layers.Normalization,
    keras.layers.Rescaling,
    keras.layers.BatchNormalization,
    keras.layers.GroupNormalization,
    keras.layers.Activation,
    keras.layers.ReLU,
    keras.layers.LeakyReLU,
    keras.layers.PReLU,
    keras.layers.ELU,
    keras.layers.Identity,
    keras.layers.Dropout,
    keras.layers.SpatialDropout2D,
    keras.layers.AlphaDropout,
    keras.layers.GaussianDropout,
    keras.layers.GaussianNoise,
    keras.layers.ZeroPadding2D,
    keras.layers.Cropping2D,
    keras.layers.UpSampling2D,
    keras.layers.MaxPooling2D,
    keras.layers.AveragePooling2D,
    keras.layers.AdaptiveMaxPooling2D,
    keras.layers.AdaptiveAveragePooling2D,
    keras.layers.GlobalMaxPooling2D,
    keras.layers.GlobalAveragePooling2D,
)
MIXING = (keras.layers.Conv2D, keras.layers.Dense)
WEIGHTED = (*MIXING, keras.layers.DepthwiseConv2D)
SUPPORTED = (*WEIGHTED, *PASSING, keras.layers.Flatten, keras.layers.Add, keras.layers.Concatenate)


@dataclasses.dataclass(frozen=True, eq=False)
class Weighted:
    """A dense, convolutional or depthwise layer: what it receives and what it makes (Keras tensors)."""

    layer: keras.layers.Layer
    received: object
    made: object

    @property
    def depthwise(self):
        """Whether each channel receives its own input channel alone."""
        return not isinstance(self.layer, MIXING)

    def weights(self):
        """The weights (inputs, outputs) of a dense kernel, or of a conv kernel summed over its positions.

        A depthwise layer's are (inputs, multiplier).
        """
        kernel = numpy.asarray(keras.ops.convert_to_numpy(self.layer.kernel))
        if not numpy.isfinite(kernel).all():
            raise ValueError(
                f"layer {self.layer.name!r} has weights that are not finite: slice a checkpoint from before "
                "training diverged"
            )
        return kernel if kernel.ndim == 2 else kernel.sum(axis=(0, 1), dtype=numpy.float64)


@dataclasses.dataclass(frozen=True, eq=False)
class Graph:
    """A model read for slicing.

    model: the functional model; nodes: its operations from the output back to the input;
    weighted: name -> Weighted, from the input to the output;
    output: the name of the weighted layer that makes the logits.
    """

    model: keras.Model
    nodes: tuple
    weighted: dict
    output: str


def read(model):
    """Read the graph of a functional or built sequential model from one image input to logits (N, classes).

    Raises ValueError for a model without such a graph, a layer that cannot be sliced, a weighted layer used
    more than once, and logits that do not come straight from a dense or convolutional layer.
    """
    flat.check_open(model)
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise ValueError(
            f"{model.name} has {len(model.inputs)} inputs and {len(model.outputs)} outputs: slicing needs one of each"
        )
    graph = keras.Model(model.inputs[0], model.outputs[0])
    nodes = tuple(node for depth in sorted(graph._nodes_by_depth) for node in graph._nodes_by_depth[depth])
    for node in nodes:
        _check(node)
    layers = [node for node in reversed(nodes) if isinstance(node.operation, WEIGHTED)]
    for name, uses in collections.Counter(node.operation.name for node in layers).items():
        if uses > 1:
            raise ValueError(f"layer {name!r} is used {uses} times: slicing needs one use a layer")
    weighted = {
        node.operation.name: Weighted(node.operation, node.input_tensors[0], node.output_tensors[0]) for node in layers
    }
    return Graph(graph, nodes, weighted, _output_layer(graph, nodes))


def walk_back(graph, contribution, at_layer):
    """Carry the `contribution` (classes, neurons) of the logits back through the graph.

    at_layer: called as at_layer(name, Weighted, contribution of what it made), returns the contribution of
        what it received.
    """
    pending = {id(graph.model.outputs[0]): contribution}
    for node in graph.nodes:
        if not node.input_tensors:
            continue
        made, name = pending.pop(id(node.output_tensors[0])), node.operation.name
        if name in graph.weighted:
            handed = [at_layer(name, graph.weighted[name], made)]
        else:
            handed = _pass_back(node, made)
        for tensor, part in zip(node.input_tensors, handed, strict=True):
            pending[id(tensor)] = pending.get(id(tensor), 0) + part


def _pass_back(node, contribution):
    """What a layer without weights hands to its inputs, one array (classes, neurons) an input tensor."""
    if isinstance(node.operation, keras.layers.Flatten):
        channels = node.input_tensors[0].shape[-1]
        return [contribution.reshape(len(contribution), -1, channels).sum(axis=1)]
    if isinstance(node.operation, keras.layers.Concatenate):
        ends = numpy.cumsum([tensor.shape[-1] for tensor in node.input_tensors])
        return numpy.split(contribution, ends[:-1], axis=1)
    return [contribution] * len(node.input_tensors)


def _output_layer(graph, nodes):
    """The name of the weighted layer whose channels are the logits."""
    maker = {id(tensor): node for node in nodes for tensor in node.output_tensors}
    logits = graph.outputs[0]
    node = maker[id(logits)]
    while not isinstance(node.operation, WEIGHTED) and len(node.input_tensors) == 1:
        node = maker[id(node.input_tensors[0])]
    if (
        not isinstance(node.operation, MIXING)
        or len(logits.shape) != 2
        or node.output_tensors[0].shape[-1] != logits.shape[-1]
    ):
        raise ValueError(
            f"the output of shape {logits.shape} comes from {node.operation.name!r}: slicing starts at "
            "logits (N, classes) made by a Dense or Conv2D layer with one channel a class: end it in one"
        )
    return node.operation.name


def _check(node):
    """Refuse, by name, an operation that slicing has no rule for."""
    layer, inputs = node.operation, node.input_tensors
    if not isinstance(layer, SUPPORTED):
        separable = isinstance(layer, keras.layers.SeparableConv2D)
        instead = "write it as DepthwiseConv2D and a 1x1 Conv2D; " if separable else ""
        raise ValueError(
            f"layer {layer.name!r} ({type(layer).__name__}) cannot be sliced; {instead}supported are "
            f"{', '.join(kind.__name__ for kind in SUPPORTED)}"
        )
    if getattr(layer, "data_format", "channels_last") == "channels_first":
        raise ValueError(f"layer {layer.name!r} has its channels first: slicing needs channels_last")
    if isinstance(layer, keras.layers.Conv2D) and layer.groups != 1:
        raise ValueError(f"layer {layer.name!r} convolves in {layer.groups} groups: slicing needs groups=1")
    if isinstance(layer, keras.layers.GroupNormalization) and (
        layer.groups != inputs[0].shape[-1] or layer.axis not in (-1, len(inputs[0].shape) - 1)
    ):
        raise ValueError(
            f"layer {layer.name!r} normalizes {layer.groups} groups of axis {layer.axis} in {inputs[0].shape}: "
            "slicing needs every channel to be a group of its own, axis=-1 and groups=-1"
        )
    if isinstance(layer, keras.layers.Add) and len({tensor.shape for tensor in inputs}) > 1:
        raise ValueError(
            f"layer {layer.name!r} adds shapes {', '.join(str(tensor.shape) for tensor in inputs)}: "
            "slicing needs branches of one shape"
        )
    if isinstance(layer, keras.layers.Concatenate) and layer.axis not in (-1, len(inputs[0].shape) - 1):
        raise ValueError(f"layer {layer.name!r} joins axis {layer.axis}: slicing needs the channels, axis=-1")
