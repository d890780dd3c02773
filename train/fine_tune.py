"""The fine-tuning loop: any model, targets and per-example loss, with frozen layers or masked weights."""

from __future__ import annotations

import contextlib
import math
import numbers
from collections.abc import Callable, Iterator

import keras
import numpy

import data
from data import files
from models import compute, updates
from train.diverged import Diverged
from train.seeds import seed_dropout, stream

OPTIMIZERS = {"adam": keras.optimizers.Adam, "rmsprop": keras.optimizers.RMSprop}


def fine_tune(
    model: keras.Model,
    x: numpy.ndarray,
    targets: numpy.ndarray | tuple,
    *,
    loss: Callable,
    learning_rate: float,
    batch_size: int,
    seed: int,
    steps: int | None = None,
    epochs: int | None = None,
    training: bool = True,
    restore: list | None = None,
    regularise: bool = True,
    reset_optimizer: bool = False,
    optimizer: str = "adam",
    progress: Callable | None = None,
) -> list[float]:
    """Fine-tune `model` in place; returns the mean loss of each step.

    x: images (N, ...), uint8 or float32 in [0, 1].
    targets: (N, ...), or a tuple of such arrays. x and targets may be lazy: only ascending rows are read, each once.
    loss: ``loss(outputs, *targets)`` -> a value for each example.
    learning_rate: of the optimizer, the same in every step.
    batch_size: images of a step.
    seed: of the batches and of dropout.
    steps: batches, each drawn with replacement; or instead epochs: permutations of all rows.
    training: False turns dropout off and leaves batch-norm statistics unchanged.
    restore, regularise: as in updates.train_step.
    reset_optimizer: reset the optimizer's state before every step.
    optimizer: name in OPTIMIZERS.
    progress: called as progress(done, total, note).
    Raises ValueError for arguments out of range, and Diverged if a loss or a weight is not finite.
    """
    targets = targets if isinstance(targets, tuple) else (targets,)
    _check(x, targets, learning_rate, batch_size, steps, epochs, optimizer)

    # 1. The compiled update, with a fresh optimizer.
    step, optimizer, fresh = _compiled(model, loss, training, restore or [], regularise, optimizer)()
    compute.assign(optimizer.variables, fresh)
    optimizer.learning_rate = learning_rate
    fresh = _values(optimizer.variables)

    # 2. The batches.
    seed_dropout(model, stream(seed, "dropout of tuning"))
    batches = (
        _draws(len(x), batch_size, steps, seed) if epochs is None else _permutations(len(x), batch_size, epochs, seed)
    )

    # 3. Update, batch by batch.
    losses = []
    for rows in batches:
        if reset_optimizer:
            compute.assign(optimizer.variables, fresh)
        value, _ = step(data.to_unit(_take(x, rows)), *(_take(target, rows) for target in targets))
        losses.append(float(value))
        if not numpy.isfinite(losses[-1]):
            raise Diverged(
                f"the loss became {losses[-1]} in step {len(losses)}: use a learning rate below {learning_rate}"
            )
        if progress is not None:
            progress(len(losses), steps or epochs * -(-len(x) // batch_size), f"loss {losses[-1]:.4g}")
    if not all(numpy.isfinite(values).all() for values in _values(model.trainable_variables)):
        raise Diverged(f"the last step left weights that are not finite: use a rate below {learning_rate}")
    return losses


def _check(x, targets, learning_rate, batch_size, steps, epochs, optimizer):
    """Raise ValueError for arguments that `fine_tune` does not admit. targets: a tuple."""
    if (steps is None) == (epochs is None):
        raise ValueError(f"steps={steps} and epochs={epochs}: give exactly one of the two")
    counts = batch_size, steps if epochs is None else epochs
    whole = all(isinstance(count, numbers.Integral) and count >= 1 for count in counts)
    if not whole or not isinstance(learning_rate, numbers.Real) or not 0 < learning_rate < math.inf:
        raise ValueError(
            f"learning_rate={learning_rate}, batch_size={batch_size}, steps={steps}, epochs={epochs}: expected a "
            "finite positive rate and whole numbers of at least 1"
        )
    if optimizer not in OPTIMIZERS:
        raise ValueError(f"optimizer is {optimizer!r}, expected one of {', '.join(OPTIMIZERS)}")
    if any(len(x) != len(target) for target in targets) or not len(x):
        counts = " and ".join(str(len(target)) for target in targets)
        raise ValueError(f"{len(x)} images but {counts} targets; expected one target an image, and at least one")


@contextlib.contextmanager
def frozen_below(model: keras.Model, layer: str | None) -> Iterator[None]:
    """Within the context, freeze all layers of `model` before the layer named `layer` (None: freeze nothing).

    Raises ValueError for a name that no layer has.
    """
    names = [layer.name for layer in model.layers]
    if layer is not None and layer not in names:
        raise ValueError(f"{model.name} has no layer {layer!r}; its layers: {', '.join(names)}")
    before = [layer.trainable for layer in model.layers]
    try:
        for frozen in model.layers[: names.index(layer) if layer else 0]:
            frozen.trainable = False
        yield
    finally:
        for restored, trainable in zip(model.layers, before, strict=True):
            restored.trainable = trainable


def _compiled(model, loss, training, restore, regularise, name):
    """A function that returns (step, optimizer, the optimizer's first state).

    It is compiled again only if something in the compiled graph differs from the model's last fine-tuning, so that a
    grid of learning rates compiles once. The cache holds a function because Keras writes an optimizer among a model's
    attributes into weights files.
    """
    key = (
        name,
        loss,
        training,
        regularise,
        tuple(variable.path for variable in model.trainable_variables),
        tuple((target.path, files.fingerprint(mask, *_values([target]))) for target, mask in restore),
    )
    last, compiled = model.__dict__.get("__fine_tuning", (None, None))
    if last != key:
        optimizer = OPTIMIZERS[name]()
        step = updates.supervised_step(
            model, optimizer, loss, training=training, restore=restore, regularise=regularise
        )
        fresh = _values(optimizer.variables)

        def compiled():
            return step, optimizer, fresh

        model.__dict__["__fine_tuning"] = key, compiled
    return compiled


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
    """Rows in any order, with repeats, also of an HDF5 dataset (which reads ascending rows, each once)."""
    if isinstance(array, numpy.ndarray):
        return array[rows]
    unique, inverse = numpy.unique(rows, return_inverse=True)
    return array[unique][inverse]
