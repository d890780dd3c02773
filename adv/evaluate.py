"""How many images a model still classifies correctly: flags of single images, and intervals.

Flags are bool (N,), True where the image is classified as its label; everything reported is made from them.
Images are uint8 or floats in [0, 1], (N, H, W, C); labels are integers (N,); epsilon is in [0, 1] pixel scale.
"""

import dataclasses

import numpy
import scipy.stats

import data
from adv import attacks, search
from models import compute, contract


@dataclasses.dataclass(frozen=True, kw_only=True)
class Share:
    """A share of flags that are True: `value`, and the ends `low` and `high` of its interval, all in [0, 1]."""

    count: int
    total: int
    value: float
    low: float
    high: float


def correct(model, x, y, *, batch_size=256):
    """Where the model classifies the images as they are correctly: bool (N,). Errors as adv.search.minimal."""
    _, labels, said = search.judge(model, x, y, batch_size=batch_size)
    return said == labels


def classes(model, x, y, *, batch_size=256):
    """The classes that the model names of the images as they are: int32 (N,). Errors as adv.search.minimal."""
    return search.judge(model, x, y, batch_size=batch_size)[2]


def robust_flags(model, x, y, attack, *, epsilon, right=None, batch_size=256):
    """Where the model still classifies correctly when the attack is run on *this* model (white box): bool (N,).

    attack: an entry of adv.attacks.ATTACKS or its name, or any object with `within` (one step for FGSM, one run of its
    own steps for PGD, the smallest perturbation if it is small enough for DeepFool); epsilon: the largest
    perturbation, in the attack's norm; right: bool (N,) of an earlier pass over the same images, without attack or
    with a weaker one: only these are attacked, the others are False (None: the images are judged first). Images
    misclassified from the start are False; epsilon 0 gives `correct`.
    Raises ValueError for an epsilon that is negative, or in Linf above 1, flags of other images, and as
    adv.search.minimal.
    """
    attack = _checked(attack, epsilon)
    images, labels, flags = _judged(model, x, y, right, batch_size)
    before = numpy.where(flags, labels, -1)
    return (
        attacked_classes(model, images, labels, attack, epsilon=epsilon, before=before, batch_size=batch_size) == labels
    )


def attacked_classes(model, x, y, attack, *, epsilon, before, batch_size=256):
    """The classes that the model names when the attack is run on it: int32 (N,).

    before: integers (N,), the classes named in an earlier pass over the same images, without attack or with a weaker
    one: only images that were right then are attacked, the others keep their class. The rest as robust_flags, whose
    flags are where this equals y.
    """
    attack = _checked(attack, epsilon)
    images, labels = contract.admit(model, x, y, batch_size=batch_size)
    said = numpy.array(before, numpy.int32)
    if len(said) != len(images):
        raise ValueError(f"{len(images)} images, {len(said)} classes before: expected as many")
    rows = numpy.flatnonzero(said == labels)
    if epsilon > 0 and len(rows):
        attacked = attack.within(model, images[rows], labels[rows], epsilon=epsilon, batch_size=batch_size)
        logits = compute.predict(compute.forward(model), attacked, batch_size=batch_size)
        contract.check_finite(logits)
        said[rows] = logits.argmax(axis=1)
    return said


def distances(model, x, y, attack, *, right=None, batch_size=256):
    """Size of the smallest perturbation of each image that the attack finds on *this* model, in the attack's norm.

    Returns float32 (N,): 0 where the model is wrong already, NaN where the attack fails. Arguments and errors as
    robust_flags; attack: a name, or any object with `closest` and `norm`.
    """
    attack = attacks.get(attack)
    images, labels, flags = _judged(model, x, y, right, batch_size)
    size, rows = numpy.zeros(len(images), numpy.float32), numpy.flatnonzero(flags)
    if len(rows):
        found = search.minimal(model, images[rows], labels[rows], attack, batch_size=batch_size)
        moved = search.norm(found.images - images[rows], attack.norm)
        size[rows] = numpy.where(found.success, moved, numpy.nan)
    return size


