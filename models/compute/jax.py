"""Compiled passes and updates on jax, where a model's state is an argument and a result."""

from __future__ import annotations

from collections.abc import Callable

import jax
import keras

from models.compute.variables import Tensor, assign

ON_ACCELERATOR = jax.default_backend() != "cpu"
ERRORS = (jax.errors.JaxRuntimeError,)  # raised when a kernel or an accelerator fails, such as out of memory
SHAPES_COMPILE = True  # each new shape of a batch is a compilation
ARGMAX_DTYPE = "int32"
jax.config.update("jax_default_matmul_precision", "highest")


def accelerators() -> list[str]:
    """The names of the accelerators in use."""
    return [device.device_kind for device in jax.devices() if device.platform != "cpu"]


def deterministic() -> None:
    """Nothing to do: jax always gives the same bits."""


class Call:
    """A model's forward pass inside a compiled function; `frozen` holds the state that it updates."""

    def __init__(self, model: keras.Model, trainable: list, frozen: list, training: bool) -> None:
        self.model, self.trainable, self.frozen, self.training = model, trainable, frozen, training
        self.losses = ()

    def __call__(self, x):
        outputs, frozen, self.losses = self.model.stateless_call(
            self.trainable, self.frozen, x, training=self.training, return_losses=True
        )
        if self.training:
            self.frozen = frozen
        return outputs


def compile(model: keras.Model, function: Callable, training: bool, any_count: bool) -> Callable:
    """As models.compute.compiled."""

    @jax.jit
    def pure(trainable, frozen, *arrays):
        call = Call(model, trainable, frozen, training)
        result = function(call, *arrays)
        return result, call.frozen if training else None

    def run(*arrays):
        frozen = model.non_trainable_variables
        result, updated = pure(_values(model.trainable_variables), _values(frozen), *arrays)
        if training:
            assign(frozen, updated)
        return result

    return run


def gradient(function: Callable, x: Tensor, call: Callable) -> tuple[tuple, Tensor]:
    """As models.compute.gradient."""
    training = getattr(call, "training", False)

    def total(x):
        values, extra = function(x)
        return keras.ops.sum(values), (values, extra, call.frozen if training else None)

    (_, (values, extra, frozen)), gradient = jax.value_and_grad(total, has_aux=True)(x)
    if training:
        call.frozen = frozen
    return (values, extra), gradient


def jacobian(function: Callable, x: Tensor) -> tuple[tuple, Tensor]:
    """As models.compute.jacobian: one forward pass, and one backward pass over all columns."""
    values, pull, extra = jax.vjp(function, x, has_aux=True)
    columns = jax.numpy.eye(values.shape[1], dtype=values.dtype)[:, None].repeat(len(values), 1)
    gradients = jax.vmap(lambda column: pull(column)[0])(columns)
    return (values, extra), jax.numpy.swapaxes(gradients, 0, 1)


def redrawn(call: Callable, number: Tensor) -> Callable:
    """As models.compute.redrawn: `number` is added to the state of every random layer, (seed, count of draws)."""
    pairs = zip(call.model.non_trainable_variables, call.frozen, strict=True)
    frozen = [
        value + jax.numpy.asarray(number).astype(value.dtype)
        if variable.path.endswith("seed_generator_state")
        else value
        for variable, value in pairs
    ]
    return Call(call.model, call.trainable, frozen, call.training)


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
    differentiate = _differentiate(model, objective, follow, training, regularise)

    @jax.jit
    def pure(trainable, frozen, state, *arrays):
        if displace is not None:
            gradients, *_ = differentiate(trainable, frozen, *arrays)
            moves = displace(gradients, trainable)
            trainable = [value + move for value, move in zip(trainable, moves, strict=True)]
        gradients, frozen, *results = differentiate(trainable, frozen, *arrays)
        trainable, state = optimizer.stateless_apply(state, gradients, trainable)
        trainable = list(trainable)
        if displace is not None:
            trainable = [value - move for value, move in zip(trainable, moves, strict=True)]
        for place, mask, original in keep:
            trainable[place] = keras.ops.where(mask, trainable[place], original)
        return tuple(results), trainable, frozen, state

    def step(*arrays):
        kinds = model.trainable_variables, model.non_trainable_variables, optimizer.variables
        results, *new = pure(*map(_values, kinds), *arrays)
        for variables, values in zip(kinds, new, strict=True):
            assign(variables, values)
        return results

    return step


def gradients(model: keras.Model, objective: Callable, follow: Callable | None, training: bool) -> Callable:
    """As models.updates.gradients."""
    pure = jax.jit(_differentiate(model, objective, follow, training, False))

    def run(*arrays):
        frozen = model.non_trainable_variables
        gradients, states, *results = pure(_values(model.trainable_variables), _values(frozen), *arrays)
        assign(frozen, states)
        return gradients, *results

    return run


def apply(optimizer: keras.optimizers.Optimizer, variables: list) -> Callable:
    """As models.updates.apply."""
    pure = jax.jit(optimizer.stateless_apply)

    def run(*gradients):
        trainable, state = pure(_values(optimizer.variables), list(gradients), _values(variables))
        assign(variables, trainable)
        assign(optimizer.variables, state)

    return run


def blend(variables: list, averages: list) -> Callable:
    """As models.updates.blend."""

    @jax.jit
    def mix(share, values, means):
        return [(1 - share) * mean + share * value for value, mean in zip(values, means, strict=True)]

    def run(share):
        assign(averages, mix(share, _values(variables), _values(averages)))

    return run


def _differentiate(model, objective, follow, training, regularise):
    """``run(trainable, frozen, x, *arrays) -> (gradients of the weights, frozen, mean value, extra[, followed])``."""

    def run(trainable, frozen, x, *arrays):
        def total(trainable, x):
            call = Call(model, trainable, frozen, training)
            values, extra = objective(call, x, *arrays)
            value = keras.ops.mean(values)
            regular = sum(call.losses) if regularise else 0.0
            return value + regular, (call.frozen, value, extra)

        if follow is None:
            (_, results), gradients = jax.value_and_grad(total, has_aux=True)(trainable, x)
            return gradients, *results
        (_, results), (gradients, by_x) = jax.value_and_grad(total, (0, 1), has_aux=True)(trainable, x)
        return gradients, *results, follow(x, by_x, *arrays)

    return run


def _values(variables):
    return [variable.value for variable in variables]
