"""A model cut in two at a set of tensors: activations before the cut are computed once, what follows is run often.

The cut goes through any graph: the tensors are all that the second part reads from the first.
"""

from __future__ import annotations  # its types load no library (pipeline/late.py)

import dataclasses
from collections.abc import Callable, Iterable

import keras
import numpy

import data
from models import compute, flat
from models.compute.variables import Tensor


@dataclasses.dataclass(frozen=True, eq=False)
class Cut:
    """A model's two parts, which share its weights.

    tensors: at the cut, in the order of the graph.
    prefix: images -> these tensors.
    suffix: these tensors -> the model's output.
    """

    tensors: tuple
    prefix: keras.Model
    suffix: keras.Model

    def activations(self, x: numpy.ndarray, *, batch_size: int = 256) -> list[numpy.ndarray]:
        """The activations at the cut, one array (N, ...) for each tensor. x: images, uint8 or float32 in [0, 1]."""
        run = compute.compiled(self.prefix, _listed, any_count=True)
        return list(compute.predict(run, x, batch_size=batch_size, prepare=data.to_unit))

    def logits(self, activations: list[numpy.ndarray], *, batch_size: int = 256) -> numpy.ndarray:
        """The model's output (N, K) from the activations at the cut, with the weights that it has now."""
        run = compute.compiled(self.suffix, joined, any_count=True)
        return compute.predict(run, *activations, batch_size=batch_size)


def before(model: keras.Model, names: Iterable[str]) -> Cut:
    """The Cut in front of the first of several layers: the second part holds all that any of them affects.

    names: of the layers.
    """
    names = set(names)
    return _cut(model, lambda node, later: node.operation.name in names or _reads(node, later))


def after(model: keras.Model, name: str) -> Cut:
    """The Cut behind the layer `name`, whose output is among its tensors.

    Raises ValueError for the last layer of a model.
    """
    output = id(model.get_layer(name).output)
    return _cut(model, lambda node, later: _reads(node, later | {output}))


def joined(call: Callable, *activations: Tensor) -> Tensor:
    """``call(tensor)`` of a suffix that takes one tensor, ``call([tensors])`` of one that takes several."""
    return call(activations[0] if len(activations) == 1 else list(activations))


def _listed(call, images):
    return tuple(keras.tree.flatten(call(images)))


def _reads(node, tensors):
    return any(id(tensor) in tensors for tensor in node.input_tensors)


def _cut(model, second):
    """second(node, ids of the second part's tensors) -> whether a node belongs to the second part."""
    flat.check_open(model)
    graph = keras.Model(model.inputs[0], model.outputs[0])
    later, at_cut = set(), {}
    for depth in sorted(graph._nodes_by_depth, reverse=True):
        for node in graph._nodes_by_depth[depth]:
            if node.input_tensors and second(node, later):
                later |= {id(tensor) for tensor in node.output_tensors}
                at_cut |= {id(tensor): tensor for tensor in node.input_tensors if id(tensor) not in later}
    at_cut = {key: tensor for key, tensor in at_cut.items() if key not in later}
    if id(model.outputs[0]) not in later:
        raise ValueError(f"{model.name} has nothing behind this cut: cut it in front of its last layer")
    tensors = tuple(at_cut.values())
    suffix = keras.Model(tensors[0] if len(tensors) == 1 else list(tensors), model.outputs[0])
    return Cut(tensors, keras.Model(model.inputs[0], list(tensors)), suffix)
