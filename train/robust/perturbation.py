"""The attack of robust training: random starts, step sizes, and a compiled attack step.

Images are float32 in [0, 1]. Step sizes are fractions of epsilon, so that published values (.25 for 2/255 at 8/255)
apply to other radii [D].
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import keras
import numpy

from models import compute, perturb
from train.robust import losses

STARTS = ("zero", "uniform", "gaussian")
TEMPERATURE = 0.2  # of "tempered-cross-entropy", 1/T = 5
ATTACK_LOSSES = {
    "cross-entropy": perturb.cross_entropy,
    "kl": losses.divergence_from,
    "tempered-cross-entropy": losses.tempered_cross_entropy(TEMPERATURE),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class StepSize:
    """The step size as a fraction of epsilon, for n steps.

    share: the fraction.
    rule: "fixed": share; "cover": at least 1 / n, so that n steps can reach the radius (DEAT); "spread": share / n
        (Amata).
    Raises ValueError for another rule, and a share that is not above 0.
    """

    share: float
    rule: str = "fixed"

    def __post_init__(self):
        if self.rule not in ("fixed", "cover", "spread") or not self.share > 0:
            raise ValueError(f"step size {self.share} {self.rule!r}, expected above 0, and fixed, cover or spread")

    def of(self, steps: int) -> float:
        """The step size as a fraction of epsilon for `steps` steps (0: as 1)."""
        steps = max(steps, 1)
        return {"fixed": self.share, "cover": max(self.share, 1 / steps), "spread": self.share / steps}[self.rule]


def begin(
    images: numpy.ndarray,
    epsilon: float | numpy.ndarray,
    start: str,
    generator: numpy.random.Generator,
    *,
    clip: bool = True,
) -> numpy.ndarray:
    """The start of an attack, inside the ball: (N, H, W, C).

    images: float32 (N, H, W, C).
    epsilon: a number or (N,).
    start: "zero" (the images), "uniform" (a uniform point of the ball) or "gaussian" (noise of deviation .001).
    generator: numpy.random.Generator.
    clip: clip to [0, 1]; many originals do not [P].
    """
    if start == "zero":
        return images
    if start == "uniform":
        return perturb.random_start(images, 2 * generator.random(images.shape, "float32") - 1, epsilon, clip=clip)
    radius = numpy.reshape(epsilon, (-1, 1, 1, 1)) if numpy.ndim(epsilon) else epsilon
    noise = (0.001 * generator.standard_normal(images.shape, "float32")).clip(-radius, radius)
    return perturb.random_start(images, noise, 1, clip=clip)


def magnitude(gradient: compute.Tensor, scale: compute.Tensor) -> compute.Tensor:
    """||gradient||_1 times the channels' deviations: (N, H, W, C) and (C,) -> a number (DEAT, equation 9)."""
    return keras.ops.sum(keras.ops.abs(gradient) * scale)


def _step(loss):
    def step(call, current, images, targets, epsilon, step_size, scale):
        sizes = {"epsilon": epsilon, "step_size": step_size}
        moved, _, gradient = perturb.ascent_step(call, current, images, targets, **sizes, loss=loss)
        return moved, magnitude(gradient, scale) / keras.ops.cast(keras.ops.shape(images)[0], "float32")

    return step


def log_softmax(call: Callable, images: compute.Tensor) -> compute.Tensor:
    """Clean log-probabilities for the attack of TRADES: constant during the attack, so computed once a batch."""
    return keras.ops.log_softmax(call(images))


def step_alongside(
    call: Callable,
    current: compute.Tensor,
    images: compute.Tensor,
    labels: compute.Tensor,
    epsilon: compute.Tensor,
    step_size: compute.Tensor,
    scale: compute.Tensor,
) -> tuple[compute.Tensor, compute.Tensor]:
    """A step on the KL divergence in training mode, as in DEAT's TRADES [P].

    At each step the clean images pass after the perturbed images and also update the moving statistics.
    """

    def divergence(logits, _):
        clean = keras.ops.stop_gradient(keras.ops.cast(call(images), "float32"))
        return losses.divergence_from(keras.ops.cast(logits, "float32"), keras.ops.log_softmax(clean))

    return _step(divergence)(call, current, images, labels, epsilon, step_size, scale)


STEPS = {name: _step(loss) for name, loss in ATTACK_LOSSES.items()}  # cached objects: compiled once a model
