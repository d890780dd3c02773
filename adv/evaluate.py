"""Robust accuracy: a flag for each image, and intervals.

Flags are bool (N,), True where the predicted class is the label; every reported number is computed from them.
Images are uint8 or floats in [0, 1], (N, H, W, C); labels are integers (N,); epsilon is in [0, 1] pixel scale.
"""

from __future__ import annotations

import dataclasses
import math
import numbers

import keras
import numpy
import scipy.stats

import data
from adv import attacks, search
from adv.base import Attack
from models import compute, contract


@dataclasses.dataclass(frozen=True, kw_only=True)
class Share:
    """The fraction `value` = count / total of flags that are True, and its interval `low` to `high`, all in [0, 1]."""

    count: int
    total: int
    value: float
    low: float
    high: float


def correct(model: keras.Model, x: numpy.ndarray, y: numpy.ndarray, *, batch_size: int = 256) -> numpy.ndarray:
    """Where the model classifies unmodified images correctly: bool (N,). Errors as adv.search.minimal."""
    _, labels, predicted = search.judge(model, x, y, batch_size=batch_size)
    return predicted == labels


def classes(model: keras.Model, x: numpy.ndarray, y: numpy.ndarray, *, batch_size: int = 256) -> numpy.ndarray:
    """The predicted classes of unmodified images: int32 (N,). Errors as adv.search.minimal."""
    return search.judge(model, x, y, batch_size=batch_size)[2]


def robust_flags(
    model: keras.Model,
    x: numpy.ndarray,
    y: numpy.ndarray,
    attack: Attack | str,
    *,
    epsilon: float,
    correct: numpy.ndarray | None = None,
    batch_size: int = 256,
) -> numpy.ndarray:
    """Where the model still classifies correctly under a white-box attack: bool (N,).

    x: images (N, H, W, C), uint8 or floats in [0, 1].
    y: integer labels (N,).
    attack: an entry of adv.attacks.ATTACKS or its name, or any object with `within`.
    epsilon: radius in the attack's norm, in [0, 1] pixel scale; 0 gives the flags of clean images.
    correct: bool (N,), flags of the same images without attack or under a weaker attack; only True images are attacked
        (None: computed here, without attack).
    Images that were misclassified before are False.
    Raises ValueError for an epsilon that is negative, above 1 in Linf or a fraction in L0, for `correct` of another
    shape, and as adv.search.minimal.
    """
    attack = _checked(attack, epsilon)
    images, labels, flags = _judged(model, x, y, correct, batch_size)
    before = numpy.where(flags, labels, -1)
    return (
        attacked_classes(model, images, labels, attack, epsilon=epsilon, before=before, batch_size=batch_size) == labels
    )


def attacked_classes(
    model: keras.Model,
    x: numpy.ndarray,
    y: numpy.ndarray,
    attack: Attack | str,
    *,
    epsilon: float,
    before: numpy.ndarray,
    batch_size: int = 256,
) -> numpy.ndarray:
    """The predicted classes under a white-box attack: int32 (N,).

    before: integers (N,), predicted classes of the same images without attack or under a weaker attack. Only images
        that were correct then are attacked; the others keep that class.
    Everything else as robust_flags, whose flags are where this equals y.
    """
    attack = _checked(attack, epsilon)
    images, labels = contract.admit(model, x, y, batch_size=batch_size)
    predicted = numpy.asarray(before)
    if predicted.shape != labels.shape or predicted.dtype.kind not in "iu":
        raise ValueError(
            f"the classes before are {predicted.dtype} of shape {predicted.shape}, expected integers {labels.shape}, "
            "one an image: flags are the argument correct of robust_flags"
        )
    predicted = predicted.astype(numpy.int32)
    rows = numpy.flatnonzero(predicted == labels)
    if epsilon > 0 and len(rows):
        attacked = attack.within(model, images[rows], labels[rows], epsilon=epsilon, batch_size=batch_size)
        logits = compute.predict(compute.forward(model), attacked, batch_size=batch_size)
        contract.check_finite(logits)
        predicted[rows] = logits.argmax(axis=1)
    return predicted


def distances(
    model: keras.Model,
    x: numpy.ndarray,
    y: numpy.ndarray,
    attack: Attack | str,
    *,
    correct: numpy.ndarray | None = None,
    batch_size: int = 256,
) -> numpy.ndarray:
    """Size of the smallest adversarial perturbation that a white-box attack finds, in the attack's norm: float32 (N,).

    0 where the image is misclassified already, NaN where the attack fails.
    attack: a name, or any object with `closest` and `norm`.
    Other arguments and errors as robust_flags.
    """
    attack = attacks.get(attack, "closest")
    images, labels, flags = _judged(model, x, y, correct, batch_size)
    size, rows = numpy.zeros(len(images), numpy.float32), numpy.flatnonzero(flags)
    if len(rows):
        adversarials = search.minimal(model, images[rows], labels[rows], attack, batch_size=batch_size)
        distance = search.norm(adversarials.images - images[rows], attack.norm)
        size[rows] = numpy.where(adversarials.success, distance, numpy.nan)
    return size


def _judged(model, x, y, correct, batch_size):
    """(images, labels, which are correct); the last is computed only if `correct` is None."""
    if correct is None:
        images, labels, predicted = search.judge(model, x, y, batch_size=batch_size)
        return images, labels, predicted == labels
    images, labels = contract.admit(model, x, y, batch_size=batch_size)
    flags = numpy.array(correct)
    if flags.dtype != bool or flags.shape != (len(x),):
        raise ValueError(f"correct is {flags.dtype} of shape {flags.shape}, expected bool ({len(x)},), one an image")
    return images, labels, flags


