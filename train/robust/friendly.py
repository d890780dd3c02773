"""The early stop of friendly adversarial training, FAT (Zhang et al., ICML 2020, algorithm 1), inside any attack."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import keras
import numpy

from models import compute, perturb
from train.robust import perturbation


@dataclasses.dataclass(frozen=True, kw_only=True)
class Friendly:
    """PGD-K-tau: an image stops when it is misclassified and has already taken `tau` steps while misclassified.

    tau: those steps.
    rises: fractions of the run at which tau grows by 1 (dynamic tau).
    omega: standard deviation of the Gaussian noise added in each step.
    Finished images leave the batch, so fewer passes take less time (on jax and on GPUs in powers of two).
    """

    tau: int
    rises: tuple = ()
    omega: float = 0.001

    def patience(self, progress: float) -> int:
        """tau after a fraction `progress` of the run."""
        return self.tau + sum(progress >= fraction - 1e-9 for fraction in self.rises)

    def attack(self, model: keras.Model, attack_loss: str) -> Callable:
        """``run(images, current, labels, targets, steps, epsilon, step_size, generator, progress)``.

        It returns (adversarials, passes per image). model: the one that is trained.
        attack_loss: a name of perturbation.ATTACK_LOSSES.
        epsilon, step_size: numbers or (n,).
        """

        def run(images, current, labels, targets, steps, epsilon, step_size, generator, progress):
            def noise(count):
                return self.omega * generator.standard_normal((count, *images.shape[1:]), "float32")

            count = len(images)
            sizes = (numpy.broadcast_to(numpy.float32(size), count) for size in (epsilon, step_size))
            passes, remaining = numpy.zeros(count, "int32"), numpy.full(count, self.patience(progress), "int32")
            current, _, passes, _ = compute.repeat(
                model,
                STEPS[attack_loss],
                (current, remaining, passes, numpy.zeros(count, bool)),
                steps,
                constants=(images, labels, targets, *sizes),
                until=3,
                draw=noise,
                batch_size=count,
            )
            return current, passes.sum() / count

        return run


def _step(loss):
    """One step for compute.repeat. Constants: noise, images, labels, targets, epsilon, step_size.

    State: current images, steps left while misclassified, steps taken, whether an image has ended.
    """

    def step(call, index, noise, images, labels, targets, epsilon, step_size, current, remaining, passes, ended):
        def is_done(logits):
            return keras.ops.logical_and(perturb.is_misclassified(logits, labels), remaining == 0)

        settings = {"epsilon": epsilon, "step_size": step_size, "loss": loss, "hold": is_done, "noise": noise}
        moved, logits, _ = perturb.ascent_step(call, current, images, targets, **settings)
        fewer = keras.ops.where(
            perturb.is_misclassified(logits, labels), keras.ops.maximum(remaining - 1, 0), remaining
        )
        return moved, fewer, passes + 1, is_done(logits)

    return step


STEPS = {name: _step(loss) for name, loss in perturbation.ATTACK_LOSSES.items()}
