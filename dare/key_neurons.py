"""The key neurons K_i of a sample: the channels of the regression layer R that matter for its class.

DARE sums its loss over the "key neurons" of a sample (TOSEM 33(3) 2024, section 3.3) without saying which they are.
Here they are channels of R in the slice of the sample's class [D], read off the connections that leave R for the next
dense or convolutional layers. Of those that leave channel j, class c keeps some (nnslicer.Slice.kept):
    rule "average"   j is in c's slice if c keeps at least as large a share of them as of all that leave R
    rule "any"       j is in c's slice if c keeps any of them: at per = .95 that holds for every channel
"""

import keras
import numpy

from dare import graph

RULES = ("average", "any")


def key_channels(model, slices, layer, rule="average"):
    """Which channels (units, of a dense R) of `layer` are in each class's slice: bool (classes, channels).

    slices: an nnslicer.Slice of `model` with the layers that read R. A layer that reads it several times flattened
    has a connection from each position; a convolution has one for all of its kernel's. Under "average" every class
    has a key neuron. Raises ValueError where R does not separate the logits from the input, where it is added to
    itself in another order, where the slice lacks a layer, and for a class without any key neuron.
    """
    if rule not in RULES:
        raise ValueError(f"rule is {rule!r}, expected one of {', '.join(RULES)}")
    channels = model.get_layer(layer).output.shape[-1]
    kept, leaving = 0, numpy.zeros(channels, "int64")
    for name, sources in _readers(model, layer):
        if name not in slices.kept:
            raise ValueError(f"the slice lacks {name}, which reads {layer}: slice it too for the key neurons")
        connections = slices.kept[name]
        table = numpy.zeros((len(connections), channels), "int64")
        numpy.add.at(table.T, sources, connections.sum(axis=2, dtype="int64").T)
        kept = kept + table
        numpy.add.at(leaving, sources, 1 if name == slices.output else connections.shape[2])
    if rule == "any":
        chosen = kept > 0
    else:  # kept / leaving >= sum of kept / sum of leaving, in whole numbers
        chosen = kept * leaving.sum() >= kept.sum(axis=1, keepdims=True) * leaving
    if not chosen.any(axis=1).all():
        empty = ", ".join(map(str, numpy.flatnonzero(~chosen.any(axis=1))))
        raise ValueError(f"classes {empty} keep no connection that leaves {layer}: they have no key neuron")
    return chosen


def _readers(model, layer):
    """Yield the weighted layers that read R, each with the channel of R that every one of its inputs comes from."""
    try:
        head = graph.read(keras.Model(model.get_layer(layer).output, model.outputs[0]))
    except ValueError as error:
        raise ValueError(f"{layer} has no key neurons in {model.name}: {' '.join(str(error).split())}") from error
    sources = {id(head.model.inputs[0]): numpy.arange(model.get_layer(layer).output.shape[-1])}
    for node in reversed(head.nodes):
        known = [sources[id(tensor)] for tensor in node.input_tensors if id(tensor) in sources]
        if not known:
            continue
        if node.operation.name in head.weighted:
            yield node.operation.name, known[0]
        else:
            sources[id(node.output_tensors[0])] = _through(node, known)


def _through(node, known):
    """The channel of R of each neuron that a layer without weights makes; only branches from R itself have one."""
    if isinstance(node.operation, keras.layers.Flatten):
        return numpy.tile(known[0], node.output_tensors[0].shape[-1] // len(known[0]))
    if isinstance(node.operation, keras.layers.Concatenate) and len(known) == len(node.input_tensors):
        return numpy.concatenate(known)
    if isinstance(node.operation, keras.layers.Concatenate) or any(
        not numpy.array_equal(other, known[0]) for other in known
    ):
        raise ValueError(
            f"{node.operation.name} mixes channels of the regression layer with others: key neurons need a layer "
            "whose channels reach the next weights one by one"
        )
    return known[0]
