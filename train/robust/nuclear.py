"""Nuclear-norm adversarial training, NuAT2 (Sriramanan, Addepalli, Baburaj, Babu, NeurIPS 2021)."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import keras
import numpy

from models import compute, perturb, updates
from train.robust import adversarial, perturbation
from train.robust.targets import Batch

LEAST = 1e-8  # added to the eigenvalues
RELATIVE = 1e-6  # of the largest eigenvalue, added too: float32 knows the others no better


@dataclasses.dataclass(frozen=True, kw_only=True)
class Nuclear:
    """Cross-entropy of the clean images and lambda ||f(x) - f(x')||_* / B, the nuclear norm of a batch's changes.

    x' is found in two steps of size epsilon from random signs of half of epsilon: up the cross-entropy plus the norm
    (against the clean outputs, without their gradient), then up the cross-entropy, in eval mode.
    top: lambda rises in proportion to the fraction of the run, from 0 to this; in the authors' code once an epoch [D].
    decay: NuAT2-WA: the first step is up the loss of an average of the weights with this decay; None: of the net.
    A last batch that is short is divided by its own size; the authors' code divides by 64 [D].
    Raises ValueError for values out of range.
    """

    top: float = 4.0
    decay: float | None = None

    def __post_init__(self):
        if not (self.top >= 0 and (self.decay is None or 0 <= self.decay < 1)):
            raise ValueError(f"top={self.top}, decay={self.decay}: expected at least 0, and a decay in [0, 1)")

    def passes(self, steps: int) -> float:
        """Forward and backward passes per image: a clean forward pass, the steps, and the update's two passes."""
        return (0.5 if steps else 0.0) + steps + 2

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
        """As adversarial.Adversarial.batch; the first of the `steps` increases the norm too."""
        if measure:
            raise ValueError("NuAT measures no gradient magnitude: give it another controller")
        train_step = updates.train_step(model, optimizer, _objective, regularise=False)
        guide, blend = model, None
        if self.decay is not None:
            guide = keras.models.clone_model(model)
            guide.set_weights(model.get_weights())
            blend = updates.blend(model.weights, guide.weights)
        first_step = compute.compiled(guide, _first_step)
        ascend = compute.compiled(model, perturbation.STEPS["cross-entropy"])
        anchor = compute.compiled(guide, _logits)

        def run(images, labels, steps, generator, carried=None, progress=0.0, rows=None):
            factor, current = numpy.float32(self.top * progress), images
            if steps:
                signs = numpy.float32(2 * generator.integers(0, 2, images.shape) - 1)
                current = perturb.random_start(images, signs / 2, epsilon)
                current = first_step(current, images, labels, anchor(images), numpy.float32(epsilon), factor)
            for _ in range(steps - 1):
                current, _ = ascend(current, images, labels, epsilon, epsilon, scale)
            loss, correct = train_step(current, images, labels, factor)
            if blend is not None:
                blend(numpy.float32(1 - self.decay))
            return adversarial.Outcome(loss, correct, 0.0, self.passes(steps))

        if blend is None:
            return run

        def state():
            return {f"guide-{place:04d}": value for place, value in enumerate(guide.get_weights())}

        return Batch(run, state, lambda saved: guide.set_weights([saved[name] for name in state()]))


def norm(difference: compute.Tensor) -> compute.Tensor:
    """The nuclear norm of (B, K), a number whose gradient is Z (Z^T Z + c I)^(-1/2), by the eigenvalues of K x K.

    The gradient of a singular value decomposition fails at equal or zero singular values [D]. c is LEAST and RELATIVE
    times the largest eigenvalue: the gradient of singular values below a thousandth of the largest shrinks to 0 [D].
    """
    fixed = keras.ops.stop_gradient(difference)
    largest = keras.ops.max(keras.ops.abs(fixed))
    scale = keras.ops.where(largest > 0, largest, 1.0)  # squares neither overflow nor underflow
    unit = fixed / scale
    values, vectors = keras.ops.eigh(keras.ops.matmul(keras.ops.transpose(unit), unit))
    values = keras.ops.maximum(values, 0.0)
    floor = LEAST / keras.ops.square(scale) + RELATIVE * keras.ops.max(values) + 1e-30
    inverse = vectors / keras.ops.sqrt(values + floor)
    gradient = keras.ops.matmul(unit, keras.ops.matmul(inverse, keras.ops.transpose(vectors)))
    return keras.ops.sum(gradient * difference)


def _objective(call, current, images, labels, factor):
    clean = keras.ops.cast(call(images), "float32")
    adversarial = keras.ops.cast(call(current), "float32")
    correct = keras.ops.logical_not(perturb.is_misclassified(adversarial, labels))
    count = keras.ops.cast(keras.ops.shape(clean)[0], "float32")
    return perturb.cross_entropy(clean, labels) + factor * norm(clean - adversarial) / count, correct


def _first_step(call, current, images, labels, clean, epsilon, factor):
    def attack_loss(x):
        logits = keras.ops.cast(call(x), "float32")
        count = keras.ops.cast(keras.ops.shape(logits)[0], "float32")
        return perturb.cross_entropy(logits, labels) + factor * norm(clean - logits) / count, ()

    _, gradient = compute.gradient(attack_loss, current, call)
    return perturb.move(current, images, gradient, epsilon, epsilon)


def _logits(call, images):
    return keras.ops.cast(call(images), "float32")
