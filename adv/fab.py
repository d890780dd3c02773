"""FAB: steps onto the linearised boundary, each biased back towards the image, so that the distance falls.

Croce and Hein, ICML 2020 (arXiv 1907.02044), algorithm 1, as AutoAttack runs it; adv/boundary.py is the projection.
Differences between the paper, its released code and this:
1. [P] No final search between the image and the nearest adversarial, as in AutoAttack.
2. [D] An adversarial counts if its predicted class is any but the label, whatever the target class of the run.
3. [D] The untargeted attack considers the `targets` most confident classes: with ten classes all (paper: all).
4. [D] At a fixed epsilon an image stops at its first adversarial within it (released code: it takes all steps).
5. [D] An image's noise is drawn from the seed, the run and its own pixels (adv.base.direction).
"""

from __future__ import annotations

import dataclasses
import functools

import keras
import numpy

from adv import boundary, search
from adv.base import Attack, check_above_0, check_least, direction, other_classes
from models import compute, contract, perturb

FARTHEST = {"linf": 0.3, "l2": 1.0}  # radius of random starts before an adversarial is known, as in the released code
ROUNDING = 1 + 1e-6  # tolerance of float32 distances against epsilon


@dataclasses.dataclass(frozen=True, kw_only=True)
class FAB(Attack):
    """Fast adaptive boundary attack: the smallest perturbation, without a step size to choose.

    norm: "linf" or "l2".
    targeted: a run for each of the `targets` most confident other classes, in that order; else each step goes towards
        the nearest of them.
    steps: gradient steps a run.
    restarts: runs (of each target), the first from the image itself.
    overshoot: factor on each step, to cross the hyperplane.
    most: largest weight of the image's own projection.
    back: factor on the perturbation of an adversarial before the next step.
    seed: of the random starts.
    Raises ValueError for a hyper-parameter out of its range.
    """

    citation = "Croce, Hein, ICML 2020"
    norm: str = "linf"
    targeted: bool = True
    steps: int = 100
    restarts: int = 1
    targets: int = 9
    overshoot: float = 1.05
    most: float = 0.1
    back: float = 0.9
    seed: int = 0

    def __post_init__(self):
        if self.norm not in FARTHEST:
            raise ValueError(f"norm is {self.norm!r}, expected 'linf' or 'l2'")
        check_least(self, steps=1, restarts=1, targets=1, seed=0, overshoot=1)
        check_above_0(self, most=1, back=1)

    @property
    def title(self) -> str:
        """FAB-T with targets, FAB without."""
        return "FAB-T" if self.targeted else "FAB"

    def closest(
        self, model: keras.Model, images: numpy.ndarray, labels: numpy.ndarray, *, batch_size: int = 256
    ) -> tuple[numpy.ndarray, numpy.ndarray]:
        """The nearest adversarial of all steps and runs; failed images come back unchanged."""
        best, nearest = self._attack(model, images, labels, None, batch_size)
        return best, numpy.isfinite(nearest)

    def within(
        self, model: keras.Model, images: numpy.ndarray, labels: numpy.ndarray, *, epsilon: float, batch_size: int = 256
    ) -> numpy.ndarray:
        """The first adversarials within epsilon, each run on the images without one; failed images come back unchanged.

        Arguments as in base.Attack.within.
        Raises models.NonFiniteLogits if the logits become NaN or infinite.
        """
        best, nearest = self._attack(model, images, labels, float(epsilon), batch_size)
        success = nearest <= epsilon * ROUNDING
        return search.inside(numpy.where(success[:, None, None, None], best, images), images, epsilon, self.norm)

    def _attack(self, model, images, labels, epsilon, batch_size):
        """All runs: (nearest adversarials, else the images; distances float32 (N,), inf without an adversarial)."""
        classes = other_classes(model, images, labels, self.targets, batch_size=batch_size)
        groups = numpy.split(classes, classes.shape[1], axis=1) if self.targeted else [classes]
        stop = -1.0 if epsilon is None else epsilon * ROUNDING
        best, nearest = images.copy(), numpy.full(len(images), numpy.inf, numpy.float32)
        for run in range(len(groups) * self.restarts):
            rows = numpy.flatnonzero(nearest > stop)
            if not len(rows):
                break
            start = images[rows]
            if run % self.restarts:
                radius = numpy.minimum(nearest[rows], FARTHEST[self.norm] if epsilon is None else epsilon) / 2
                noise = direction(start, seed=self.seed, draw=run, norm=self.norm)
                start = perturb.random_start(start, noise, radius.astype(numpy.float32))
            constants = images[rows], labels[rows], groups[run // self.restarts][rows]
            state = start, best[rows], nearest[rows], numpy.zeros(len(rows), bool)
            best[rows], nearest[rows] = self._run(model, constants, stop, state, batch_size)
        return best, nearest

    def _run(self, model, constants, stop, state, batch_size):
        step = _step(self.norm, self.overshoot, self.most, self.back, constants[2].shape[1])
        stop = numpy.full(len(constants[0]), stop, numpy.float32)
        current, best, nearest, _ = compute.repeat(
            model, step, state, self.steps, constants=(*constants, stop), until=3, batch_size=batch_size
        )
        non_finite = int((~numpy.isfinite(current)).any(axis=(1, 2, 3)).sum())
        if non_finite:
            raise contract.NonFiniteLogits(
                f"the steps of {self.title} are NaN near {non_finite} of {len(current)} images, expected a model whose "
                f"logits are finite everywhere near an image"
            )
        return best, nearest


@functools.cache
def _step(norm, overshoot, most, back, count):
    """One step for compute.repeat.

    Constants: images, labels, target classes (N, count), stop: the distance that ends an image (N,).
    State: the iterate, the nearest adversarial, its distance, and whether that is at most `stop`.
    """
    ops = keras.ops

    def step(call, index, images, labels, classes, stop, current, best, nearest, ended):
        def leads(x):
            logits = call(x)
            label = ops.take_along_axis(logits, labels[:, None], 1)
            return ops.reshape(ops.take_along_axis(logits, classes, 1) - label, (-1, count)), None

        (leads, _), gradients = compute.jacobian(leads, current)
        lead, gradient = _nearest(leads, gradients, norm)
        # Project the iterate and the image onto the plane where the linearised logits of class and label are equal.
        offset = ops.sum(gradient * (images - current), axis=(1, 2, 3))
        from_current = boundary.project(current, gradient, lead, norm)
        from_image = boundary.project(images, gradient, lead + offset, norm)
        iterate_distance, image_distance = (
            ops.maximum(boundary.length(change, norm), 1e-8) for change in (from_current, from_image)
        )
        weight = perturb.per_image(ops.minimum(iterate_distance / (iterate_distance + image_distance), most), images)
        candidate = (1 - weight) * (current + overshoot * from_current) + weight * (images + overshoot * from_image)
        candidate = ops.clip(candidate, 0.0, 1.0)

        # Record a nearer adversarial, and move back towards the image after each adversarial.
        misclassified = perturb.is_misclassified(call(candidate), labels)
        distance = boundary.length(candidate - images, norm)
        better = misclassified & (distance < nearest)
        best = ops.where(perturb.per_image(better, images), candidate, best)
        nearest = ops.where(better, distance, nearest)
        pulled_back = ops.where(
            perturb.per_image(misclassified, images), images + back * (candidate - images), candidate
        )
        held = perturb.per_image(ended, images)
        return ops.where(held, current, pulled_back), best, nearest, ended | (nearest <= stop)

    return step


def _nearest(leads, gradients, norm):
    """Lead (N,) and gradient (N, H, W, C) of the class whose linearised boundary is nearest, of T classes."""
    ops = keras.ops
    if leads.shape[1] == 1:
        return leads[:, 0], gradients[:, 0]
    place = ops.argmin(ops.abs(leads) / (boundary.dual(gradients, norm) + 1e-12), axis=1)
    chosen = ops.one_hot(place, leads.shape[1], dtype="float32")
    return ops.sum(chosen * leads, 1), ops.sum(chosen[:, :, None, None, None] * gradients, 1)
