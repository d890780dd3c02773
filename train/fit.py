"""Standard training by the published recipe of DARE's source models, recording every epoch.

An epoch is a pure function of (weights, optimizer state, seed, epoch number): seed and epoch number decide data order,
augmentation and dropout. A resumed run therefore ends with the same weights as an uninterrupted run, bit for bit on the
CPU of the same machine.
"""

from __future__ import annotations

import dataclasses
import numbers
import pathlib
import typing
from collections.abc import Callable

import keras
import numpy

import data
from models import contract, perturb, updates
from train.augment import augment
from train.diverged import Diverged
from train.history import History, confidence
from train.params import Recipe
from train.seeds import seed_dropout, stream, whole
from train.step_average import StepAverage

if typing.TYPE_CHECKING:
    from train.robust.average import Ema

KEEP = ("all", "second-half", "last")


def fit(
    model: keras.Model,
    split: data.Split,
    *,
    recipe: Recipe,
    history: History | pathlib.Path | str,
    seed: int,
    epochs: int | None = None,
    keep: str = "all",
    loss: Callable = perturb.cross_entropy,
    targets: numpy.ndarray | None = None,
    twin: keras.Model | None = None,
    average: Ema | None = None,
    origin: dict | None = None,
    progress: Callable | None = None,
    observe: Callable | None = None,
    on_epoch: Callable | None = None,
) -> History:
    """Train `model` on the training half and record each epoch: History. An existing history is resumed.

    split: data.Split.
    recipe: train.params.Recipe.
    history: a History or its path.
    seed: of the order of the images, augmentation and dropout.
    epochs: length of the whole run (None: the recipe's).
    keep: which epochs' weights stay: "all", "second-half" (mining reads only these) or "last".
    loss: ``loss(logits, targets)`` -> a value for each example.
    targets: (N, ...), a row for each image of x_train (None: its labels).
    twin: a model of the same layers that takes the training steps, such as one that computes in bfloat16 [D]; `model`
        gets its weights after each epoch, and is what is recorded. None: `model` takes them.
    average: of the weights after every step, kept beside them (step_average.py); it changes nothing else.
    origin: further facts about the run, JSON values that must be the same when it is resumed.
    progress: called as progress(done, total, note) after each batch.
    observe: called as observe(model, epoch, log_probability, prediction) before an epoch is recorded; once more for the
        same epoch if training was killed in between.
    on_epoch: called with the history after each epoch.
    Raises ValueError if the history was started with another recipe, seed, length or data, or if model, images, labels
    and targets do not belong together (models.contract); Diverged if the loss is not finite: earlier epochs stay.
    """
    history = history if isinstance(history, History) else History(history)
    epochs = recipe.epochs if epochs is None else epochs
    seed, epochs = whole(seed), _check(model, split, recipe, epochs, keep, targets)

    # 1. Claim the history for this run.
    facts = {"recipe": dataclasses.asdict(recipe), "seed": seed, "epochs": epochs, "data": split.fingerprint}
    facts |= origin or {}
    history.claim(facts)

    # 2. The compiled update.
    trained = model if twin is None else twin
    optimizer = keras.optimizers.SGD(recipe.learning_rates[0], momentum=recipe.momentum, nesterov=True)
    step = updates.supervised_step(trained, optimizer, loss)

    # 3. Resume.
    if history.last:
        history.load_weights(model, history.last)
        history.load_optimizer(optimizer, history.last)
        history.drop_older_optimizers()
        _drop_weights(history, keep, epochs)
    if twin is not None:
        twin.set_weights(model.get_weights())
    averaged = None if average is None else StepAverage(average, trained)
    if averaged is not None and history.last:
        averaged.restore(history)

    # 4. Train, epoch by epoch.
    for epoch in range(history.last + 1, epochs + 1):
        rate = recipe.learning_rate(epoch, epochs)
        optimizer.learning_rate = rate

        def watch(done, total, note, epoch=epoch):
            if progress is not None:
                progress((epoch - 1) * total + done, epochs * total, f"epoch {epoch}/{epochs} {note}")

        mean_loss, accuracy = _epoch(trained, step, split, targets, recipe, seed, epoch, watch, averaged)
        if twin is not None:
            model.set_weights(twin.get_weights())
        # Measure the epoch on the other half, and record it.
        log_probability, prediction = confidence(model, split.x_validation, split.y_validation)
        if not (numpy.isfinite(mean_loss) and numpy.isfinite(log_probability).all()):
            raise Diverged(
                f"the loss became {mean_loss} in epoch {epoch} at learning rate {rate}; epochs up to {epoch - 1} are "
                "kept in the history: lower the learning rate or check the images"
            )
        metrics = {
            "epoch": epoch,
            "learning_rate": rate,
            "loss": mean_loss,
            "accuracy": accuracy,
            "validation_loss": -float(log_probability.mean(dtype="float64")),
            "validation_accuracy": float((prediction == split.y_validation).mean()),
        }
        if observe is not None:
            observe(model, epoch, log_probability, prediction)
        state = None if averaged is None else averaged.state()
        history.save(model, epoch, log_probability, prediction, metrics=metrics, optimizer=optimizer, state=state)
        _drop_weights(history, keep, epochs)
        if on_epoch is not None:
            on_epoch(history)
    return history


def _check(model, split, recipe, epochs, keep, targets):
    """The number of epochs as an int. Raises ValueError for arguments that `fit` does not admit."""
    if not isinstance(epochs, numbers.Integral) or epochs < 1:
        raise ValueError(f"epochs is {epochs!r}; expected a whole number of at least 1")
    if keep not in KEEP:
        raise ValueError(f"keep is {keep!r}; expected one of {', '.join(KEEP)}")
    contract.check_split(model, split, batch_size=recipe.batch_size)
    if targets is not None and len(targets) != len(split.x_train):
        raise ValueError(f"{len(targets)} targets for {len(split.x_train)} images of x_train: expected one each")
    return int(epochs)


def _drop_weights(history, keep, epochs):
    """Delete the weights that `keep` does not cover; the newest epoch's always stay, to resume from."""
    first = {"all": 0, "second-half": epochs / 2, "last": epochs}[keep]
    for older in history.stored:
        if older < min(history.last, first):
            history.drop_weights(older)


def _epoch(model, step, split, targets, recipe, seed, epoch, watch, averaged):
    generator = stream(seed, "epoch of training", epoch)
    seed_dropout(model, generator)
    order = generator.permutation(len(split.x_train))
    loss, correct = 0.0, 0
    for start in range(0, len(order), recipe.batch_size):
        rows = order[start : start + recipe.batch_size]
        images = augment(split.x_train[rows], generator, flip=recipe.flip, shift=recipe.shift, fill=recipe.fill)
        labels = split.y_train[rows].astype("int32")
        value, logits = step(data.to_unit(images), labels if targets is None else targets[rows])
        if averaged is not None:
            averaged.after_step()
        loss += float(value) * len(rows)
        correct += int((numpy.argmax(logits, -1) == labels).sum())
        watch(start + len(rows), len(order), f"loss {loss / (start + len(rows)):.3f}")
    return loss / len(order), correct / len(order)
