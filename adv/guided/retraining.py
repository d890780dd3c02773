"""Training of the original model and of retrained models, and their measures."""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Callable

import keras
import numpy
import scipy.special
import sklearn.metrics

import data
from models import compute, contract, perturb
from train import fine_tune as tuning


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """Hyper-parameters of every training in the study, the first and the retrainings [P].

    learning_rate: Keras's default.
    """

    epochs: int
    batch_size: int = 64
    optimizer: str = "rmsprop"
    learning_rate: float = 1e-3


RECIPES = {
    "gtsrb": Recipe(epochs=10),
    "intel": Recipe(epochs=20, batch_size=128),
    "cifar10": Recipe(epochs=20),
    "mnist": Recipe(epochs=10),
    "fashion_mnist": Recipe(epochs=10, optimizer="adam"),
    "digits": Recipe(epochs=10),  # bundled, not in the study [D]
}


def fit(
    model: keras.Model,
    weights: list[numpy.ndarray],
    x: numpy.ndarray,
    y: numpy.ndarray,
    *,
    recipe: Recipe,
    seed: int,
    progress: Callable | None = None,
) -> list[float]:
    """Train `model` in place from given weights; returns the mean loss of each step.

    weights: list of arrays, as from model.get_weights().
    x: images (N, H, W, C).
    y: integer labels (N,).
    recipe: Recipe.
    seed: of dropout and the order of the images; the optimizer starts without state.
    progress: as in train.fine_tune.
    Raises ValueError for a model, images or labels that do not belong together.
    """
    contract.check(model, x, y, batch_size=recipe.batch_size)
    model.set_weights(weights)
    return tuning.fine_tune(
        model,
        x,
        numpy.asarray(y).astype("int32"),
        loss=perturb.cross_entropy,
        learning_rate=recipe.learning_rate,
        optimizer=recipe.optimizer,
        batch_size=recipe.batch_size,
        epochs=recipe.epochs,
        seed=seed,
        progress=progress,
    )


def measure(model: keras.Model, x: numpy.ndarray, y: numpy.ndarray, *, batch_size: int = 512) -> dict[str, float]:
    """accuracy, loss (cross-entropy), and macro-averaged precision and recall over the classes in `y`: dict of floats.

    A class that is never predicted has precision 0.
    model: returns logits.
    x: images (N, H, W, C), uint8 or floats in [0, 1]; y: integer labels (N,).
    batch_size: images in one forward pass.
    Errors as adv.search.minimal.
    """
    contract.check(model, x, y, batch_size=batch_size)
    return of_logits(logits_of(model, x, batch_size=batch_size), y)


def measure_parts(model: keras.Model, parts: dict, *, batch_size: int = 512) -> dict[str, dict]:
    """`measure` of every part, and of all together as "both"; each image is predicted once.

    parts: name -> (images, labels). Images, labels and other arguments as of `measure`.
    """
    return of_parts(logits_of_parts(model, parts, batch_size=batch_size), parts)


def logits_of_parts(model: keras.Model, parts: dict, *, batch_size: int = 512) -> dict[str, numpy.ndarray]:
    """name -> logits (N, K) of the parts of `measure_parts`, whose arguments it takes."""
    for x, y in parts.values():
        contract.check(model, x, y, batch_size=batch_size)
    return {name: logits_of(model, x, batch_size=batch_size) for name, (x, _) in parts.items()}


def of_parts(logits: dict, parts: dict) -> dict[str, dict]:
    """The measures of `measure_parts`, from the `logits` of `logits_of_parts` for the same `parts`."""
    measures = {name: of_logits(logits[name], y) for name, (_, y) in parts.items()}
    together = numpy.concatenate(list(logits.values())), numpy.concatenate([y for _, y in parts.values()])
    return {**measures, "both": of_logits(*together)}


def correct_of(logits: dict, parts: dict) -> str:
    """Which test inputs are classified correctly, all parts in a row: base64 of packed bits, the first the highest.

    logits, parts: as of `of_parts`.
    """
    flags = numpy.concatenate([logits[name].argmax(axis=1) == y for name, (_, y) in parts.items()])
    return base64.b64encode(numpy.packbits(flags).tobytes()).decode()


def flags_of(correct: str, count: int) -> numpy.ndarray:
    """bool (count,), unpacked from the text `correct` that `correct_of` returned."""
    return numpy.unpackbits(numpy.frombuffer(base64.b64decode(correct), numpy.uint8), count=count).astype(bool)


def logits_of(model: keras.Model, x: numpy.ndarray, *, batch_size: int = 512) -> numpy.ndarray:
    """Logits (N, K). Arguments as of `measure`. Raises ValueError for outputs that are no logits."""
    logits = compute.predict(compute.forward(model), x, batch_size=batch_size, prepare=data.to_unit)
    contract.check_logits(model, logits)
    return logits


def of_logits(logits: numpy.ndarray, y: numpy.ndarray) -> dict[str, float]:
    """The measures of `measure`, from logits (N, K) and labels y (N,)."""
    labels = numpy.asarray(y)
    predicted = logits.argmax(axis=1)
    losses = numpy.asarray(perturb.cross_entropy(keras.ops.convert_to_tensor(logits), labels.astype("int32")))
    precision, recall, _, _ = sklearn.metrics.precision_recall_fscore_support(
        labels, predicted, labels=numpy.unique(labels), average="macro", zero_division=0
    )
    return {
        "accuracy": float((predicted == labels).mean()),
        "loss": float(losses.mean()),
        "precision": float(precision),
        "recall": float(recall),
    }


def traces(
    model: keras.Model, x: numpy.ndarray, *, batch_size: int = 512
) -> tuple[numpy.ndarray, numpy.ndarray, numpy.ndarray]:
    """One pass: (activations of the last hidden dense layer, predicted classes, probabilities float64).

    Arguments as of `measure`. Errors as adv.search.minimal.
    """
    contract.check(model, x, batch_size=batch_size)
    with_activations = keras.Model(model.inputs, [last_hidden(model).output, model.outputs[0]])
    activations, logits = compute.predict(
        compute.forward(with_activations), x, batch_size=batch_size, prepare=data.to_unit
    )
    contract.check_logits(model, logits)
    logits = logits.astype(numpy.float64)
    return activations, logits.argmax(axis=1), scipy.special.softmax(logits, axis=1)


def last_hidden(model: keras.Model) -> keras.layers.Dense:
    """The last dense layer before the logits. Raises ValueError if there is none."""
    dense = [layer for layer in model.layers if isinstance(layer, keras.layers.Dense)]
    if len(dense) < 2:
        raise ValueError(f"{model.name} has no hidden dense layer, but the metrics need its activations")
    return dense[-2]
