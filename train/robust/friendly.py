"""The early stop of friendly adversarial training, FAT (Zhang et al., ICML 2020, algorithm 1), inside any attack."""

import dataclasses

import keras
import numpy

from models import compute, perturb
from train.robust import perturbation


@dataclasses.dataclass(frozen=True, kw_only=True)
class Friendly:
    """PGD-K-tau: an image stops where it is misclassified and has already taken `tau` steps while misclassified.

    rises: shares of the run from which on tau is one more (dynamic tau); omega: deviation of the
    Gaussian noise that every step adds. Images that are finished leave the batch, so that time falls with the passes
    (under jax and on a GPU to the next power of two).
    """

    tau: int
    rises: tuple = ()
    omega: float = 0.001

    def patience(self, progress):
        """tau after a share `progress` of the run."""
        return self.tau + sum(progress >= share - 1e-9 for share in self.rises)

    def attack(self, model, climbed):
        """``run(images, current, labels, targets, steps, epsilon, step_size, generator, progress) -> (adversarials,
        passes an image)``; epsilon, step_size: numbers or values (n,)."""
        step = compute.compiled(model, STEPS[climbed])

        def run(images, current, labels, targets, steps, epsilon, step_size, generator, progress):
            epsilon, step_size = numpy.float32(epsilon), numpy.float32(step_size)
            current, targets = numpy.array(current), numpy.asarray(targets)
            left = numpy.full(len(images), self.patience(progress), "int32")
            going = numpy.arange(len(images))
            passed = 0
            for _ in range(steps):
                noise = self.omega * generator.standard_normal((len(going), *images.shape[1:]), "float32")
                parts = current[going], images[going], labels[going], targets[going], left[going], noise
                radii = (numpy.broadcast_to(value, len(images))[going] for value in (epsilon, step_size))
                current[going], left[going], done = compute.predict(step, *parts, *radii, batch_size=len(images))
                passed += len(going)
                going = going[~done]
                if not len(going):
                    break
            return current, passed / len(images)

        return run


def _step(loss):
    """One step of the images that go on: (next images, steps left while misclassified, which are finished)."""

    def step(call, current, images, labels, targets, left, noise, epsilon, step_size):
        def is_done(logits):
            return keras.ops.logical_and(perturb.is_misclassified(logits, labels), left == 0)

        settings = {"epsilon": epsilon, "step_size": step_size, "loss": loss, "hold": is_done, "noise": noise}
        moved, logits, _ = perturb.ascent_step(call, current, images, targets, **settings)
        misclassified = perturb.is_misclassified(logits, labels)
        return moved, keras.ops.where(misclassified, keras.ops.maximum(left - 1, 0), left), is_done(logits)

    return step


STEPS = {name: _step(loss) for name, loss in perturbation.CLIMBED.items()}
