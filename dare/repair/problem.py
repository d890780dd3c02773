"""What a repair method may read, and what it returns.

x_validation is cut once (parts.py): "repair" images locate, search and adjust, "choice" images choose. [D]
"""

from __future__ import annotations  # its types load no library (pipeline/late.py)

import dataclasses
import pathlib
from collections.abc import Callable
from typing import Any

import keras
import numpy

import models
from adv import evaluate
from dare import get_ats
from dare.repair import parts
from train import batch_norm
from train.checkpoints import Checkpoints
from train.history import History
from train.seeds import stream

FAILURES = ("clean", "adversarial")


@dataclasses.dataclass(frozen=True)
class Images:
    """Images and their true labels.

    x: uint8 or float32 in [0, 1] (N, H, W, C); y: integers (N,).
    rows: of x_validation (N,); None for images that are none of them.
    """

    x: numpy.ndarray = dataclasses.field(repr=False)
    y: numpy.ndarray = dataclasses.field(repr=False)
    rows: numpy.ndarray | None = dataclasses.field(repr=False, default=None)

    def __len__(self):
        return len(self.y)

    def take(self, places: numpy.ndarray) -> Images:
        """Some of the images, in the order of `places`."""
        return Images(self.x[places], self.y[places], None if self.rows is None else self.rows[places])


@dataclasses.dataclass(frozen=True, kw_only=True)
class Problem:
    """A trained net and the images of one repair.

    model, original: the final model M and its weights; a method gives the model its weights back.
    history: its train.history.History.
    x_train: images that batch-norm statistics are measured on.
    repair, choice: the two parts of x_validation.
    failures: the images N that M misclassifies: of `repair`, or adversarials of M.
    kept: the images C of `repair` that M classifies correctly.
    judged: adversarials that take part in a choice, where the failures are adversarial (None: clean images alone).
    seed: of this repeat.
    state: file in which a search keeps its state (None: it is not kept).
    progress: called as progress(done, total, note).
    train: called as train(place, fraction) -> (weights, passes): a model of M's architecture, the one of this number,
        trained by M's recipe on this fraction of x_train (None: nothing can be trained).
    """

    model: keras.Model
    original: list = dataclasses.field(repr=False)
    history: Any
    x_train: numpy.ndarray = dataclasses.field(repr=False)
    repair: Images
    choice: Images
    failures: Images
    kept: Images
    judged: Images | None = None
    seed: int = 0
    state: pathlib.Path | None = None
    progress: Callable | None = None
    train: Callable | None = None

    @property
    def mined(self) -> list[int]:
        """H, the mined epochs E/2 .. E-1 whose weights are stored. Raises ValueError where there are none."""
        epochs = [epoch for epoch in get_ats.second_half(self.history) if epoch in self.history.stored]
        if not epochs:
            raise ValueError(
                f"{self.history.path}: no weights of the epochs E/2 .. E-1 of {self.history.last}; this method reads "
                "the history: train with --keep second-half or all"
            )
        return epochs

    def score(self, weights: list) -> float:
        """How well a weight set does on the images that choose: accuracy on `choice`, a fraction in [0, 1].

        With adversarial failures it is the mean of that and of the accuracy on `judged` [D]. 0 where the logits are not
        finite.
        """
        images = [self.choice, *([self.judged] if self.judged is not None and len(self.judged) else [])]
        try:
            with models.keeping_weights(self.model, self.original):
                self.model.set_weights(weights)
                shares = [float(evaluate.correct(self.model, part.x, part.y).mean()) for part in images]
        except models.NonFiniteLogits:
            return 0.0
        return float(numpy.mean(shares))

    @property
    def scored(self) -> int:
        """The forward passes of a `score`."""
        return len(self.choice) + (0 if self.judged is None else len(self.judged))

    def remeasured(self, weights: list, images: int | None = None) -> list:
        """The weights with batch-norm statistics measured again on `images` of x_train (None: all of it)."""
        with models.keeping_weights(self.model, self.original):
            self.model.set_weights(weights)
            batch_norm.reestimate(self.model, self.x_train[:images])
            return self.model.get_weights()

    @property
    def normalised(self) -> int:
        """The number of batch-norm layers: the forward passes per image of x_train of a `remeasured`."""
        return sum(isinstance(layer, keras.layers.BatchNormalization) for layer in self.model.layers)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Repaired:
    """The result of a method.

    weights: of M's architecture, in the order of model.get_weights().
    model: of the upper bound that is not one weight set, in place of weights.
    forward, backward: passes through the net, in images; a pass from cached activations counts in full [D].
    facts: JSON values that the row shows, such as what was located and chosen.
    """

    weights: list | None = dataclasses.field(repr=False, default=None)
    model: keras.Model | None = None
    forward: int = 0
    backward: int = 0
    facts: dict = dataclasses.field(default_factory=dict)


def make(
    model: keras.Model,
    history: History | Checkpoints,
    x: numpy.ndarray,
    y: numpy.ndarray,
    *,
    x_train: numpy.ndarray,
    adversarial: Images | None = None,
    judged: Images | None = None,
    most_failures: int | None = None,
    most_kept: int | None = None,
    seed: int = 0,
    split_seed: int | None = None,
    **fields: Any,
) -> Problem:
    """The Problem of a final model.

    model: the final model M; history: its train.history.History.
    x_train: images that batch-norm statistics are measured on.
    x, y: x_validation and its labels. Which images are correct is read from the history, without a forward pass.
    adversarial: failures in place of the images of `repair` that M misclassifies.
    judged: see Problem.
    most_failures, most_kept: draw so many of N and of C, seeded (None: all).
    split_seed: of the two parts (default: `seed`).
    fields: state, progress and train of Problem.
    Raises ValueError where nothing fails, and where the history records another number of images.
    """
    predicted = history.record(history.last)[1]
    if len(predicted) != len(y):
        raise ValueError(f"the history records {len(predicted)} images, expected the {len(y)} of x_validation")
    repair, choice = parts.cut(y, seed if split_seed is None else split_seed)
    correct = predicted[repair] == y[repair]
    rows = repair[~correct]
    failures = Images(x[rows], y[rows], rows) if adversarial is None else adversarial
    rows = repair[correct]
    kept = Images(x[rows], y[rows], rows)
    if not len(failures) or not len(kept):
        outcome = "misclassifies no image" if not len(failures) else "classifies no image correctly"
        raise ValueError(
            f"{model.name} {outcome} of the repair part ({len(repair)} of {len(y)} images of x_validation): there is "
            "nothing to repair; with adversarial failures the attack fooled none: make more (--parts)"
        )
    return Problem(
        model=model,
        original=model.get_weights(),
        history=history,
        x_train=x_train,
        repair=Images(x[repair], y[repair], repair),
        choice=Images(x[choice], y[choice], choice),
        failures=_few(failures, most_failures, seed, "failures"),
        kept=_few(kept, most_kept, seed, "kept images"),
        judged=judged,
        seed=seed,
        **fields,
    )


def _few(images, most, seed, purpose):
    """At most so many of the images, drawn at random, in their order."""
    if most is None or most >= len(images):
        return images
    return images.take(numpy.sort(stream(seed, purpose).permutation(len(images))[:most]))
