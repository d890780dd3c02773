"""Compiled updates of a model's weights: gradients of an objective, and one step along them."""

import functools

import keras
import numpy

from models.compute import BACKEND, ON_ACCELERATOR, Call, assign, values_of

if BACKEND == "jax":
    import jax
else:
    import tensorflow


def update(model, optimizer, loss, *, training=True, restore=None, regularise=True):
    """Compile one training update: ``step(x, *targets) -> (mean loss, outputs)``.

    loss: ``loss(outputs, *targets)`` -> one value an example; the rest as in `descend`.
    """

    def objective(call, x, *targets):
        outputs = call(x)
        return loss(outputs, *targets), outputs

    return descend(model, optimizer, objective, training=training, restore=restore, regularise=regularise)


def descend(model, optimizer, objective, *, follow=None, training=True, restore=None, regularise=True):
    """Compile one training update: ``step(x, *arrays) -> (mean value, extra)``.

    objective: ``objective(call, x, *arrays) -> (values, extra)``, one value an example, with any number of passes
    ``call(images)`` through the model; regularise: add the model's own regularisation.
    follow: ``follow(x, slope, *arrays)`` of x and d mean value / dx, from the same backward pass and the weights
    before the update; its result is then the step's third.
    training: False keeps dropout off and batch-norm statistics as they are.
    restore: list of (variable, mask): after each step every entry outside the boolean mask is put back to the
        value it has now, bit for bit.
    """
    variables = model.trainable_variables
    optimizer.build(variables)
    keep = [
        (
            next(index for index, variable in enumerate(variables) if variable is target),
            keras.ops.convert_to_tensor(mask),
            keras.ops.convert_to_tensor(numpy.array(keras.ops.convert_to_numpy(target))),
        )
        for target, mask in restore or ()
    ]
    differentiate = _differentiate(model, objective, follow, training, regularise)
    step = _jax_descend if BACKEND == "jax" else _tensorflow_descend
    return step(model, variables, optimizer, differentiate, keep)


def slopes(model, objective, *, follow=None, training=True):
    """Compile the gradients that `descend` would follow: ``run(x, *arrays) -> (list, mean value, extra[, followed])``.

    The list has d mean value / d w of each of model.trainable_variables.
    """
    differentiate = _differentiate(model, objective, follow, training, False)
    if BACKEND == "jax":
        pure = jax.jit(differentiate)

        def run(*arrays):
            frozen = model.non_trainable_variables
            found, moved, *results = pure(values_of(model.trainable_variables), values_of(frozen), *arrays)
            assign(frozen, moved)
            return found, *results

        return run

    graph = tensorflow.function(differentiate, jit_compile=ON_ACCELERATOR, reduce_retracing=True)
    return lambda *arrays: graph(*(tensorflow.convert_to_tensor(array) for array in arrays))


def apply(optimizer, variables):
    """Compile an update along given gradients, one a variable: ``run(*gradients)``."""
    optimizer.build(variables)
    if BACKEND == "jax":
        pure = jax.jit(lambda state, found, trainable: optimizer.stateless_apply(state, found, trainable))

        def run(*found):
            trainable, state = pure(values_of(optimizer.variables), list(found), values_of(variables))
            assign(variables, trainable)
            assign(optimizer.variables, state)

        return run
    return tensorflow.function(
        lambda *found: optimizer.apply(found, variables), jit_compile=ON_ACCELERATOR, reduce_retracing=True
    )


def _differentiate(model, objective, follow, training, regularise):
    """The traceable gradients of an update.

    TensorFlow: ``run(x, *arrays) -> (slopes, mean value, extra[, followed])``; jax, where state is passed:
    ``run(trainable, frozen, x, *arrays) -> (slopes, frozen, mean value, extra[, followed])``.
    """
    if BACKEND == "jax":

        def run(trainable, frozen, x, *arrays):
            def total(trainable, x):
                call = Call(model, trainable, frozen, training)
                values, extra = objective(call, x, *arrays)
                value = keras.ops.mean(values)
                regular = sum(call.losses) if regularise else 0.0
                return value + regular, (call.frozen, value, extra)

            if follow is None:
                (_, results), found = jax.value_and_grad(total, has_aux=True)(trainable, x)
                return found, *results
            (_, results), (found, slope) = jax.value_and_grad(total, (0, 1), has_aux=True)(trainable, x)
            return found, *results, follow(x, slope, *arrays)

        return run

    variables = model.trainable_variables

    def run(x, *arrays):
        sources = values_of(variables) if follow is None else [*values_of(variables), x]
        with tensorflow.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(sources)
            values, extra = objective(functools.partial(model, training=training), x, *arrays)
            value = keras.ops.mean(values)
            total = value + sum(model.losses) if regularise else value
        found = tape.gradient(total, sources, unconnected_gradients="zero")
        if follow is None:
            return found, value, extra
        return found[:-1], value, extra, follow(x, found[-1], *arrays)

    return run


def _tensorflow_descend(model, variables, optimizer, differentiate, keep):
    @tensorflow.function(jit_compile=ON_ACCELERATOR, reduce_retracing=True)
    def graph(*arrays):
        found, *results = differentiate(*arrays)
        optimizer.apply(found, variables)
        for index, mask, original in keep:
            variables[index].assign(keras.ops.where(mask, variables[index], original))
        return tuple(results)

    return lambda *arrays: graph(*(tensorflow.convert_to_tensor(array) for array in arrays))


def _jax_descend(model, variables, optimizer, differentiate, keep):
    @jax.jit
    def pure(trainable, frozen, state, *arrays):
        found, frozen, *results = differentiate(trainable, frozen, *arrays)
        trainable, state = optimizer.stateless_apply(state, found, trainable)
        trainable = list(trainable)
        for index, mask, original in keep:
            trainable[index] = keras.ops.where(mask, trainable[index], original)
        return tuple(results), trainable, frozen, state

    def step(*arrays):
        kinds = variables, model.non_trainable_variables, optimizer.variables
        results, *new = pure(*map(values_of, kinds), *arrays)
        for one, values in zip(kinds, new, strict=True):
            assign(one, values)
        return results

    return step
