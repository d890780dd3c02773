"""Compiled updates of a model's weights: gradients of an objective, and one step along them."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy

from models import compute


def supervised_step(
    model: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    loss: Callable,
    *,
    training: bool = True,
    restore: list | None = None,
    regularise: bool = True,
) -> Callable:
    """Compile a training update: ``step(x, *targets) -> (mean loss, outputs)``.

    model, optimizer: what each step changes.
    loss: ``loss(outputs, *targets)`` -> a value for each example.
    Other arguments as `train_step`.
    """

    def objective(call, x, *targets):
        outputs = call(x)
        return loss(outputs, *targets), outputs

    return train_step(model, optimizer, objective, training=training, restore=restore, regularise=regularise)


def train_step(
    model: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    objective: Callable,
    *,
    follow: Callable | None = None,
    training: bool = True,
    restore: list | None = None,
    regularise: bool = True,
    displace: Callable | None = None,
) -> Callable:
    """Compile a training update: ``step(x, *arrays) -> (mean value, extra[, followed])``.

    objective: ``objective(call, x, *arrays) -> (values, extra)``, a value for each example, from any number of passes
        ``call(images)`` through the model.
    follow: ``follow(x, gradient, *arrays)``, called with d mean value / dx from the same backward pass, at the weights
        before the update; its result is the third result of the step.
    training: False turns dropout off and leaves batch-norm statistics unchanged.
    restore: list of (variable, mask): after each step, entries outside the boolean mask are set back to the value that
        they have now, bit for bit.
    regularise: add the model's own regularisation.
    displace: ``displace(gradients, weights)`` -> a displacement for each of model.trainable_variables, from the
        gradients at the weights in a first pass, which leaves all other variables (batch-norm statistics, random
        numbers) unchanged. The update is that of the displaced weights, from which the displacement is then taken away.
    """
    variables = model.trainable_variables
    optimizer.build(variables)
    keep = [
        (
            next(place for place, variable in enumerate(variables) if variable is target),
            keras.ops.convert_to_tensor(mask),
            keras.ops.convert_to_tensor(numpy.array(keras.ops.convert_to_numpy(target))),
        )
        for target, mask in restore or ()
    ]
    return compute.backend.train_step(model, optimizer, objective, follow, training, regularise, keep, displace)


def gradients(
    model: keras.Model, objective: Callable, *, follow: Callable | None = None, training: bool = True
) -> Callable:
    """Compile the gradients of `train_step`: ``run(x, *arrays) -> (gradients, mean value, extra[, followed])``.

    gradients: list of d mean value / d w for each of model.trainable_variables.
    objective, follow, training: as of `train_step`.
    """
    return compute.backend.gradients(model, objective, follow, training)


def blend(variables: list, averages: list) -> Callable:
    """Compile ``run(share)``: each of `averages` becomes (1 - share) of itself and share of its variable.

    variables, averages: two lists of variables of equal shapes.
    """
    return compute.backend.blend(variables, averages)


def apply(optimizer: keras.optimizers.Optimizer, variables: list) -> Callable:
    """Compile an update of `variables` by gradients, one for each variable: ``run(*gradients)``."""
    optimizer.build(variables)
    return compute.backend.apply(optimizer, variables)
