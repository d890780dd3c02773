"""FREE and DEAT: replay each batch, and update weights and images from the same backward pass."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import keras
import numpy

from models import perturb, updates
from train.robust import adversarial, perturbation


@dataclasses.dataclass(frozen=True, kw_only=True)
class Replay:
    """Replays of a batch: each backward pass gives an ascent step of the images and a descent step of the weights.

    Shafahi et al., NeurIPS 2019, algorithm 1 (FREE); Wang et al. 2021, algorithm 1 (DEAT).
    start, clip_start: of a batch's perturbation.
    step: of the images (perturbation.StepSize).
    persistent: start from the perturbation of the previous batch, as in FREE's own code; the first batch of an epoch
        starts from `start` [D]. The carried perturbation is clipped to the epsilon ball only, and does not change where
        a pixel is clipped to [0, 1].
    """

    start: str = "uniform"
    clip_start: bool = True
    step: perturbation.StepSize
    persistent: bool = False

    def __post_init__(self):
        if self.start not in perturbation.STARTS:
            raise ValueError(f"start is {self.start!r}, expected one of {', '.join(perturbation.STARTS)}")

    def batch(
        self,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        *,
        epsilon: float,
        scale: numpy.ndarray,
        measure: bool = False,
        count: int = 0,
    ) -> Callable:
        """As adversarial.Adversarial.batch; `steps` are the replays, at least 1, each a forward and backward pass."""
        follow = _follow_unboxed if self.persistent else _follow
        train_step = updates.train_step(model, optimizer, _objective, follow=follow, regularise=False)

        def run(images, labels, steps, generator, carried=None, progress=0.0, rows=None):
            if steps < 1:
                raise ValueError(f"{steps} replays of a batch; expected at least 1: start the controller there")
            current = perturbation.begin(images, epsilon, self.start, generator, clip=self.clip_start)
            if self.persistent:
                carried = current - images if carried is None else carried[: len(images)]
            size = epsilon * self.step.of(steps)
            for _ in range(steps):
                if self.persistent:
                    current = keras.ops.clip(images + carried, 0.0, 1.0)
                    arrays = images, labels, epsilon, size, scale, carried
                    loss, correct, (carried, magnitude) = train_step(current, *arrays)
                else:
                    loss, correct, (current, magnitude) = train_step(current, images, labels, epsilon, size, scale)
            return adversarial.Outcome(loss, correct, magnitude, float(steps), carried)

        return run


def _objective(call, current, images, labels, epsilon, step_size, scale, carried=None):
    return adversarial.cross_entropy(call, current, images, labels, scale)


def _follow(current, gradient, images, labels, epsilon, step_size, scale):
    next_images = perturb.move(current, images, gradient, epsilon, step_size)
    return next_images, perturbation.magnitude(gradient, scale)


def _follow_unboxed(current, gradient, images, labels, epsilon, step_size, scale, carried):
    """The step of the carried perturbation, not clipped to [0, 1]; pixels that are clipped have no gradient."""
    inside = keras.ops.abs(images + carried - 0.5) <= 0.5
    step = keras.ops.where(inside, step_size * keras.ops.sign(gradient), 0.0)
    next_carried = keras.ops.clip(carried + step, -epsilon, epsilon)
    return next_carried, perturbation.magnitude(gradient, scale)
