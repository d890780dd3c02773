"""Smallest adversarial perturbations: the entry point `minimal`, and two searches over epsilon.

DARE's adversarials are the closest that foolbox 2.3.0 finds: it tries many epsilons and keeps the nearest adversarial.
Both of its searches are here for many images at once, with the same result as for one image at a time:

- `grid`, of its GradientSignAttack: the first success on a grid, then on a finer grid below it;
- `bisection`, of its iterative attacks (`_run_binary_search`): grow epsilon until success, then bisect.

Images are float32 (N, H, W, C) in [0, 1] and epsilon is in the same units (such as 8/255). An attack (adv.attacks) is
an object with ``closest(model, images, labels, *, batch_size) -> (candidates, success)``.

Differences from foolbox 2.3.0:
1. [D] An adversarial counts only if the stored float32 array is misclassified when it is predicted once more.
2. [D] The distance that decides which adversarial is nearest is summed in float64 (foolbox: float32).
"""

from __future__ import annotations

import dataclasses
import math
import typing
from collections.abc import Callable

import keras
import numpy

from models import compute, contract


@dataclasses.dataclass(frozen=True, eq=False)
class Minimal:
    """The result of `minimal`.

    images: float32 (N, H, W, C) in [0, 1].
    success: bool (N,).
    An image that was misclassified already is unchanged with success True; an image on which the attack failed is
    unchanged with success False.
    """

    images: numpy.ndarray
    success: numpy.ndarray


def minimal(
    model: keras.Model,
    x: numpy.ndarray,
    y: numpy.ndarray,
    attack: typing.Any,
    *,
    batch_size: int = 256,
    progress: Callable | None = None,
) -> Minimal:
    """The closest adversarial of each image that the attack finds: Minimal.

    model: a Keras model from pixels in [0, 1] to logits (N, K).
    x: images (N, H, W, C), uint8 or floats in [0, 1].
    y: integer labels (N,).
    attack: an entry of adv.attacks.ATTACKS, its name, or any object with `closest`.
    batch_size: images attacked together.
    progress: called as progress(done, total) after every batch.
    Raises ValueError for no attack, no images, labels outside the classes, and outputs that are probabilities, and
    models.NonFiniteLogits for outputs that are not finite.
    """
    from adv import attacks  # which imports this file

    attack = attacks.get(attack, "closest")
    images, labels, predicted = judge(model, x, y, batch_size=batch_size)
    correct = predicted == labels
    result, success = images.copy(), ~correct
    targets = numpy.flatnonzero(correct)
    for start in range(0, len(targets), batch_size):
        rows = targets[start : start + batch_size]
        candidates, fooled = attack.closest(model, images[rows], labels[rows], batch_size=batch_size)
        fooled = fooled & (classes(model, candidates, batch_size=batch_size) != labels[rows])
        result[rows[fooled]] = candidates[fooled]
        success[rows] = fooled
        if progress is not None:
            progress(start + len(rows), len(targets))
    return Minimal(result, success)


def judge(
    model: keras.Model, x: numpy.ndarray, y: numpy.ndarray, *, batch_size: int = 256
) -> tuple[numpy.ndarray, numpy.ndarray, numpy.ndarray]:
    """Check a model, images and labels (models.contract): (float32 images, int32 labels, predicted classes).

    Every attack and every evaluation starts here. Predicted classes are int32 (N,).
    Arguments and errors as in `minimal`.
    """
    images, labels = contract.admit(model, x, y, batch_size=batch_size)
    logits = compute.predict(compute.forward(model), images, batch_size=batch_size)
    contract.check_logits(model, logits)
    return images, labels, logits.argmax(axis=1).astype(numpy.int32)


def classes(model: keras.Model, images: numpy.ndarray, *, batch_size: int = 256) -> numpy.ndarray:
    """The predicted class, the (first) largest logit, of each image: integers (N,).

    images: float32 (N, H, W, C) in [0, 1].
    batch_size: images in one forward pass.
    """
    return compute.predict(compute.forward(model), images, batch_size=batch_size).argmax(axis=1)


def grid(trial: Callable, count: int, *, epsilons: int = 1000, fine: int = 20, block: int = 10) -> numpy.ndarray:
    """The smallest epsilon of a grid at which the attack succeeds: float64 (count,), NaN where it always fails.

    foolbox 2.3.0, attacks/gradient.py, `_run` [P]: the first success over `epsilons` equal steps up to 1; if that is
    among the first 20, the first success over `fine` equal steps up to it.
    trial: ``trial(rows, epsilon)`` -> success, bool (n, k), at epsilon (n, k) on the images `rows` (n,).
    count: number of images.
    block: k, epsilons tried at once; images that have succeeded are not tried again.
    """
    coarse = numpy.linspace(0, 1, epsilons + 1)[1:]
    first = _first_success(trial, numpy.arange(count), numpy.broadcast_to(coarse, (count, epsilons)), block)
    smallest = numpy.where(first < epsilons, coarse[numpy.minimum(first, epsilons - 1)], numpy.nan)
    early = numpy.flatnonzero(first < 20)
    finer = numpy.linspace(0, smallest[early], fine + 1, axis=-1)[:, 1:]
    first = _first_success(trial, early, finer, block)
    hit = first < fine
    smallest[early[hit]] = finer[hit, first[hit]]
    return smallest


