"""DeepFool: the nearest of the linearised boundaries, again and again."""

import dataclasses
import functools

import keras
import numpy

from adv import search
from adv.attack import Attack
from models import compute, perturb


@dataclasses.dataclass(frozen=True, kw_only=True)
class DeepFool(Attack):
    """DeepFool in L2 or Linf (Moosavi-Dezfooli et al. 2016, algorithm 2), as foolbox 3.3.4's L2DeepFoolAttack and
    LinfDeepFoolAttack do it, over the likeliest classes.

    norm: "l2" or "linf"; steps: at most; overshoot: how far beyond the boundary, as a share; candidates: classes
    considered, the label among them. A step is one compiled call for the images that no earlier one has fooled.
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

    @property
    def closest_gradients(self):
        return self.steps * (self.candidates - 1)

    def closest(self, model, images, labels, *, batch_size=256):
        """Where the steps end, and whether that is misclassified; failed images come back unchanged."""
        logits = compute.predict(compute.forward(model), images, batch_size=batch_size)
        logits = logits.copy()
        logits[numpy.arange(len(labels)), labels] = numpy.inf
        classes = (-logits).argsort(axis=1, kind="stable")[:, : self.candidates].astype(numpy.int32)
        step = compute.compiled(model, _step(self.norm, self.overshoot, classes.shape[1]))
        current, moved, rows = images.copy(), numpy.zeros_like(images), numpy.arange(len(images))
        for _ in range(self.steps):
            current[rows], moved[rows], wrong = compute.predict(
                step, images[rows], current[rows], moved[rows], classes[rows], batch_size=batch_size
            )
            rows = rows[~wrong]
            if not len(rows):
                break
        success = search.classes(model, current, batch_size=batch_size) != labels
        return numpy.where(success[:, None, None, None], current, images), success


@functools.cache
def _step(norm, overshoot, count):
    """One step from `current`: (next images, whole perturbation before the overshoot, which of `current` were wrong
    and stay). classes: (N, count), the label first."""

    def step(call, images, current, moved, classes):
        def towards(place):
            def difference(x):
                logits = call(x)
                values = keras.ops.take_along_axis(logits, classes[:, place : place + 1], 1)
                values = values - keras.ops.take_along_axis(logits, classes[:, :1], 1)
                return values[:, 0], perturb.is_misclassified(logits, classes[:, 0])

            return compute.gradient(difference, current)

        # One gradient after another in one graph: the compiler computes their common forward pass once.
        found = [towards(place) for place in range(1, count)]
        wrong = found[0][0][1]
        gaps = keras.ops.stack([values for (values, _), _ in found], 1)
        slopes = keras.ops.stack([slope for _, slope in found], 1)
        sizes = _dual(slopes, norm) + 1e-8
        distances = keras.ops.abs(gaps) / sizes
        nearest = keras.ops.cast(
            keras.ops.equal(keras.ops.argmin(distances, 1)[:, None], keras.ops.arange(count - 1)), "float32"
        )
        distance = keras.ops.sum(nearest * distances, 1) + 1e-4  # foolbox, for numerical stability
        slope = keras.ops.sum(nearest[:, :, None, None, None] * slopes, 1)
        if norm == "l2":
            direction = slope / keras.ops.sum(nearest * sizes, 1)[:, None, None, None]
        else:
            direction = keras.ops.sign(slope)
        moved = moved + distance[:, None, None, None] * direction
        further = keras.ops.clip(images + (1 + overshoot) * moved, 0.0, 1.0)
        return keras.ops.where(wrong[:, None, None, None], current, further), moved, wrong

    return step


def _dual(slopes, norm):
    """Size of slopes (N, k, H, W, C) in the dual norm: (N, k)."""
    if norm == "linf":
        return keras.ops.sum(keras.ops.abs(slopes), axis=(2, 3, 4))
    return keras.ops.sqrt(keras.ops.sum(keras.ops.square(slopes), axis=(2, 3, 4)))
