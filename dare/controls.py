"""Controls for Empirical Robustness: simple weight changes and older checkpoints, scored as DARE is.

Every control makes a list of weight arrays in the order of ``model.get_weights()``. None is in the papers [D].
`checkpoint`, `checkpoints`, `swa` and `other-seed` involve no tuning.
"""

from __future__ import annotations  # its types load no library (pipeline/late.py)

import dataclasses
from collections.abc import Callable
from typing import Any

import keras
import numpy

import data
import models
from dare import get_ats
from models import compute, perturb
from train import batch_norm
from train import fine_tune as tuning
from train.checkpoints import Checkpoints
from train.history import History
from train.seeds import stream


@dataclasses.dataclass(frozen=True, kw_only=True)
class Context:
    """What a control may use.

    model: the final model, for its architecture; a control may leave other weights in it.
    original: the weights of the final model.
    history: its train.history.History.
    x_train: images that batch-norm statistics are measured on.
    sample: images that a change of logits is measured on.
    x_validation, y_validation: images and labels that are tuned on.
    tuned, budget: weights of a repeat of DARE, and its learning rate, steps and batch size.
    other: history of a training from another seed.
    epoch: the epoch of a checkpoint.
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
    """One control.

    make: Context -> weights.
    reads_dare: whether it needs DARE's tuned weights, with one model per repeat.
    epochs: history -> epochs, with one model per epoch (None: one model).
    """

    title: str
    make: Callable
    reads_dare: bool = False
    epochs: Callable | None = None


def relative_change(original: list, tuned: list) -> float:
    """L2 norm of the change of weights over the L2 norm of the original weights, all arrays together.

    original, tuned: weight sets, as from model.get_weights().
    """
    pairs = zip(original, tuned, strict=True)
    change = sum(float(numpy.sum(numpy.square(after - before, dtype="float64"))) for before, after in pairs)
    size = sum(float(numpy.sum(numpy.square(before, dtype="float64"))) for before in original)
    return (change / size) ** 0.5 if size else 0.0


def weight_noise(original: list, tuned: list, *, seed: int, scale: float = 1.0) -> list:
    """`original` plus Gaussian noise on the entries that tuning changed; each array's noise has the norm of its change.

    original, tuned: weight sets, as from model.get_weights(); their difference is the change.
    seed: of the noise.
    scale: factor on that norm.
    """
    generator = stream(seed, "weight noise")
    noisy = []
    for before, after in zip(original, tuned, strict=True):
        change = after - before
        noise = generator.standard_normal(before.shape, "float32") * (change != 0)
        size = numpy.linalg.norm(noise)
        factor = scale * numpy.linalg.norm(change) / size if size else 0.0
        noisy.append((before + factor * noise).astype(before.dtype))
    return noisy


def logit_noise(
    model: keras.Model, original: list, tuned: list, x: numpy.ndarray, *, seed: int, tolerance: float = 0.02
) -> list:
    """weight_noise, scaled so that the mean L2 change of logits on the images `x` equals that of `tuned`.

    The logarithm of the scale is bisected within [2^-10, 2^10] until the changes agree to the relative `tolerance`.
    model: for its architecture; it keeps its weights.
    original, tuned, seed: as of weight_noise.
    Raises ArithmeticError where no scale agrees.
    """

    def change(weights):
        model.set_weights(weights)
        logits = compute.predict(compute.forward(model), x, prepare=data.to_unit)
        return float(numpy.linalg.norm(logits - reference, axis=1).mean())

    with models.keeping_weights(model):
        model.set_weights(original)
        reference = compute.predict(compute.forward(model), x, prepare=data.to_unit)
        target = change(tuned)
        low, high = -10.0, 10.0
        for _ in range(30):
            middle = (low + high) / 2
            noisy = weight_noise(original, tuned, seed=seed, scale=2.0**middle)
            logit_change = change(noisy)
            if abs(logit_change - target) <= tolerance * target:
                return noisy
            low, high = (middle, high) if logit_change < target else (low, middle)
        raise ArithmeticError(
            f"noise changes the logits by {logit_change:.3g}, not by the {target:.3g} of tuning, at any scale"
        )


def negated(original: list, tuned: list) -> list:
    """`original` minus the change to `tuned`: the same distance in weight space, in the opposite direction."""
    return [(before - (after - before)).astype(before.dtype) for before, after in zip(original, tuned, strict=True)]


def tune_clean(
    model: keras.Model,
    x: numpy.ndarray,
    y: numpy.ndarray,
    *,
    steps: int,
    batch_size: int,
    learning_rate: float,
    seed: int,
) -> list:
    """Continue training on clean images and labels, in place: cross-entropy, dropout off, batch norm frozen.

    x: images (N, H, W, C), uint8 or float32 in [0, 1]; y: integer labels (N,).
    steps, batch_size, learning_rate, seed: as of train.fine_tune.
    Returns the weights.
    """
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


def older_epoch(history: History | Checkpoints) -> int:
    """The epoch of the control `checkpoint`: three fifths of the training."""
    return max(1, round(0.6 * history.last))


def checkpoint(model: keras.Model, history: History | Checkpoints, *, epoch: int | None = None) -> list:
    """The weights of an older `epoch` of a history (default: older_epoch); `model` has them then."""
    history.load_weights(model, epoch or older_epoch(history))
    return model.get_weights()


def other_seed(model: keras.Model, other_history: History | Checkpoints) -> list:
    """The final weights of a training from another seed.

    other_history: of that training.
    This model keeps its own preprocessing, with the statistics of its own half of the data [D].
    Raises ValueError where the architectures differ.
    """
    other_history.load_weights(model, other_history.last)
    return model.get_weights()


def swa(
    model: keras.Model, history: History | Checkpoints, x: numpy.ndarray, *, epochs: list[int] | None = None
) -> list:
    """The average of the weights of several epochs, with batch-norm statistics measured again on the images `x`.

    history: its stored epochs; `model` has the average then.
    epochs: default E/2 .. E of E epochs. Raises FileNotFoundError where the weights of an epoch were deleted.
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
        make=lambda context: weight_noise(context.original, context.tuned, seed=context.seed),
        reads_dare=True,
    ),
    "logit-noise": Control(
        title="the same noise, scaled to DARE's mean change of logits",
        make=lambda context: logit_noise(
            context.model, context.original, context.tuned, context.sample, seed=context.seed
        ),
        reads_dare=True,
    ),
    "negated": Control(
        title="DARE's change of weights with its sign turned",
        make=lambda context: negated(context.original, context.tuned),
        reads_dare=True,
    ),
    "tune-clean": Control(
        title="as many training steps on clean x_validation",
        make=lambda context: tune_clean(
            context.model, context.x_validation, context.y_validation, seed=context.seed, **context.budget
        ),
        reads_dare=True,
    ),
    "checkpoint": Control(
        title="one older checkpoint, untouched",
        make=lambda context: checkpoint(context.model, context.history, epoch=context.epoch),
        epochs=lambda history: [older_epoch(history)],
    ),
    "checkpoints": Control(
        title="every mined checkpoint, untouched, a value each",
        make=lambda context: checkpoint(context.model, context.history, epoch=context.epoch),
        epochs=get_ats.second_half,
    ),
    "swa": Control(
        title="average of the second half of the checkpoints",
        make=lambda context: swa(context.model, context.history, context.x_train),
    ),
    "other-seed": Control(
        title="final model of the same recipe from another seed",
        make=lambda context: other_seed(context.model, context.other),
    ),
}
TITLES = {name: control.title for name, control in CONTROLS.items()}
