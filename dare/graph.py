"""The layers with weights in a Keras graph, and how contributions are passed back between them.

Slicing works on any architecture: dense and convolutional layers, with their input and output tensors, are read from
the functional graph, and all layers between them pass contributions back by a fixed rule (NNSlicer, FSE 2020, arXiv
2009.13747, section 4).

A contribution is an array (classes, neurons) for one tensor: neurons are the units of a vector, or the channels of a
map. A layer passes it back unchanged where each output channel depends on the same input channel only: padding,
cropping, upsampling, pooling of every kind, dropout, activations, and normalization by stored statistics. A
normalization that measures a statistic across channels is refused.

Differences from the papers:
1. [D] Flatten sums the contributions of a channel's positions.
2. [D] Add passes the whole contribution to every branch, and Concatenate splits it by channels. A tensor that
   several layers read sums their contributions. The released code handles plain chains only.
3. [D] In a depthwise layer of multiplier M, output i * M + m has a single connection (i, m), from input i.
   Weights, `kept` and masks have the shape (inputs, M) of its kernel. As int((1 - per) * 1) is 0, rule "dare"
   cuts none of these connections.
4. [D] GroupNormalization passes contributions back where every channel is a group of its own.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Callable

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
    """A dense, convolutional or depthwise layer with its input and output (Keras tensors)."""

    layer: keras.layers.Layer
    input: keras.KerasTensor
    output: keras.KerasTensor

    @property
    def depthwise(self) -> bool:
        """Whether each output channel depends on one input channel only."""
        return not isinstance(self.layer, MIXING)

    def weights(self) -> numpy.ndarray:
        """The weights (inputs, outputs); of a depthwise layer (inputs, multiplier). Conv kernels are summed over
        their positions.

        Raises ValueError where they are not finite.
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

    model: the functional model.
    nodes: its operations, from the output back to the input.
    weighted: name -> Weighted, from the input to the output.
    output: name of the weighted layer whose outputs are the logits.
    """

    model: keras.Model
    nodes: tuple
    weighted: dict
    output: str


def read(model: keras.Model) -> Graph:
    """The graph of a functional or built sequential model with one image input and logits (N, classes).

    Raises ValueError for a model without such a graph, a layer that cannot be sliced, a weighted layer used
    more than once, and logits that are not the output of a dense or convolutional layer.
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


def walk_back(graph: Graph, contribution: numpy.ndarray, at_layer: Callable) -> None:
    """Pass the contribution (classes, neurons) of the logits back through the graph.

    at_layer: called as at_layer(name, Weighted, contribution of its output); returns the contribution of its input.
    """
    pending = {id(graph.model.outputs[0]): contribution}
    for node in graph.nodes:
        if not node.input_tensors:
            continue
        of_output, name = pending.pop(id(node.output_tensors[0])), node.operation.name
        if name in graph.weighted:
            of_inputs = [at_layer(name, graph.weighted[name], of_output)]
        else:
            of_inputs = _pass_back(node, of_output)
        for tensor, part in zip(node.input_tensors, of_inputs, strict=True):
            pending[id(tensor)] = pending.get(id(tensor), 0) + part


def _pass_back(node, contribution):
    """The contributions of the inputs of a layer without weights: one array (classes, neurons) an input tensor."""
    if isinstance(node.operation, keras.layers.Flatten):
        channels = node.input_tensors[0].shape[-1]
        return [contribution.reshape(len(contribution), -1, channels).sum(axis=1)]
    if isinstance(node.operation, keras.layers.Concatenate):
        ends = numpy.cumsum([tensor.shape[-1] for tensor in node.input_tensors])
        return numpy.split(contribution, ends[:-1], axis=1)
    return [contribution] * len(node.input_tensors)


def _output_layer(graph, nodes):
    """The name of the weighted layer whose channels are the logits."""
    node_of = {id(tensor): node for node in nodes for tensor in node.output_tensors}
    logits = graph.outputs[0]
    node = node_of[id(logits)]
    while not isinstance(node.operation, WEIGHTED) and len(node.input_tensors) == 1:
        node = node_of[id(node.input_tensors[0])]
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
    """Raise ValueError, naming the layer, for an operation that slicing has no rule for."""
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
