"""Controls without which Empirical Robustness cannot be read: what plain weight changes and old checkpoints score.

Every control gives a list of weight arrays in the order of ``model.get_weights()``. None is in the papers [D].
`checkpoint`, `checkpoints`, `swa` and `other-seed` are tuned on nothing.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import keras
import numpy

import data
from dare import get_ats
from models import compute, perturb
from train import batch_norm
from train import fine_tune as tuning
from train.seeds import stream


@dataclasses.dataclass(frozen=True, kw_only=True)
class Given:
    """What a control is made of: the final model, which lends its architecture, and its weights and history; images.

    x_train: those that measure batch-norm statistics; sample: those that a change of logits is measured on;
    x_validation, y_validation: those that are tuned on. Of a repeat of DARE: tuned, its weights; budget, its learning
    rate, steps and batch size. other: the history of a training from another seed; epoch: whose checkpoint it is.
    """

    model: keras.Model
    original: list = dataclasses.field(repr=False)
    history: Any
    x_train: numpy.ndarray = dataclasses.field(repr=False)
    sample: numpy.ndarray = dataclasses.field(repr=False)
    x_validation: numpy.ndarray = dataclasses.field(repr=False)
    y_validation: numpy.ndarray = dataclasses.field(repr=False)
    tuned: list | None = dataclasses.field(repr=False, default=None)
    budget: dict = dataclasses.field(default_factory=dict)
    other: Any = None
    epoch: int | None = None
    seed: int = 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Control:
    """make: Given -> weights; reads_dare: it compares with DARE's repeats, and has a model for each; epochs: history ->
    the epochs of which it has a model each."""

    title: str
    make: Callable
    reads_dare: bool = False
    epochs: Callable | None = None


def relative_change(original, tuned):
    """The size of a change of weights: its L2 norm over the original's, all arrays together."""
    pairs = zip(original, tuned, strict=True)
    change = sum(float(numpy.sum(numpy.square(after - before, dtype="float64"))) for before, after in pairs)
    size = sum(float(numpy.sum(numpy.square(before, dtype="float64"))) for before in original)
    return (change / size) ** 0.5 if size else 0.0


def weight_noise(original, tuned, *, seed, scale=1.0):
    """`original` plus Gaussian noise on the entries that tuning changed, with each array's norm of that change."""
    generator = stream(seed, "weight noise")
    noisy = []
    for before, after in zip(original, tuned, strict=True):
        change = after - before
        noise = generator.standard_normal(before.shape, "float32") * (change != 0)
        size = numpy.linalg.norm(noise)
        factor = scale * numpy.linalg.norm(change) / size if size else 0.0
        noisy.append((before + factor * noise).astype(before.dtype))
    return noisy


def logit_noise(model, original, tuned, x, *, seed, tolerance=0.02):
    """weight_noise scaled until the mean L2 change of logits on the images `x` is that of `tuned`.

    The scale is bisected on a logarithm within [2^-10, 2^10] until the change agrees to the relative `tolerance`.
    `model` lends its architecture and gets its weights back. Raises ArithmeticError where no scale agrees.
    """
    kept = model.get_weights()

    def change(weights):
        model.set_weights(weights)
        logits = compute.predict(compute.forward(model), x, prepare=data.to_unit)
        return float(numpy.linalg.norm(logits - reference, axis=1).mean())

    try:
        model.set_weights(original)
        reference = compute.predict(compute.forward(model), x, prepare=data.to_unit)
        wanted = change(tuned)
        low, high = -10.0, 10.0
        for _ in range(30):
            middle = (low + high) / 2
            noisy = weight_noise(original, tuned, seed=seed, scale=2.0**middle)
            found = change(noisy)
            if abs(found - wanted) <= tolerance * wanted:
                return noisy
            low, high = (middle, high) if found < wanted else (low, middle)
        raise ArithmeticError(
            f"noise changes the logits by {found:.3g}, not by the {wanted:.3g} of tuning, at any scale"
        )
    finally:
        model.set_weights(kept)


