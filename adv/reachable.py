"""The classes that an image can be made to be predicted as: a targeted PGD towards each other class."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy

from adv import evaluate, pgd, search
from adv.base import noise
from models import compute, perturb


def reachable(
    model: keras.Model,
    x: numpy.ndarray,
    y: numpy.ndarray,
    *,
    epsilon: float,
    steps: int = 20,
    rel_stepsize: float = 0.25,
    seed: int = 0,
    batch_size: int = 256,
    progress: Callable | None = None,
) -> numpy.ndarray:
    """Whether an attack makes the model predict class k for image n: bool (N, K).

    Towards class t the attack loss is z_t - max over i != t of z_i; an image starts at a random point and stops when t
    is predicted. This fills the robust confusion matrix of Tian et al. (KDD 2021); the attack is ours [D]. The entry of
    an image's own label is whether it is correct without attack.
    x: images (N, H, W, C), uint8 or float32 in [0, 1].
    y: integer labels (N,).
    epsilon: Linf radius, above 0 and at most 1.
    steps, rel_stepsize: of PGD, the latter as a fraction of epsilon.
    seed: of the random starts.
    batch_size: images attacked together.
    progress: called as progress(done, K).
    Raises ValueError for an epsilon, steps or step size out of range, and as adv.search.minimal.
    """
    evaluate.check_epsilon(epsilon, "linf")
    if not epsilon:
        raise ValueError(f"epsilon is {epsilon}, expected a number above 0, as in 8/255")
    pgd.PGD(steps=steps, rel_stepsize=rel_stepsize, seed=seed)  # refuses what no PGD has
    images, labels, predicted = search.judge(model, x, y, batch_size=batch_size)
    classes = model.output_shape[-1]
    reached = numpy.zeros((len(images), classes), bool)
    reached[numpy.arange(len(images)), labels] = predicted == labels
    start = perturb.random_start(images, noise(images, seed=seed), numpy.float32(epsilon))
    for target in range(classes):
        rows = numpy.flatnonzero(labels != target)
        towards = numpy.full(len(rows), target, numpy.int32)
        sizes = (numpy.full(len(rows), size, numpy.float32) for size in (epsilon, rel_stepsize * epsilon))
        _, reached[rows, target] = compute.repeat(
            model,
            perturb.ascent(_lead, _predicted),
            (start[rows], numpy.zeros(len(rows), bool)),
            steps,
            constants=(images[rows], towards, *sizes),
            until=1,
            last=perturb.judge(_predicted),
            batch_size=batch_size,
        )
        if progress is not None:
            progress(target + 1, classes)
    return reached


def _lead(logits, targets):
    """The target logit minus the largest other logit."""
    return -perturb.margin(logits, targets)


def _predicted(logits, targets):
    return keras.ops.logical_not(perturb.is_misclassified(logits, targets))
