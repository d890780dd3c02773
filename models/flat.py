"""A functional model as a flat list of calls, with nested models opened, and a model built from such a list.

Slicing, mining and tuning need flat models, in which every layer can be reached by name. A nested model stays closed if
opening it would change what it computes: it has its own `call`, named inputs, or inputs of another rank or dtype than
it is called on.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
from collections.abc import Callable

import keras
import numpy


@dataclasses.dataclass(frozen=True)
class Result:
    """A tensor of the graph: the number of the call that returns it, and the place among its outputs."""

    call: int
    output: int = 0


@dataclasses.dataclass(frozen=True, eq=False)
class Call:
    """A call of a Keras layer or op.

    operation: the layer or op.
    args, kwargs: its arguments, with a Result in place of each tensor.
    outputs: its symbolic output tensors.
    """

    operation: keras.Operation
    args: tuple
    kwargs: dict
    outputs: tuple

    @property
    def inputs(self) -> list[Result]:
        """The Results among the arguments, a list."""
        return [value for value in keras.tree.flatten((self.args, self.kwargs)) if isinstance(value, Result)]

    @property
    def kind(self) -> str:
        """The class name if the operation is Keras's own, else ""."""
        kind = type(self.operation)
        return kind.__name__ if kind.__module__.startswith("keras.") else ""


def function(model: object) -> keras.Function | None:
    """The Keras Function of a functional or a built Sequential model, None for any other."""
    if not isinstance(model, keras.Model) or not type(model).call.__module__.startswith("keras."):
        return None
    functional = getattr(model, "_functional", None) if isinstance(model, keras.Sequential) else model
    return functional if isinstance(functional, keras.Function) else None


def check_open(model: keras.Model) -> None:
    """Raise ValueError if a model has no graph, or a nested model hides layers."""
    graph = function(model)
    if graph is None:
        raise ValueError(_no_graph(model))
    inner = next((operation for operation in graph.operations if function(operation) is not None), None)
    if inner is not None:
        raise ValueError(
            f"{model.name} holds the model {inner.name!r}, which hides its layers: models.to_logits(model), or "
            "models.load of its file, opens it"
        )


def calls(model: keras.Model) -> tuple[list[Call], Result]:
    """The graph of a model with one input and one output: ([Call], Result of the output).

    The input comes first and each call follows its inputs; the order depends on the graph only.
    Raises ValueError for any other model.
    """
    graph = function(model)
    if graph is None:
        raise ValueError(_no_graph(model))
    if len(graph.inputs) != 1 or len(graph.outputs) != 1:
        raise ValueError(
            f"{model.name} has {len(graph.inputs)} inputs and {len(graph.outputs)} outputs, expected one of each"
        )
    entry = graph.inputs[0]
    listed = [Call(entry._keras_history.operation, (), {}, (entry,))]
    output = _open(graph, [Result(0)], listed)[0]
    return _in_order(listed, output)


def build(
    listed: list[Call],
    output: Result,
    *,
    name: str,
    scale: float | None = None,
    changes: dict | None = None,
    finish: Callable | None = None,
) -> keras.Model:
    """A functional model from a list of calls: float32 images (N, H, W, C) -> its output.

    Layers are copied with their weights and get unique names.
    listed, output: as `calls` returns them.
    scale: factor on the images before the first call.
    changes: number of a call -> changed entries of its layer's configuration.
    finish: ``finish(output, name)`` -> output with further layers, named ``name(wanted)``.
    """
    names, copies, values = set(), {}, []
    for number, call in enumerate(listed):
        operation = call.operation
        change = (changes or {}).get(number, {})
        if not number:
            inputs = keras.Input(call.outputs[0].shape[1:], dtype="float32", name=_unique(operation.name, names))
            values.append([inputs])
            if scale is not None:
                scaled = keras.layers.Rescaling(scale, dtype="float32", name=_unique("pixels", names))
                values[0] = [scaled(inputs)]
            continue
        fresh = id(operation) not in copies or change
        copied = _copy(operation, names, change) if fresh else copies[id(operation)]
        copies.setdefault(id(operation), copied)
        args, kwargs = keras.tree.map_structure(
            lambda value: values[value.call][value.output] if isinstance(value, Result) else value,
            (call.args, call.kwargs),
        )
        values.append(keras.tree.flatten(copied(*args, **kwargs)))
        if fresh and isinstance(operation, keras.layers.Layer):
            set_weights(copied, operation.get_weights())
    outputs = values[output.call][output.output]
    if finish is not None:
        outputs = finish(outputs, functools.partial(_unique, names=names))
    return keras.Model(inputs, outputs, name=name)


