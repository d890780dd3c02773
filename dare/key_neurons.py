"""The key neurons K_i of a sample: the channels of the regression layer R that matter for its class.

DARE sums its loss over the "key neurons" of a sample (TOSEM 33(3) 2024, section 3.3) without defining them. Here they
are the channels of R in the slice of the sample's class, found by the connections from R to the next dense or
convolutional layers [D]. Class c keeps some of the connections from channel j (nnslicer.Slice.kept):
    rule "average"   j is a key neuron of c if c keeps at least the fraction of them that it keeps of all leaving R
    rule "any"       j is a key neuron of c if c keeps any of them; at per = .95 that is every channel
"""

from __future__ import annotations  # its types load no library (pipeline/late.py)

import keras
import numpy

from dare import graph
from dare.nnslicer import Slice

RULES = ("average", "any")


def key_channels(model: keras.Model, slices: Slice, layer: str, rule: str = "average") -> numpy.ndarray:
    """The key neurons of each class at `layer`: bool (classes, channels), or units of a dense layer.

    slices: of `model`, with all layers that read R. A dense layer behind Flatten has a connection from every position
        of a channel; a convolution has one connection for all positions of its kernel.
    rule: of RULES. Under "average" every class has a key neuron.
    Raises ValueError where R does not separate the logits from the input, where R is added to itself in another order,
    where the slice lacks a layer, and for a class without key neurons.
    """
    if rule not in RULES:
        raise ValueError(f"rule is {rule!r}, expected one of {', '.join(RULES)}")
    channels = model.get_layer(layer).output.shape[-1]
    kept, leaving = 0, numpy.zeros(channels, "int64")  # connections from each channel: kept by each class, and all
    for name, sources in _readers(model, layer):
        if name not in slices.kept:
            raise ValueError(f"the slice lacks {name}, which reads {layer}: slice it too for the key neurons")
        connections = slices.kept[name]
        counts = numpy.zeros((len(connections), channels), "int64")
        numpy.add.at(counts.T, sources, connections.sum(axis=2, dtype="int64").T)
        kept = kept + counts
        numpy.add.at(leaving, sources, 1 if name == slices.output else connections.shape[2])
    if rule == "any":
        key = kept > 0
    else:  # kept / leaving >= sum of kept / sum of leaving, in integers
        key = kept * leaving.sum() >= kept.sum(axis=1, keepdims=True) * leaving
    if not key.any(axis=1).all():
        empty = ", ".join(map(str, numpy.flatnonzero(~key.any(axis=1))))
        raise ValueError(f"classes {empty} keep no connection that leaves {layer}: they have no key neuron")
    return key


def _readers(model, layer):
    """Yield (name, channels) of the weighted layers that read R: the channel of R that each input comes from."""
    try:
        head = graph.read(keras.Model(model.get_layer(layer).output, model.outputs[0]))
    except ValueError as error:
        raise ValueError(f"{layer} has no key neurons in {model.name}: {' '.join(str(error).split())}") from error
    sources = {id(head.model.inputs[0]): numpy.arange(model.get_layer(layer).output.shape[-1])}
    for node in reversed(head.nodes):
        branches = [sources[id(tensor)] for tensor in node.input_tensors if id(tensor) in sources]
        if not branches:
            continue
        if node.operation.name in head.weighted:
            yield node.operation.name, branches[0]
        else:
            sources[id(node.output_tensors[0])] = _through(node, branches)


def _through(node, branches):
    """The channel of R behind each output of a layer without weights.

    branches: the channels behind each of its inputs that come from R.
    """
    if isinstance(node.operation, keras.layers.Flatten):
        return numpy.tile(branches[0], node.output_tensors[0].shape[-1] // len(branches[0]))
    if isinstance(node.operation, keras.layers.Concatenate) and len(branches) == len(node.input_tensors):
        return numpy.concatenate(branches)
    if isinstance(node.operation, keras.layers.Concatenate) or any(
        not numpy.array_equal(branch, branches[0]) for branch in branches
    ):
        raise ValueError(
            f"{node.operation.name} mixes channels of the regression layer with others: key neurons need a layer "
            "whose channels reach the next weights one by one"
        )
    return branches[0]