def _judged(model, x, y, right, batch_size):
    """(images, labels, which are right), of flags that are known where `right` is given."""
    if right is None:
        images, labels, said = search.judge(model, x, y, batch_size=batch_size)
        return images, labels, said == labels
    images, labels = contract.admit(model, x, y, batch_size=batch_size)
    right = numpy.array(right)
    if right.dtype != bool or right.shape != (len(x),):
        raise ValueError(f"right is {right.dtype} of shape {right.shape}, expected bool ({len(x)},), one an image")
    return images, labels, right


def _checked(attack, epsilon):
    """The attack, or that of a name, with a size that makes sense of it."""
    attack = attacks.get(attack)
    check_epsilon(epsilon, getattr(attack, "norm", None))
    return attack


def check_epsilon(epsilon, norm):
    """Raise ValueError for a radius that is negative, or in "linf" above 1."""
    if not epsilon >= 0:
        raise ValueError(f"epsilon is {epsilon}, expected a number of at least 0 in [0, 1] pixel scale")
    if epsilon > 1 and norm == "linf":
        raise ValueError(f"epsilon is {epsilon}, expected at most 1: pixels are in [0, 1], so write {epsilon}/255")


def share(flags, *, confidence=0.95):
    """The share of True flags with its Wilson interval (Wilson 1927), as Share. Raises ValueError for no flags.

    The tables of result rows take theirs from reporting/statistics.py, which needs no model.
    """
    flags = numpy.asarray(flags)
    if flags.dtype != bool or flags.ndim != 1 or not len(flags):
        raise ValueError(f"flags are {flags.dtype} of shape {flags.shape}, expected bool (N,) with N at least 1")
    count, total = int(flags.sum()), len(flags)
    interval = scipy.stats.binomtest(count, total).proportion_ci(confidence, method="wilson")
    return Share(count=count, total=total, value=count / total, low=float(interval.low), high=float(interval.high))


@dataclasses.dataclass(frozen=True)
class ClassWise:
    """How many images of each class there are and how many of them are right: integers (K,).

    share: right / total, float64 (K,); interval: the ends of Wilson's, (2, K); mean over classes; worst: the class
    with the smallest share, the first of equals; std, spread: standard deviation and largest minus smallest share.
    """

    right: numpy.ndarray
    total: numpy.ndarray

    @property
    def share(self):
        return self.right / self.total

    @property
    def interval(self):
        found = [share(numpy.arange(total) < right) for right, total in zip(self.right, self.total, strict=True)]
        return numpy.array([[one.low for one in found], [one.high for one in found]])

    @property
    def mean(self):
        return float(self.share.mean())

    @property
    def worst(self):
        return int(self.share.argmin())

    @property
    def std(self):
        return float(self.share.std())

    @property
    def spread(self):
        return float(numpy.ptp(self.share))


def class_wise(flags, labels, *, classes):
    """Flags, bool (N,), of images with integer labels (N,) divided by class: ClassWise. classes: their number K.

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


def confusion(predictions, labels, *, classes):
    """How many images of each class (rows) are taken for each (columns): int64 (K, K). Errors as class_wise."""
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


def push(x, adversarial, factor):
    """Images `factor` times as far from x as the adversarials are: x + factor * (adversarial - x), in [0, 1].

    x: uint8 or float32 images (N, H, W, C); adversarial: the same shape, float32. Returns float32. [D]
    """
    images, adversarial = data.to_unit(x), data.to_unit(adversarial)
    if images.shape != adversarial.shape:
        raise ValueError(f"adversarials have shape {adversarial.shape}, expected {images.shape}, one for each image")
    return numpy.clip(images + numpy.float32(factor) * (adversarial - images), 0, 1)
