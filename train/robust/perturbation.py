"""What the batches of robust training start from and move by: random starts, step sizes, one compiled attack step.

Images are float32 in [0, 1]; step sizes are shares of epsilon, so that a published setting (2/255 at 8/255 is .25)
carries over to another radius [D].
"""

import dataclasses

import keras
import numpy

from models import perturb
from train.robust import losses

STARTS = ("zero", "uniform", "gaussian")
TEMPERED = 0.2  # the temperature of "tempered", 1/T = 5
ATTACK_LOSSES = {
    "cross-entropy": perturb.cross_entropy,
    "kl": losses.divergence_from,
    "tempered": perturb.tempered(TEMPERED),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class StepSize:
    """The size of a step where n are taken, as a share of epsilon.

    rule: "fixed", the share itself; "cover", at least 1 / n, so that n steps can cross the radius (DEAT); "spread",
    share / n (Amata).
    """

    share: float
    rule: str = "fixed"

    def __post_init__(self):
        if self.rule not in ("fixed", "cover", "spread") or not self.share > 0:
            raise ValueError(f"step size {self.share} {self.rule!r}, expected above 0, and fixed, cover or spread")

    def of(self, steps):
        """The share for `steps` steps (of none: for one)."""
        steps = max(steps, 1)
        return {"fixed": self.share, "cover": max(self.share, 1 / steps), "spread": self.share / steps}[self.rule]


def begin(images, epsilon, start, generator, *, clip=True):
    """Where an attack begins, in the ball: the "zero" perturbation, a "uniform" point of it, or "gaussian" noise of
    deviation .001. images: float32 (N, H, W, C); epsilon: a number or values (N,); generator: numpy.random.Generator;
    clip: to [0, 1] too, which many originals do not do [P]: a pixel near 0 or 1 may then begin outside."""
    if start == "zero":
        return images
    if start == "uniform":
        return perturb.random_start(images, 2 * generator.random(images.shape, "float32") - 1, epsilon, clip=clip)
    radius = numpy.reshape(epsilon, (-1, 1, 1, 1)) if numpy.ndim(epsilon) else epsilon
    noise = (0.001 * generator.standard_normal(images.shape, "float32")).clip(-radius, radius)
    return perturb.random_start(images, noise, 1, clip=clip)


def magnitude(gradient, scale):
    """||gradient||_1 times the channels' deviations: (N, H, W, C) and (C,) -> a number (DEAT, equation 9)."""
    return keras.ops.sum(keras.ops.abs(gradient) * scale)


def _step(loss):
    def step(call, current, images, targets, epsilon, step_size, scale):
        sizes = {"epsilon": epsilon, "step_size": step_size}
        moved, _, gradient = perturb.ascent_step(call, current, images, targets, **sizes, loss=loss)
        return moved, magnitude(gradient, scale) / keras.ops.cast(keras.ops.shape(images)[0], "float32")

    return step


def log_softmax(call, images):
    """What the attack of TRADES measures from: constant while it runs, so computed once a batch."""
    return keras.ops.log_softmax(call(images))


def step_alongside(call, current, images, labels, epsilon, step_size, scale):
    """A step up the KL divergence in training mode, where the clean images pass after the perturbed ones at every step
    and move the statistics too, as in DEAT's TRADES [P]."""

    def divergence(logits, _):
        clean = keras.ops.stop_gradient(keras.ops.cast(call(images), "float32"))
        return losses.divergence_from(keras.ops.cast(logits, "float32"), keras.ops.log_softmax(clean))

    return _step(divergence)(call, current, images, labels, epsilon, step_size, scale)


STEPS = {name: _step(loss) for name, loss in ATTACK_LOSSES.items()}  # one object each: compiled once a model
