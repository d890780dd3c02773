"""A functional model as one flat list of calls, with the models inside it opened, and a model built from such a list.

Layers are reached by name, and their weights one by one, only where no model hides them: slicing, mining and tuning
read flat models. A model inside another stays closed where opening it would change what it computes: a call of its own,
several inputs under names, another rank or dtype than what it is called on.
"""

import copy
import dataclasses
import functools

import keras


@dataclasses.dataclass(frozen=True)
class Result:
    """What a call gives: the number of the call, and which of its outputs."""

    call: int
    output: int = 0


@dataclasses.dataclass(frozen=True, eq=False)
class Call:
    """One call of a Keras layer or op: `operation`, its arguments, in which a Result stands for each tensor, and the
    symbolic tensors `outputs` that it made."""

    operation: "keras.Operation"
    args: tuple
    kwargs: dict
    outputs: tuple

    @property
    def inputs(self):
        """The Results among the arguments, a list."""
        return [one for one in keras.tree.flatten((self.args, self.kwargs)) if isinstance(one, Result)]

    @property
    def kind(self):
        """The class name of one of Keras's own layers and ops, "" for any other."""
        kind = type(self.operation)
        return kind.__name__ if kind.__module__.startswith("keras.") else ""


def function(model):
    """The Keras Function that a model runs: of a functional or a built Sequential model, None of any other."""
    if not isinstance(model, keras.Model) or not type(model).call.__module__.startswith("keras."):
        return None
    found = getattr(model, "_functional", None) if isinstance(model, keras.Sequential) else model
    return found if isinstance(found, keras.Function) else None


def check_open(model):
    """Raise ValueError where a model inside a model hides its layers, or the model has no graph at all."""
    graph = function(model)
    if graph is None:
        raise ValueError(_no_graph(model))
    inner = next((one for one in graph.operations if function(one) is not None), None)
    if inner is not None:
        raise ValueError(
            f"{model.name} holds the model {inner.name!r}, which hides its layers: models.to_logits(model), or "
            "models.load of its file, opens it"
        )


def calls(model):
    """A model of one input and one output as ([Call], Result of the output): the input first, each call after those
    that it needs, in an order that the graph alone decides.

    Raises ValueError where the model is no such graph.
    """
    graph = function(model)
    if graph is None:
        raise ValueError(_no_graph(model))
    if len(graph.inputs) != 1 or len(graph.outputs) != 1:
        raise ValueError(
            f"{model.name} has {len(graph.inputs)} inputs and {len(graph.outputs)} outputs, expected one of each"
        )
    entry = graph.inputs[0]
    found = [Call(entry._keras_history.operation, (), {}, (entry,))]
    output = _open(graph, [Result(0)], found)[0]
    return _in_order(found, output)


def build(listed, output, *, name, scale=None, changes=None, finish=None):
    """A functional model of copies: float32 images (N, H, W, C) -> the output of a list of calls.

    Layers get the weights of those listed, and names that differ. scale: what the images are multiplied by first;
    changes: number of a call -> what differs in the configuration of its layer; finish: ``finish(output, name)`` adds
    layers, whose names it has from ``name(wanted)``.
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
        made = _copy(operation, names, change) if fresh else copies[id(operation)]
        copies.setdefault(id(operation), made)
        args, kwargs = keras.tree.map_structure(
            lambda one: values[one.call][one.output] if isinstance(one, Result) else one, (call.args, call.kwargs)
        )
        values.append(keras.tree.flatten(made(*args, **kwargs)))
        if fresh and isinstance(operation, keras.layers.Layer):
            set_weights(made, operation.get_weights())
    made = values[output.call][output.output]
    if finish is not None:
        made = finish(made, functools.partial(_unique, names=names))
    return keras.Model(inputs, made, name=name)


def _no_graph(model):
    if not isinstance(model, keras.Model):
        return f"the model is a {type(model).__name__}, expected a Keras model: build it with keras.Model"
    if isinstance(model, keras.Sequential):
        return f"{model.name} is a Sequential model that is not built: begin it with keras.Input((H, W, C))"
    return (
        f"{model.name} is a subclassed model ({type(model).__name__}), whose layers cannot be read off: build it with "
        "keras.Model(inputs, outputs)"
    )


def _open(graph, inputs, found):
    """Add the calls of a Function, given Results for its inputs, to `found`; the Results of its outputs."""
    known = dict(zip(map(id, graph.inputs), inputs, strict=True))
    for depth in sorted(graph._nodes_by_depth, reverse=True):
        for node in graph._nodes_by_depth[depth]:
            if id(node.outputs[0]) in known:
                continue
            inner = _inner(node)
            if inner is not None:
                results = _open(inner, [known[id(tensor)] for tensor in node.input_tensors], found)
            else:
                args, kwargs = node.arguments.convert(
                    lambda one: known[id(one)] if isinstance(one, keras.KerasTensor) else one
                )
                found.append(Call(node.operation, args, kwargs, tuple(node.outputs)))
                results = [Result(len(found) - 1, place) for place in range(len(node.outputs))]
            known.update(zip(map(id, node.outputs), results, strict=True))
    return [known[id(tensor)] for tensor in graph.outputs]


def _inner(node):
    """The Function of a model that a node calls, None where the node calls something else or it has to stay closed."""
    graph = function(node.operation)
    options = [name for name, value in node.arguments.kwargs.items() if value is not None and name != "training"]
    if graph is None or len(node.arguments.args) != 1 or options:
        return None
    given = node.input_tensors
    alike = len(given) == len(graph.inputs) and not isinstance(node.arguments.args[0], dict)
    same = alike and all(
        len(one.shape) == len(other.shape) and one.dtype == other.dtype
        for one, other in zip(given, graph.inputs, strict=True)
    )
    return graph if same else None


def _in_order(found, output):
    """The calls that the output needs, numbered anew: depth first from the output, inputs before what reads them."""
    order, waiting = {}, [output.call]
    while waiting:
        missing = [one.call for one in found[waiting[-1]].inputs if one.call not in order]
        if missing:
            waiting.append(missing[0])
        else:
            order.setdefault(waiting.pop(), len(order))

    def numbered(one):
        return Result(order[one.call], one.output) if isinstance(one, Result) else one

    listed = []
    for number in order:
        args, kwargs = keras.tree.map_structure(numbered, (found[number].args, found[number].kwargs))
        listed.append(dataclasses.replace(found[number], args=args, kwargs=kwargs))
    return listed, numbered(output)


def _copy(operation, names, change):
    name = _unique(operation.name, names)
    if isinstance(operation, keras.layers.Layer):
        return type(operation).from_config({**operation.get_config(), "name": name, **change})
    made = copy.copy(operation)  # an op has no state but the calls that it was part of
    made.name, made._inbound_nodes, made._outbound_nodes = name, [], []
    return made


def set_weights(model, values):
    """``model.set_weights(values)`` of a flat model or a layer, with the constants that follow from weights."""
    model.set_weights(values)
    for layer in getattr(model, "layers", [model]):
        if isinstance(layer, keras.layers.Normalization):
            layer.finalize_state()


def _unique(name, names):
    found, number = name, 0
    while found in names:
        number += 1
        found = f"{name}_{number}"
    names.add(found)
    return found