def negated(original, tuned):
    """`original` minus what tuning added to it: as far in weight space, the other way."""
    return [(before - (after - before)).astype(before.dtype) for before, after in zip(original, tuned, strict=True)]


def tune_clean(model, x, y, *, steps, batch_size, learning_rate, seed):
    """Continue training on clean images and labels, in place: cross-entropy, dropout off, batch norm frozen."""
    tuning.fine_tune(
        model,
        x,
        y.astype("int32"),
        loss=perturb.cross_entropy,
        steps=steps,
        batch_size=batch_size,
        learning_rate=learning_rate,
        seed=seed,
        training=False,
    )
    return model.get_weights()


def older_epoch(history):
    """The epoch of the control `checkpoint`: the one at three fifths of the run."""
    return max(1, round(0.6 * history.last))


def checkpoint(model, history, *, epoch=None):
    """The weights of one older epoch (default: older_epoch)."""
    history.load_weights(model, epoch or older_epoch(history))
    return model.get_weights()


def other_seed(model, other):
    """The weights of the final epoch of `other`, the history of a training from another seed.

    They are put behind this model's own preprocessing, whose statistics are of its own seed's half of the data [D].
    Raises ValueError where the architectures differ.
    """
    other.load_weights(model, other.last)
    return model.get_weights()


def swa(model, history, x, *, epochs=None):
    """The average of the weights of epochs E/2 .. E, with batch-norm statistics measured anew on the images `x`.

    Raises FileNotFoundError where retention has dropped one of them.
    """
    epochs = [epoch for epoch in history.epochs if 2 * epoch >= history.last] if epochs is None else epochs
    total = None
    for epoch in epochs:
        history.load_weights(model, epoch)
        weights = [numpy.asarray(array, "float64") for array in model.get_weights()]
        total = weights if total is None else [sum_ + array for sum_, array in zip(total, weights, strict=True)]
    before = model.get_weights()
    model.set_weights([(sum_ / len(epochs)).astype(array.dtype) for sum_, array in zip(total, before, strict=True)])
    batch_norm.reestimate(model, x)
    return model.get_weights()


CONTROLS = {
    "weight-noise": Control(
        title="Gaussian noise of DARE's own size, per layer",
        make=lambda given: weight_noise(given.original, given.tuned, seed=given.seed),
        reads_dare=True,
    ),
    "logit-noise": Control(
        title="the same noise, scaled to DARE's mean change of logits",
        make=lambda given: logit_noise(given.model, given.original, given.tuned, given.sample, seed=given.seed),
        reads_dare=True,
    ),
    "negated": Control(
        title="DARE's change of weights with its sign turned",
        make=lambda given: negated(given.original, given.tuned),
        reads_dare=True,
    ),
    "tune-clean": Control(
        title="as many training steps on clean x_validation",
        make=lambda given: tune_clean(
            given.model, given.x_validation, given.y_validation, seed=given.seed, **given.budget
        ),
        reads_dare=True,
    ),
    "checkpoint": Control(
        title="one older checkpoint, untouched",
        make=lambda given: checkpoint(given.model, given.history, epoch=given.epoch),
        epochs=lambda history: [older_epoch(history)],
    ),
    "checkpoints": Control(
        title="every mined checkpoint, untouched, a value each",
        make=lambda given: checkpoint(given.model, given.history, epoch=given.epoch),
        epochs=get_ats.second_half,
    ),
    "swa": Control(
        title="average of the second half of the checkpoints",
        make=lambda given: swa(given.model, given.history, given.x_train),
    ),
    "other-seed": Control(
        title="final model of the same recipe from another seed",
        make=lambda given: other_seed(given.model, given.other),
    ),
}
TITLES = {name: control.title for name, control in CONTROLS.items()}
