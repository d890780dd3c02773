"""Compiled passes and updates on TensorFlow.

XLA compiles on accelerators only; on a CPU it is several times slower than TensorFlow's own kernels.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import keras
import tensorflow

from models.compute.variables import Tensor

GPUS = tensorflow.config.list_physical_devices("GPU")
ON_ACCELERATOR = bool(GPUS)
ERRORS = (tensorflow.errors.OpError,)  # raised when a kernel or an accelerator fails, such as out of memory
SHAPES_COMPILE = ON_ACCELERATOR  # whether each new shape of a batch is a compilation
ARGMAX_DTYPE = "int64"
# Full float32: TF32's ten bits are too few for distances to a boundary and ties of log-probabilities.
tensorflow.config.experimental.enable_tensor_float_32_execution(False)
for gpu in GPUS:  # several processes may share a GPU
    tensorflow.config.experimental.set_memory_growth(gpu, True)


def accelerators() -> list[str]:
    """The names of the accelerators in use."""
    details = tensorflow.config.experimental.get_device_details
    return [details(gpu).get("device_name", gpu.name) for gpu in GPUS]


def deterministic() -> None:
    """Give the same bits every time on this machine with these versions; slower on a GPU."""
    tensorflow.config.experimental.enable_op_determinism()


def compile(model: keras.Model, function: Callable, training: bool, any_count: bool) -> Callable:
    """As models.compute.compiled."""
    return _graph(functools.partial(function, functools.partial(model, training=training)), any_count)


def gradient(function: Callable, x: Tensor, call: Callable) -> tuple[tuple, Tensor]:
    """As models.compute.gradient."""
    with tensorflow.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(x)
        values, extra = function(x)
    return (values, extra), tape.gradient(values, x, unconnected_gradients="zero")  # as jax does


def jacobian(function: Callable, x: Tensor) -> tuple[tuple, Tensor]:
    """As models.compute.jacobian: one forward pass, and a backward pass a column."""
    with tensorflow.GradientTape(persistent=True, watch_accessed_variables=False) as tape:
        tape.watch(x)
        values, extra = function(x)
        columns = tensorflow.unstack(values, axis=1)
    gradients = [tape.gradient(column, x, unconnected_gradients="zero") for column in columns]
    return (values, extra), tensorflow.stack(gradients, 1)


def redrawn(call: Callable, number: Tensor) -> Callable:
    """As models.compute.redrawn."""
    return call


def train_step(
    model: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    objective: Callable,
    follow: Callable | None,
    training: bool,
    regularise: bool,
    keep: list,
    displace: Callable | None = None,
) -> Callable:
    """As models.updates.train_step; keep: (place of a variable, mask, original values), tensors."""
    variables = model.trainable_variables
    differentiate = _differentiate(model, objective, follow, training, regularise)

    def displaced(*arrays):
        non_trainable = [(variable, keras.ops.copy(variable)) for variable in model.non_trainable_variables]
        gradients, *_ = differentiate(*arrays)
        for variable, value in non_trainable:
            variable.assign(value)
        return list(zip(variables, displace(gradients, variables), strict=True))

    def step(*arrays):
        moves = [] if displace is None else displaced(*arrays)
        for variable, move in moves:
            variable.assign_add(move)
        gradients, *results = differentiate(*arrays)
        optimizer.apply(gradients, variables)
        for variable, move in moves:
            variable.assign_sub(move)
        for place, mask, original in keep:
            variables[place].assign(keras.ops.where(mask, variables[place], original))
        return tuple(results)

    return _graph(step)


def gradients(model: keras.Model, objective: Callable, follow: Callable | None, training: bool) -> Callable:
    """As models.updates.gradients."""
    return _graph(_differentiate(model, objective, follow, training, False))


def apply(optimizer: keras.optimizers.Optimizer, variables: list) -> Callable:
    """As models.updates.apply."""
    return _graph(lambda *gradients: optimizer.apply(gradients, variables))


def blend(variables: list, averages: list) -> Callable:
    """As models.updates.blend."""

    def mix(share):
        for variable, average in zip(variables, averages, strict=True):
            average.assign((1 - share) * average + share * variable)

    return _graph(mix)


def _graph(function, any_count=False):
    """``run(*arrays)``: the function as a graph for each signature; any_count: for any number of rows.

    A graph that is looked up by TensorFlow itself costs twice as much a call.
    """
    graph = tensorflow.function(function, jit_compile=ON_ACCELERATOR, reduce_retracing=True)
    by_signature = {}

    def run(*arrays):
        tensors = [tensorflow.convert_to_tensor(array) for array in arrays]
        signature = tuple((_shape(tensor, any_count), tensor.dtype) for tensor in tensors)
        if signature not in by_signature:
            specifications = [tensorflow.TensorSpec(*each) for each in signature] if any_count else tensors
            by_signature[signature] = graph.get_concrete_function(*specifications)
        return by_signature[signature](*tensors)

    return run


def _shape(tensor, any_count):
    shape = tuple(tensor.shape)
    return (None, *shape[1:]) if any_count and shape else shape


def _differentiate(model, objective, follow, training, regularise):
    """``run(x, *arrays) -> (gradients of the weights, mean value, extra[, followed])``."""
    variables = model.trainable_variables

    def run(x, *arrays):
        sources = [variable.value for variable in variables] + ([] if follow is None else [x])
        with tensorflow.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(sources)
            values, extra = objective(functools.partial(model, training=training), x, *arrays)
            value = keras.ops.mean(values)
            total = value + sum(model.losses) if regularise else value
        gradients = tape.gradient(total, sources, unconnected_gradients="zero")
        if follow is None:
            return gradients, value, extra
        return gradients[:-1], value, extra, follow(x, gradients[-1], *arrays)

    return run
