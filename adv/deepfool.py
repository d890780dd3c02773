"""DeepFool: the nearest of the linearised boundaries, again and again."""

import dataclasses
import functools

import keras
import numpy

from adv import boundary, search
from adv.attack import Attack, other_classes
from models import compute, perturb


@dataclasses.dataclass(frozen=True, kw_only=True)
class DeepFool(Attack):
    """DeepFool in L2 or Linf (Moosavi-Dezfooli et al. 2016, algorithm 2), as foolbox 3.3.4's L2DeepFoolAttack and
    LinfDeepFoolAttack do it, over the most confident classes.

    norm: "l2" or "linf"; steps: at most; overshoot: how far beyond the boundary, as a fraction; candidates: classes
    considered, the label among them. A step is one compiled call: a forward pass, and a backward pass a class.
    Raises ValueError for another norm and for fewer than two candidates.
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
        if self.candidates < 2:
            raise ValueError(f"candidates is {self.candidates}, expected at least 2: the label and another class")

    def closest(self, model, images, labels, *, batch_size=256):
        """Where the steps end, and whether that is misclassified; failed images come back unchanged."""
        others = other_classes(model, images, labels, self.candidates - 1, batch_size=batch_size)
        classes = numpy.hstack([labels[:, None], others]).astype(numpy.int32)
        state = images, numpy.zeros_like(images), numpy.zeros(len(images), bool)
        step = _step(self.norm, self.overshoot, classes.shape[1])
        current, _, _ = compute.repeat(
            model, step, state, self.steps, constants=(images, classes), until=2, batch_size=batch_size
        )
        success = search.classes(model, current, batch_size=batch_size) != labels
        return numpy.where(success[:, None, None, None], current, images), success


@functools.cache
def _step(norm, overshoot, count):
    """One step of compute.repeat. classes (N, count): the label first; state: the images, their whole perturbation
    before the overshoot, and which of them were misclassified and stay."""
    ops = keras.ops

    def step(call, index, images, classes, current, moved, misclassified):
        def leads(x):
            logits = call(x)
            found = ops.take_along_axis(logits, classes, 1)
            return found[:, 1:] - found[:, :1], perturb.is_misclassified(logits, classes[:, 0])

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
        moved = moved + distance[:, None, None, None] * direction
        further = ops.clip(images + (1 + overshoot) * moved, 0.0, 1.0)
        return ops.where(perturb.per_image(misclassified, images), current, further), moved, misclassified

    return step
