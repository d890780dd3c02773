"""How many images a model still classifies correctly: flags of single images, their worst case, and intervals.

Flags are bool (N,), True where the image is classified as its label; everything reported is made from them.
Images are uint8 or float32 in [0, 1], (N, H, W, C); labels are integers (N,); epsilon is in [0, 1] pixel scale.
"""

import dataclasses

import numpy
import scipy.stats

import data
from adv import search


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
    return search.judge(model, x, y, batch_size=batch_size)[2]


def robust_flags(model, x, y, attack, *, epsilon, right=None, batch_size=256):
    """Where the model still classifies correctly when the attack is run on *this* model (white box): bool (N,).

    attack: an entry of adv.attacks.ATTACKS, or any object with `within` (one step for FGSM, one run of its own
    steps for PGD, the smallest perturbation if it is small enough for DeepFool); epsilon: the largest perturbation,
    in the attack's norm; right: bool (N,) of an earlier pass over the same images, without attack or with a weaker
    one: only these are attacked, the others are False (None: the images are judged first). Images misclassified from
    the start are False; epsilon 0 gives `correct`.
    Raises ValueError for a negative epsilon, flags of other images, and as adv.search.minimal.
    """
    if not epsilon >= 0:
        raise ValueError(f"epsilon is {epsilon}, expected a number of at least 0 in [0, 1] pixel scale")
    images, labels, flags = _judged(model, x, y, right, batch_size)
    rows = numpy.flatnonzero(flags)
    if epsilon > 0 and len(rows):
        attacked = attack.within(model, images[rows], labels[rows], epsilon=epsilon, batch_size=batch_size)
        flags[rows] = search.classes(model, attacked, batch_size=batch_size) == labels[rows]
    return flags


def distances(model, x, y, attack, *, right=None, batch_size=256):
    """Size of the smallest perturbation of each image that the attack finds on *this* model, in the attack's norm.

    Returns float32 (N,): 0 where the model is wrong already, NaN where the attack fails. Arguments and errors as
    robust_flags; attack: any object with `closest` and `norm`.
    """
    images, labels, flags = _judged(model, x, y, right, batch_size)
    size, rows = numpy.zeros(len(images), numpy.float32), numpy.flatnonzero(flags)
    if len(rows):
        found = search.minimal(model, images[rows], labels[rows], attack, batch_size=batch_size)
        moved = search.norm(found.images - images[rows], attack.norm)
        size[rows] = numpy.where(found.success, moved, numpy.nan)
    return size


def _judged(model, x, y, right, batch_size):
    """search.judge, or the same of flags that are known."""
    if right is None:
        return search.judge(model, x, y, batch_size=batch_size)
    right = numpy.array(right)
    if right.dtype != bool or right.shape != (len(x),) or len(y) != len(x):
        raise ValueError(f"right is {right.dtype} of shape {right.shape}, expected bool ({len(x)},), one an image")
    return data.to_unit(x), numpy.asarray(y).astype(numpy.int32), right


def worst_case(flags):
    """Where the model is correct under every attack: flags (name -> bool (N,) of the same images) -> bool (N,).

    Raises ValueError for no flags, or for flags of different lengths.
    """
    sizes = {name: len(values) for name, values in flags.items()}
    if len(set(sizes.values())) != 1:
        raise ValueError(f"flags have lengths {sizes}, expected at least one attack and the same images for all")
    return numpy.all(list(flags.values()), axis=0)


def share(flags, *, confidence=0.95):
    """The share of True flags with its Wilson interval (Wilson 1927), as Share. Raises ValueError for no flags.

    The tables of result rows take theirs from results/statistics.py, which needs no model.
    """
    flags = numpy.asarray(flags)
    if flags.dtype != bool or flags.ndim != 1 or not len(flags):
        raise ValueError(f"flags are {flags.dtype} of shape {flags.shape}, expected bool (N,) with N at least 1")
    count, total = int(flags.sum()), len(flags)
    interval = scipy.stats.binomtest(count, total).proportion_ci(confidence, method="wilson")
    return Share(count=count, total=total, value=count / total, low=float(interval.low), high=float(interval.high))


def push(x, adversarial, factor):
    """Images `factor` times as far from x as the adversarials are: x + factor * (adversarial - x), in [0, 1].

    x: uint8 or float32 images (N, H, W, C); adversarial: the same shape, float32. Returns float32. [D]
    """
    images, adversarial = data.to_unit(x), data.to_unit(adversarial)
    if images.shape != adversarial.shape:
        raise ValueError(f"adversarials have shape {adversarial.shape}, expected {images.shape}, one for each image")
    return numpy.clip(images + numpy.float32(factor) * (adversarial - images), 0, 1)
