"""Compiled updates of a model's weights: gradients of an objective, and one step along them."""

import keras
import numpy

from models import compute


def supervised_step(model, optimizer, loss, *, training=True, restore=None, regularise=True):
    """Compile one training update: ``step(x, *targets) -> (mean loss, outputs)``.

    loss: ``loss(outputs, *targets)`` -> one value an example; the rest as in `train_step`.
    """

    def objective(call, x, *targets):
        outputs = call(x)
        return loss(outputs, *targets), outputs

    return train_step(model, optimizer, objective, training=training, restore=restore, regularise=regularise)


def train_step(model, optimizer, objective, *, follow=None, training=True, restore=None, regularise=True):
    """Compile one training update: ``step(x, *arrays) -> (mean value, extra)``.

    objective: ``objective(call, x, *arrays) -> (values, extra)``, one value an example, with any number of passes
    ``call(images)`` through the model; regularise: add the model's own regularisation.
    follow: ``follow(x, gradient, *arrays)`` of x and d mean value / dx, from the same backward pass and the weights
    before the update; its result is then the step's third.
    training: False keeps dropout off and batch-norm statistics as they are.
    restore: list of (variable, mask): after each step every entry outside the boolean mask is put back to the
        value it has now, bit for bit.
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
    return compute.backend.train_step(model, optimizer, objective, follow, training, regularise, keep)


def gradients(model, objective, *, follow=None, training=True):
    """Compile the gradients of `train_step`: ``run(x, *arrays) -> (list, mean value, extra[, followed])``.

    The list has d mean value / d w of each of model.trainable_variables.
    """
    return compute.backend.gradients(model, objective, follow, training)


def apply(optimizer, variables):
    """Compile an update along given gradients, one a variable: ``run(*gradients)``."""
    optimizer.build(variables)
    return compute.backend.apply(optimizer, variables)
