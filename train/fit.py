"""Standard training, every epoch kept: the published recipe of DARE's source models, resumable to the bit.

An epoch is a pure function of (weights, optimizer state, seed, epoch number): data order, augmentation and
dropout are seeded from the last two. Continuing from a saved epoch therefore ends where an uninterrupted run
ends, bit for bit on one machine's CPU.
"""

import dataclasses

import keras
import numpy

import data
from models import compute, perturb
from train.augment import augment
from train.history import History, confidence
from train.seeds import seed_dropout


def fit(model, split, *, recipe, history, seed, epochs=None, keep="all", progress=None, on_epoch=None):
    """Train `model` on the training half and record each epoch; continue `history` where it ends.

    split: data.Split; recipe: train.params.Recipe; history: a History or its path; epochs: the whole run's
    length (the recipe's by default); keep: "all" weights or the "second-half" (mining reads no others);
    progress: called as progress(done, total, note) after each batch; on_epoch: called with the history after each
    epoch.
    Returns the History. Raises ValueError where the history was begun with another recipe, seed, length or data, and
    ArithmeticError when the loss is no longer finite: earlier epochs stay.
    """
    history = history if isinstance(history, History) else History(history)
    epochs = recipe.epochs if epochs is None else epochs
    if epochs < 1:
        raise ValueError(f"epochs is {epochs}; expected at least 1")
    facts = {"recipe": dataclasses.asdict(recipe), "seed": seed, "epochs": epochs, "data": split.fingerprint}
    history.claim(facts)
    optimizer = keras.optimizers.SGD(recipe.learning_rates[0], momentum=recipe.momentum, nesterov=True)
    step = compute.update(model, optimizer, perturb.cross_entropy)
    if history.last:
        history.load_weights(model, history.last)
        history.load_optimizer(optimizer, history.last)
        history.drop_older_optimizers()
    for epoch in range(history.last + 1, epochs + 1):
        rate = recipe.learning_rate(epoch, epochs)
        optimizer.learning_rate = rate

        def watch(done, total, note, epoch=epoch):
            if progress is not None:
                progress((epoch - 1) * total + done, epochs * total, f"epoch {epoch}/{epochs} {note}")

        loss, accuracy = _epoch(model, step, split, recipe, seed, epoch, watch)
        log_probability, prediction = confidence(model, split.x_validation, split.y_validation)
        if not (numpy.isfinite(loss) and numpy.isfinite(log_probability).all()):
            raise ArithmeticError(
                f"the loss became {loss} in epoch {epoch} at learning rate {rate}; epochs up to {epoch - 1} are "
                "kept in the history: lower the learning rate or check the images"
            )
        metrics = {
            "epoch": epoch,
            "learning_rate": rate,
            "loss": loss,
            "accuracy": accuracy,
            "validation_loss": -float(log_probability.mean(dtype="float64")),
            "validation_accuracy": float((prediction == split.y_validation).mean()),
        }
        history.save(model, epoch, log_probability, prediction, metrics=metrics, optimizer=optimizer)
        if keep == "second-half":
            for older in history.stored:
                if older < min(epoch, epochs / 2):
                    history.drop_weights(older)
        if on_epoch is not None:
            on_epoch(history)
    return history


def _epoch(model, step, split, recipe, seed, epoch, watch):
    generator = numpy.random.default_rng([seed, epoch])
    seed_dropout(model, generator)
    order = generator.permutation(len(split.x_train))
    loss, correct = 0.0, 0
    for start in range(0, len(order), recipe.batch_size):
        rows = order[start : start + recipe.batch_size]
        images = augment(split.x_train[rows], generator, flip=recipe.flip, shift=recipe.shift, fill=recipe.fill)
        labels = split.y_train[rows].astype("int32")
        value, logits = step(data.to_unit(images), labels)
        loss += float(value) * len(rows)
        correct += int((numpy.argmax(logits, -1) == labels).sum())
        watch(start + len(rows), len(order), f"loss {loss / (start + len(rows)):.3f}")
    return loss / len(order), correct / len(order)
