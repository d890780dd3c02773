"""The early stop of friendly adversarial training, FAT (Zhang et al., ICML 2020, algorithm 1), inside any attack."""

import dataclasses

import keras
import numpy

from models import compute, perturb
from train.robust import perturbation


@dataclasses.dataclass(frozen=True, kw_only=True)
class Friendly:
    """PGD-K-tau: an image stops where it is misclassified and has already taken `tau` steps while misclassified.

    rises: fractions of the run from which on tau is one more (dynamic tau); omega: deviation of the Gaussian noise that
    every step adds. Images that have ended leave the batch, so that time falls with the passes (under jax and on a GPU
    to the next power of two).
    """

    tau: int
    rises: tuple = ()
    omega: float = 0.001

    def patience(self, progress):
        """tau after a fraction `progress` of the run."""
        return self.tau + sum(progress >= share - 1e-9 for share in self.rises)

    def attack(self, model, climbed):
        """``run(images, current, labels, targets, steps, epsilon, step_size, generator, progress) -> (adversarials,
        passes an image)``; epsilon, step_size: numbers or values (n,)."""

        def run(images, current, labels, targets, steps, epsilon, step_size, generator, progress):
            def noise(count):
                return self.omega * generator.standard_normal((count, *images.shape[1:]), "float32")

            count = len(images)
            sizes = (numpy.broadcast_to(numpy.float32(size), count) for size in (epsilon, step_size))
            passes, left = numpy.zeros(count, "int32"), numpy.full(count, self.patience(progress), "int32")
            current, _, passes, _ = compute.repeat(
                model,
                STEPS[climbed],
                (current, left, passes, numpy.zeros(count, bool)),
                steps,
                constants=(images, labels, targets, *sizes),
                until=3,
                draw=noise,
                batch_size=count,
            )
            return current, passes.sum() / count

        return run


def _step(loss):
    """One step of compute.repeat: noise, images, labels, targets, epsilon, step_size; the state: the current images,
    steps left while misclassified, steps taken, which images have ended."""

    def step(call, index, noise, images, labels, targets, epsilon, step_size, current, left, passes, ended):
        def is_done(logits):
            return keras.ops.logical_and(perturb.is_misclassified(logits, labels), left == 0)

        settings = {"epsilon": epsilon, "step_size": step_size, "loss": loss, "hold": is_done, "noise": noise}
        moved, logits, _ = perturb.ascent_step(call, current, images, targets, **settings)
        fewer = keras.ops.where(perturb.is_misclassified(logits, labels), keras.ops.maximum(left - 1, 0), left)
        return moved, fewer, passes + 1, is_done(logits)

    return step


STEPS = {name: _step(loss) for name, loss in perturbation.ATTACK_LOSSES.items()}
