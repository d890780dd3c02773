"""Defensive distillation, the papers' baseline that has met no attack (Papernot, McDaniel, Wu, Jha, Swami, S&P 2016).

Section IV: a teacher is trained at temperature T, on the cross-entropy of softmax(logits / T); a student, the same net
from fresh weights, at the same T on the teacher's outputs softmax(logits / T); the student is used at T = 1, that is,
with its logits as they are. Trained to the end these are about T times as large, so that the softmax saturates and the
gradients of attacks vanish (Carlini, Wagner, S&P 2017): adv/checks.py tells where that has happened.

Differences from the paper:
1. [I] The teacher's outputs are taken once, of the images as they are; their augmented copies keep them as targets.
2. [D] Both are trained by the recipe of the source model that they stand beside, and so that its learning rates fit,
   the loss is multiplied by T: the gradient of softmax(logits / T) is 1 / T as large, and few epochs at the recipe's
   rates would leave both nets at chance. (Hinton et al. 2015 multiply by T^2.)
"""

import dataclasses
import functools
import pathlib

import keras
import numpy
import scipy.special

import data
import models
from models import compute
from train.fit import fit


@dataclasses.dataclass(frozen=True, kw_only=True)
class Distillation:
    """temperature: T, 10 as in DARE's evaluation [P]; epochs: of each of the two trainings (None: the recipe's)."""

    temperature: float = 10.0
    epochs: int | None = None

    def __post_init__(self):
        if not (self.temperature > 0 and numpy.isfinite(self.temperature)):
            raise ValueError(f"temperature is {self.temperature}, expected a finite number above 0")


@functools.cache
def loss_at(temperature):
    """``loss(logits, targets)`` -> (N,): temperature times the cross-entropy of softmax(logits / temperature).

    targets: probabilities (N, K).
    """

    def loss(logits, targets):
        return -temperature * keras.ops.sum(targets * keras.ops.log_softmax(logits / temperature), -1)

    return loss


def soft_targets(model, x, *, temperature, batch_size=256):
    """softmax(logits / temperature) of every image: float32 (N, K)."""
    logits = compute.predict(compute.forward(model), x, batch_size=batch_size, prepare=data.to_unit)
    return scipy.special.softmax(logits.astype("float64") / temperature, axis=1).astype("float32")


def distil(teacher, student, split, *, recipe, folder, seed, settings, progress=None):
    """Train two untrained models of one architecture in place, the teacher on the labels of `split.x_train`.

    recipe, seed: as train.fit; folder: of the two histories teacher/ and student/, of which the newest epoch's weights
    are kept, so that a killed call continues; progress: called as progress(done, total, note).
    Returns the student's History. Errors as train.fit.
    """
    folder, epochs = pathlib.Path(folder), settings.epochs or recipe.epochs
    labels = numpy.eye(teacher.output_shape[-1], dtype="float32")[split.y_train]

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

    train(teacher, "teacher", labels, {}, 0)
    soft = soft_targets(teacher, split.x_train, temperature=settings.temperature)
    return train(student, "student", soft, {"teacher": models.fingerprint(teacher)}, 1)
