"""The one fine-tuning loop: any model, any targets, any per-example loss, with layers frozen or entries masked."""

import contextlib

import keras
import numpy

import data
from data import files
from models import compute, updates
from train.seeds import seed_dropout, stream

OPTIMIZERS = {"adam": keras.optimizers.Adam, "rmsprop": keras.optimizers.RMSprop}


def fine_tune(
    model, x, targets, *, loss, learning_rate, batch_size, seed, steps=None, epochs=None, training=True, restore=None,
    regularise=True, reset_optimizer=False, optimizer="adam", progress=None,
):  # fmt: skip
    """Tune `model` in place on ``loss(outputs, targets)`` (one value an example) with Adam, or "rmsprop".

    x: images (N, ...), uint8 or float32 in [0, 1]; targets: (N, ...), or a tuple of such for a loss of several; all
    indexable by row and possibly lazy (an array that is not NumPy's is asked for ascending rows, each once).
    Give either `steps`, each one batch drawn with replacement, or `epochs`, each a permutation of all rows.
    training: False keeps dropout off and batch-norm statistics as they are; restore: (variable, mask) pairs as
    in updates.supervised_step; reset_optimizer: forget Adam's moments before every step.

    Returns the mean loss of each step. Raises ArithmeticError when a loss is not finite.
    """
    if (steps is None) == (epochs is None):
        raise ValueError(f"steps={steps} and epochs={epochs}: give exactly one of the two")
    if not (learning_rate > 0 and numpy.isfinite(learning_rate)) or min(batch_size, steps or epochs or 0) < 1:
        raise ValueError(
            f"learning_rate={learning_rate}, batch_size={batch_size}, steps={steps}, epochs={epochs}: expected a "
            "finite positive rate and at least 1 of the others"
        )
    if optimizer not in OPTIMIZERS:
        raise ValueError(f"optimizer is {optimizer!r}, expected one of {', '.join(OPTIMIZERS)}")
    targets = targets if isinstance(targets, tuple) else (targets,)
    if any(len(x) != len(target) for target in targets) or not len(x):
        found = " and ".join(str(len(target)) for target in targets)
        raise ValueError(f"{len(x)} images but {found} targets; expected one target an image, and at least one")
    step, optimizer, fresh = _compiled(model, loss, training, restore or [], regularise, optimizer)()
    compute.assign(optimizer.variables, fresh)
    optimizer.learning_rate = learning_rate
    fresh = _values(optimizer.variables)
    seed_dropout(model, stream(seed, "dropout of tuning"))
    batches = (
        _draws(len(x), batch_size, steps, seed) if epochs is None else _permutations(len(x), batch_size, epochs, seed)
    )
    losses = []
    for rows in batches:
        if reset_optimizer:
            compute.assign(optimizer.variables, fresh)
        value, _ = step(data.to_unit(_take(x, rows)), *(_take(target, rows) for target in targets))
        losses.append(float(value))
        if not numpy.isfinite(losses[-1]):
            raise ArithmeticError(
                f"the loss became {losses[-1]} in step {len(losses)}: use a learning rate below {learning_rate}"
            )
        if progress is not None:
            progress(len(losses), steps or epochs * -(-len(x) // batch_size), f"loss {losses[-1]:.4g}")
    if not all(numpy.isfinite(values).all() for values in _values(model.trainable_variables)):
        raise ArithmeticError(f"the last step left weights that are not finite: use a rate below {learning_rate}")
    return losses


@contextlib.contextmanager
def frozen_below(model, layer):
    """Freeze every layer before `layer` (a name; None freezes nothing) while the context lasts."""
    names = [one.name for one in model.layers]
    if layer is not None and layer not in names:
        raise ValueError(f"{model.name} has no layer {layer!r}; its layers: {', '.join(names)}")
    before = [one.trainable for one in model.layers]
    try:
        for one in model.layers[: names.index(layer) if layer else 0]:
            one.trainable = False
        yield
    finally:
        for one, trainable in zip(model.layers, before, strict=True):
            one.trainable = trainable


def _compiled(model, loss, training, restore, regularise, name):
    """A function that gives (step, optimizer, the optimizer's first state): compiled anew only where anything that
    enters the compiled graph differs from the model's last fine-tuning, so that a grid of rates compiles once.

    A function, since Keras writes an optimizer that it finds among a model's attributes into its weights files.
    """
    key = (
        name,
        loss,
        training,
        regularise,
        tuple(variable.path for variable in model.trainable_variables),
        tuple((target.path, files.fingerprint(mask, *_values([target]))) for target, mask in restore),
    )
    last, made = model.__dict__.get("__fine_tuning", (None, None))
    if last != key:
        optimizer = OPTIMIZERS[name]()
        step = updates.supervised_step(
            model, optimizer, loss, training=training, restore=restore, regularise=regularise
        )
        fresh = _values(optimizer.variables)

        def made():
            return step, optimizer, fresh

        model.__dict__["__fine_tuning"] = key, made
    return made


def _values(variables):
    return [numpy.array(keras.ops.convert_to_numpy(variable)) for variable in variables]


def _draws(count, batch_size, steps, seed):
    generator = stream(seed, "batches of tuning")
    return (generator.integers(count, size=batch_size) for _ in range(steps))


def _permutations(count, batch_size, epochs, seed):
    for epoch in range(epochs):
        order = stream(seed, "order of tuning", epoch).permutation(count)
        for start in range(0, count, batch_size):
            yield order[start : start + batch_size]


def _take(array, rows):
    """Rows in any order, with repeats, also of an HDF5 dataset (which wants them sorted and once)."""
    if isinstance(array, numpy.ndarray):
        return array[rows]
    unique, inverse = numpy.unique(rows, return_inverse=True)
    return array[unique][inverse]