def _no_graph(model):
    if not isinstance(model, keras.Model):
        return f"the model is a {type(model).__name__}, expected a Keras model: build it with keras.Model"
    if isinstance(model, keras.Sequential):
        return f"{model.name} is a Sequential model that is not built: begin it with keras.Input((H, W, C))"
    return (
        f"{model.name} is a subclassed model ({type(model).__name__}), whose layers cannot be read off: build it with "
        "keras.Model(inputs, outputs)"
    )


def _open(graph, inputs, listed):
    """Append the calls of a Function to `listed`; returns the Results of its outputs. inputs: Results."""
    known = dict(zip(map(id, graph.inputs), inputs, strict=True))
    for depth in sorted(graph._nodes_by_depth, reverse=True):
        for node in graph._nodes_by_depth[depth]:
            if id(node.outputs[0]) in known:
                continue
            inner = _inner(node)
            if inner is not None:
                results = _open(inner, [known[id(tensor)] for tensor in node.input_tensors], listed)
            else:
                args, kwargs = node.arguments.convert(
                    lambda value: known[id(value)] if isinstance(value, keras.KerasTensor) else value
                )
                listed.append(Call(node.operation, args, kwargs, tuple(node.outputs)))
                results = [Result(len(listed) - 1, place) for place in range(len(node.outputs))]
            known.update(zip(map(id, node.outputs), results, strict=True))
    return [known[id(tensor)] for tensor in graph.outputs]


def _inner(node):
    """The Function of the nested model that a node calls; None if it calls no model, or one that must stay closed."""
    graph = function(node.operation)
    options = [name for name, value in node.arguments.kwargs.items() if value is not None and name != "training"]
    if graph is None or len(node.arguments.args) != 1 or options:
        return None
    tensors = node.input_tensors
    alike = len(tensors) == len(graph.inputs) and not isinstance(node.arguments.args[0], dict)
    same = alike and all(
        len(tensor.shape) == len(expected.shape) and tensor.dtype == expected.dtype
        for tensor, expected in zip(tensors, graph.inputs, strict=True)
    )
    return graph if same else None


def _in_order(listed, output):
    """The calls that the output needs, renumbered: depth first from the output, inputs before their readers."""
    order, waiting = {}, [output.call]
    while waiting:
        missing = [result.call for result in listed[waiting[-1]].inputs if result.call not in order]
        if missing:
            waiting.append(missing[0])
        else:
            order.setdefault(waiting.pop(), len(order))

    def renumbered(value):
        return Result(order[value.call], value.output) if isinstance(value, Result) else value

    ordered = []
    for number in order:
        args, kwargs = keras.tree.map_structure(renumbered, (listed[number].args, listed[number].kwargs))
        ordered.append(dataclasses.replace(listed[number], args=args, kwargs=kwargs))
    return ordered, renumbered(output)


def _copy(operation, names, change):
    name = _unique(operation.name, names)
    if isinstance(operation, keras.layers.Layer):
        return type(operation).from_config({**operation.get_config(), "name": name, **change})
    copied = copy.copy(operation)  # the only state of an op is the calls that it was part of
    copied.name, copied._inbound_nodes, copied._outbound_nodes = name, [], []
    return copied


def set_weights(model: keras.Model | keras.Layer, values: list[numpy.ndarray]) -> None:
    """``model.set_weights(values)`` for a flat model or a layer; also updates constants computed from weights."""
    model.set_weights(values)
    for layer in getattr(model, "layers", [model]):
        if isinstance(layer, keras.layers.Normalization):
            layer.finalize_state()


def _unique(name, names):
    unique, number = name, 0
    while unique in names:
        number += 1
        unique = f"{name}_{number}"
    names.add(unique)
    return unique
