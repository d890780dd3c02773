"""Defensive distillation, a baseline that trains on no attack (Papernot, McDaniel, Wu, Jha, Swami, S&P 2016).

Section IV: a teacher is trained on the cross-entropy of softmax(logits / T). A student, the same architecture with
fresh weights, is trained at the same T on the teacher's outputs softmax(logits / T). The student is used at T = 1. Its
logits are then about T times as large as usual, so the softmax saturates and the gradients of attacks vanish (Carlini,
Wagner, S&P 2017); the check "saturated" of adv/checks.py reports it.

Differences from the paper:
1. [I] The teacher's outputs are computed once, on unaugmented images, and are the targets of their augmented copies.
2. [D] Both nets are trained by the recipe of the source model. The loss is multiplied by T, because the gradient of
   softmax(logits / T) is 1 / T as large and the recipe's learning rates would leave both nets at chance. (Hinton et al.
   2015 multiply by T^2.)
"""

from __future__ import annotations

import dataclasses
import functools
import pathlib
from collections.abc import Callable

import keras
import numpy
import scipy.special

import data
import models
from models import compute
from train.fit import fit
from train.history import History
from train.params import Recipe


@dataclasses.dataclass(frozen=True, kw_only=True)
class Distillation:
    """Hyper-parameters.

    temperature: T, 10 as in DARE's evaluation [P].
    epochs: of each of the two trainings (None: the recipe's).
    """

    temperature: float = 10.0
    epochs: int | None = None

    def __post_init__(self):
        if not (self.temperature > 0 and numpy.isfinite(self.temperature)):
            raise ValueError(f"temperature is {self.temperature}, expected a finite number above 0")


@functools.cache
def loss_at(temperature: float) -> Callable:
    """``loss(logits, targets)`` -> (N,): temperature times the cross-entropy of softmax(logits / temperature).

    targets: probabilities (N, K).
    """

    def loss(logits, targets):
        return -temperature * keras.ops.sum(targets * keras.ops.log_softmax(logits / temperature), -1)

    return loss


def soft_targets(model: keras.Model, x: numpy.ndarray, *, temperature: float, batch_size: int = 256) -> numpy.ndarray:
    """softmax(logits / temperature) of each image: float32 (N, K).

    model: returns logits.
    x: images (N, H, W, C), uint8 or floats in [0, 1].
    batch_size: images in one forward pass.
    """
    logits = compute.predict(compute.forward(model), x, batch_size=batch_size, prepare=data.to_unit)
    return scipy.special.softmax(logits.astype("float64") / temperature, axis=1).astype("float32")


def distil(
    teacher: keras.Model,
    student: keras.Model,
    split: data.Split,
    *,
    recipe: Recipe,
    folder: pathlib.Path | str,
    seed: int,
    settings: Distillation,
    progress: Callable | None = None,
) -> History:
    """Train two untrained models of one architecture in place; returns the student's History.

    split, recipe, seed: as in train.fit.
    folder: of the histories teacher/ and student/; they store the newest weights, so a killed call resumes.
    settings: Distillation.
    progress: called as progress(done, total, note).
    Errors as train.fit.
    """
    folder, epochs = pathlib.Path(folder), settings.epochs or recipe.epochs
    one_hot = numpy.eye(teacher.output_shape[-1], dtype="float32")[split.y_train]

    def train(model, name, targets, origin, half):
        def watch(done, total, note):
            if progress is not None:
                progress(half * total + done, 2 * total, f"{name} {note}")

        return fit(
            model,
            split,
            recipe=recipe,
            history=folder / name,
            seed=seed,
            epochs=epochs,
            keep="last",
            loss=loss_at(settings.temperature),
            targets=targets,
            origin={"temperature": settings.temperature, **origin},
            progress=watch,
        )

    train(teacher, "teacher", one_hot, {}, 0)
    soft = soft_targets(teacher, split.x_train, temperature=settings.temperature)
    return train(student, "student", soft, {"teacher": models.fingerprint(teacher)}, 1)