def _first_success(trial, rows, epsilon, block):
    """Index of the first success in each row of epsilon (n, K), tried from left to right; K if there is none."""
    first = numpy.full(len(rows), epsilon.shape[1])
    waiting = numpy.arange(len(rows))
    for start in range(0, epsilon.shape[1], block):
        if not len(waiting):
            break
        success = trial(rows[waiting], epsilon[waiting, start : start + block])
        hit = success.any(axis=1)
        first[waiting[hit]] = start + success[hit].argmax(axis=1)
        waiting = waiting[~hit]
    return first


def bisection(
    trial: Callable,
    images: numpy.ndarray,
    *,
    epsilon: float = 0.3,
    growth: float = 1.5,
    growths: int = 20,
    bisections: int = 20,
) -> tuple[numpy.ndarray, numpy.ndarray]:
    """The closest adversarials of an attack of fixed epsilon, by growing and bisecting it: (candidates, success).

    foolbox 2.3.0, attacks/iterative_projected_gradient.py, `_run_binary_search` [P]: up to `growths` trials, the first
    at `epsilon` and each `growth` times larger, until a success; then `bisections` trials halfway between the largest
    failure (at first 0) and the smallest success. The nearest success in L2 is returned, of equals the earliest.
    trial: ``trial(rows, epsilon)`` -> (candidates (n, H, W, C), success bool (n,)) for the images `rows` (n,), each at
        its own epsilon, float64 (n,).
    images: float32 (N, H, W, C) in [0, 1], the originals.
    Failed images come back unchanged.
    """
    closest = images.copy()
    nearest = numpy.full(len(images), numpy.inf)

    def attempt(rows, sizes):
        candidates, success = trial(rows, sizes)
        distance = norm(candidates - images[rows], "l2")
        better = success & (distance < nearest[rows])
        closest[rows[better]] = candidates[better]
        nearest[rows[better]] = distance[better]
        return success

    # Grow epsilon for the images without a success.
    successful = numpy.full(len(images), numpy.nan)
    survivors = numpy.arange(len(images))
    for _ in range(growths):
        if not len(survivors):
            break
        success = attempt(survivors, numpy.full(len(survivors), float(epsilon)))
        successful[survivors[success]] = epsilon
        survivors = survivors[~success]
        epsilon *= growth
    # Bisect it for the images with a success.
    rows = numpy.flatnonzero(~numpy.isnan(successful))
    failed, successful = numpy.zeros(len(rows)), successful[rows]
    for _ in range(bisections if len(rows) else 0):
        middle = (successful + failed) / 2
        success = attempt(rows, middle)
        successful, failed = numpy.where(success, middle, successful), numpy.where(success, failed, middle)
    return closest, numpy.isfinite(nearest)


def inside(attacked: numpy.ndarray, images: numpy.ndarray, epsilon: float, name: str) -> numpy.ndarray:
    """`attacked`, corrected for rounding so that it lies within epsilon of `images`: float32 (N, H, W, C).

    attacked, images: float32 (N, H, W, C) in [0, 1]; images are the originals.
    epsilon: radius in the same units.
    name: of the norm, "linf", "l1" or "l2".
    The perturbation of the stored float32 values, computed in float64, is then at most epsilon in the norm `name`:
    "linf" clips each value; "l1" and "l2" shrink the perturbation and round it towards the image. Values in [0, 1] stay
    there.
    """
    exact = images.astype(numpy.float64)
    if name == "linf":
        low, high = (_rounded_towards(images, exact + side * epsilon) for side in (-1, 1))
        return numpy.clip(attacked, low, high)
    size = norm(attacked - exact, name)
    outside = size > epsilon
    factor = numpy.where(outside, epsilon * (1 - 1e-12) / numpy.maximum(size, epsilon), 1)[:, None, None, None]
    change = factor * (attacked - exact)
    shrunk = _rounded_towards(images, exact + change)
    return numpy.where(outside[:, None, None, None], shrunk, attacked)


def _rounded_towards(images, bound):
    """float64 values rounded to float32, never away from the float32 values `images`."""
    rounded = bound.astype(numpy.float32)
    further = numpy.abs(rounded - images.astype(numpy.float64)) > numpy.abs(bound - images)
    return numpy.where(further, numpy.nextafter(rounded, images), rounded)


def norm(perturbation: numpy.ndarray, name: str) -> numpy.ndarray:
    """Size of each perturbation (N, H, W, C), float64 (N,): "l0" (values that differ), "l1" (sum), "l2" or "linf".

    Raises ValueError for another name.
    """
    flat = numpy.abs(perturbation.reshape(len(perturbation), math.prod(perturbation.shape[1:])).astype(numpy.float64))
    if name not in _NORMS:
        raise ValueError(f"norm is {name!r}, expected one of {', '.join(_NORMS)}")
    return _NORMS[name](flat)


_NORMS = {
    "l0": lambda flat: numpy.count_nonzero(flat, axis=1).astype(numpy.float64),
    "l1": lambda flat: flat.sum(axis=1),
    "l2": lambda flat: numpy.sqrt(numpy.square(flat).sum(axis=1)),
    "linf": lambda flat: flat.max(axis=1),
}
