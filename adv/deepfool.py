"""DeepFool: repeated steps to the nearest linearised class boundary."""

from __future__ import annotations

import dataclasses
import functools

import keras
import numpy

from adv import boundary, search
from adv.base import Attack, check_least, other_classes
from models import compute, perturb


@dataclasses.dataclass(frozen=True, kw_only=True)
class DeepFool(Attack):
    """DeepFool in L2 or Linf (Moosavi-Dezfooli et al. 2016, algorithm 2), as in foolbox 3.3.4.

    norm: "l2" or "linf".
    steps: at most; each is one compiled call of a forward pass, and a backward pass a class.
    overshoot: distance beyond the boundary, as a fraction of the perturbation.
    candidates: most confident classes considered, the label among them.
    Raises ValueError for another norm, no steps, a negative overshoot, and fewer than two candidates.
    """

    title = "DeepFool"
    citation = "Moosavi-Dezfooli, Fawzi, Frossard, CVPR 2016"
    norm: str = "l2"
    steps: int = 100
    overshoot: float = 0.05
    candidates: int = 10

    def __post_init__(self):
        if self.norm not in ("l2", "linf"):
            raise ValueError(f"norm is {self.norm!r}, expected 'l2' or 'linf'")
        check_least(self, steps=1, overshoot=0, candidates=2)

    def closest(
        self, model: keras.Model, images: numpy.ndarray, labels: numpy.ndarray, *, batch_size: int = 256
    ) -> tuple[numpy.ndarray, numpy.ndarray]:
        """(last iterates, whether they are misclassified); failed images come back unchanged."""
        rivals = other_classes(model, images, labels, self.candidates - 1, batch_size=batch_size)
        classes = numpy.hstack([labels[:, None], rivals]).astype(numpy.int32)
        state = images, numpy.zeros_like(images), numpy.zeros(len(images), bool)
        step = _step(self.norm, self.overshoot, classes.shape[1])
        current, _, _ = compute.repeat(
            model, step, state, self.steps, constants=(images, classes), until=2, batch_size=batch_size
        )
        success = search.classes(model, current, batch_size=batch_size) != labels
        return numpy.where(success[:, None, None, None], current, images), success


@functools.cache
def _step(norm, overshoot, count):
    """One step for compute.repeat.

    Constants: images; classes (N, count), the label first. State: the current images, their perturbation without
    overshoot, and whether they are misclassified, which ends them.
    """
    ops = keras.ops

    def step(call, index, images, classes, current, perturbation, misclassified):
        def leads(x):
            logits = call(x)
            considered = ops.take_along_axis(logits, classes, 1)
            return considered[:, 1:] - considered[:, :1], perturb.is_misclassified(logits, classes[:, 0])

        (gaps, misclassified), gradients = compute.jacobian(leads, current)
        sizes = boundary.dual(gradients, norm) + 1e-8
        distances = ops.abs(gaps) / sizes
        nearest = ops.cast(ops.equal(ops.argmin(distances, 1)[:, None], ops.arange(count - 1)), "float32")
        distance = ops.sum(nearest * distances, 1) + 1e-4  # foolbox, for numerical stability
        gradient = ops.sum(nearest[:, :, None, None, None] * gradients, 1)
        if norm == "l2":
            direction = gradient / ops.sum(nearest * sizes, 1)[:, None, None, None]
        else:
            direction = ops.sign(gradient)
        perturbation = perturbation + distance[:, None, None, None] * direction
        overshot = ops.clip(images + (1 + overshoot) * perturbation, 0.0, 1.0)
        return ops.where(perturb.per_image(misclassified, images), current, overshot), perturbation, misclassified

    return step