def _checked(attack, epsilon):
    """The attack of a name, after a check that epsilon is valid in its norm."""
    attack = attacks.get(attack, "within")
    check_epsilon(epsilon, getattr(attack, "norm", None))
    return attack


def check_epsilon(epsilon: float, norm: str | None) -> None:
    """Raise ValueError for a radius that is negative, in "linf" above 1, or in "l0" no whole number of values."""
    if not isinstance(epsilon, numbers.Real) or not 0 <= epsilon < math.inf:
        raise ValueError(f"epsilon is {epsilon!r}, expected a number of at least 0 in [0, 1] pixel scale")
    if epsilon > 1 and norm == "linf":
        raise ValueError(f"epsilon is {epsilon}, expected at most 1: pixels are in [0, 1], so write {epsilon}/255")
    if norm == "l0" and epsilon % 1:
        raise ValueError(f"epsilon is {epsilon} in l0, expected a whole number: of the values that may change")


def share(flags: numpy.ndarray, *, confidence: float = 0.95) -> Share:
    """The fraction of True flags with its Wilson interval (Wilson 1927), as Share.

    flags: bool (N,).
    confidence: of the interval.
    Raises ValueError for no flags. (Tables use reporting/statistics.py, which imports no model.)
    """
    flags = numpy.asarray(flags)
    if flags.dtype != bool or flags.ndim != 1 or not len(flags):
        raise ValueError(f"flags are {flags.dtype} of shape {flags.shape}, expected bool (N,) with N at least 1")
    count, total = int(flags.sum()), len(flags)
    interval = scipy.stats.binomtest(count, total).proportion_ci(confidence, method="wilson")
    return Share(count=count, total=total, value=count / total, low=float(interval.low), high=float(interval.high))


@dataclasses.dataclass(frozen=True)
class ClassWise:
    """Accuracy of each class.

    correct, total: correctly classified images and all images of each class, integers (K,).
    share: correct / total, float64 (K,).
    interval: lower and upper ends of its Wilson interval, (2, K).
    mean, std, spread: mean, standard deviation and largest minus smallest share.
    worst: the class with the smallest share (the first of equals).
    """

    correct: numpy.ndarray
    total: numpy.ndarray

    @property
    def share(self) -> numpy.ndarray:
        return self.correct / self.total

    @property
    def interval(self) -> numpy.ndarray:
        counts = zip(self.correct, self.total, strict=True)
        shares = [share(numpy.arange(total) < correct) for correct, total in counts]
        return numpy.array([[fraction.low for fraction in shares], [fraction.high for fraction in shares]])

    @property
    def mean(self) -> float:
        return float(self.share.mean())

    @property
    def worst(self) -> int:
        return int(self.share.argmin())

    @property
    def std(self) -> float:
        return float(self.share.std())

    @property
    def spread(self) -> float:
        return float(numpy.ptp(self.share))


def class_wise(flags: numpy.ndarray, labels: numpy.ndarray, *, classes: int) -> ClassWise:
    """Flags counted by class: ClassWise.

    flags: bool (N,).
    labels: integers (N,).
    classes: their number K.
    Raises ValueError for fewer than two classes, labels outside them, and a class without images.
    """
    flags, labels = numpy.asarray(flags), _labels(labels, classes)
    if flags.dtype != bool or flags.shape != labels.shape:
        raise ValueError(f"flags are {flags.dtype} of shape {flags.shape}, expected bool {labels.shape}, one a label")
    total = numpy.bincount(labels, minlength=classes)
    if not total.all():
        empty = ", ".join(map(str, numpy.flatnonzero(total == 0)))
        raise ValueError(f"no image of class {empty} of {classes}: every class needs at least one")
    return ClassWise(numpy.bincount(labels[flags], minlength=classes), total)


def confusion(predictions: numpy.ndarray, labels: numpy.ndarray, *, classes: int) -> numpy.ndarray:
    """Confusion matrix, int64 (K, K): rows are true classes, columns predicted classes. Errors as class_wise."""
    labels, predictions = _labels(labels, classes), _labels(predictions, classes)
    if predictions.shape != labels.shape:
        raise ValueError(f"{len(predictions)} predictions and {len(labels)} labels: expected as many")
    return numpy.bincount(labels * classes + predictions, minlength=classes**2).reshape(classes, classes)


def _labels(labels, classes):
    labels = numpy.asarray(labels)
    if classes < 2:
        raise ValueError(f"{classes} classes, expected at least two")
    if labels.ndim != 1 or labels.dtype.kind not in "iu" or not len(labels):
        raise ValueError(f"labels are {labels.dtype} of shape {labels.shape}, expected integers (N,) with N at least 1")
    if labels.min() < 0 or labels.max() >= classes:
        raise ValueError(f"labels range from {labels.min()} to {labels.max()}, expected 0 to {classes - 1}")
    return labels.astype(numpy.int64)


def push(x: numpy.ndarray, adversarial: numpy.ndarray, factor: float) -> numpy.ndarray:
    """Scaled perturbations: x + factor * (adversarial - x), clipped to [0, 1], float32 (N, H, W, C). [D]

    x: images (N, H, W, C), uint8 or float32 in [0, 1].
    adversarial: adversarials of the same shape.
    factor: of the perturbation, finite.
    """
    if not isinstance(factor, numbers.Real) or not math.isfinite(factor):
        raise ValueError(f"factor is {factor!r}, expected a finite number")
    images, adversarial = data.to_unit(x), data.to_unit(adversarial)
    if images.shape != adversarial.shape:
        raise ValueError(f"adversarials have shape {adversarial.shape}, expected {images.shape}, one for each image")
    return numpy.clip(images + numpy.float32(factor) * (adversarial - images), 0, 1)
