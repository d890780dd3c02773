"""FGSM: one step along the sign of the gradient, and a search for the smallest adversarial step."""

from __future__ import annotations

import dataclasses

import keras
import numpy

from adv import pgd, search
from adv.base import Attack, check_least
from models import compute, perturb


@dataclasses.dataclass(frozen=True, kw_only=True)
class FGSM(Attack):
    """Fast gradient sign method: x + epsilon * sign(gradient of the cross-entropy), clipped to [0, 1].

    Goodfellow et al. 2015, section 4; the search over epsilon is that of foolbox 2.3.0's GradientSignAttack.
    epsilons: points of the grid over (0, 1].
    fine: points of the finer grid, used below a success among the first 20.
    loss: the attack loss, a name of pgd.LOSSES.
    Raises ValueError for another loss, and for no points.
    """

    title = "FGSM"
    citation = "Goodfellow, Shlens, Szegedy, ICLR 2015"
    norm = "linf"
    epsilons: int = 1000
    fine: int = 20
    loss: str = "ce"

    def __post_init__(self):
        if self.loss not in pgd.LOSSES:
            raise ValueError(f"loss is {self.loss!r}, expected one of {', '.join(pgd.LOSSES)}")
        check_least(self, epsilons=1, fine=1)

    def closest(
        self, model: keras.Model, images: numpy.ndarray, labels: numpy.ndarray, *, batch_size: int = 256
    ) -> tuple[numpy.ndarray, numpy.ndarray]:
        """One gradient, then the smallest epsilon of the grid that fools the model (search.grid)."""
        block = 10
        signs = self._signs(model, images, labels, batch_size)
        ladder = compute.compiled(model, _ladder)

        def trial(rows, epsilon):
            return compute.predict(
                ladder,
                images[rows],
                signs[rows],
                labels[rows],
                epsilon.astype(numpy.float32),
                batch_size=max(1, batch_size // block),
            )

        epsilon = search.grid(trial, len(images), epsilons=self.epsilons, fine=self.fine, block=block)
        success = ~numpy.isnan(epsilon)
        return _step(images, signs, numpy.where(success, epsilon, 0)), success

    def within(
        self, model: keras.Model, images: numpy.ndarray, labels: numpy.ndarray, *, epsilon: float, batch_size: int = 256
    ) -> numpy.ndarray:
        """One step of size epsilon. Arguments as in base.Attack.within."""
        attacked = _step(images, self._signs(model, images, labels, batch_size), numpy.full(len(images), epsilon))
        return search.inside(attacked, images, epsilon, self.norm)

    def _signs(self, model, images, labels, batch_size):
        return numpy.sign(self._gradient(model, images, labels, batch_size))

    def _gradient(self, model, images, labels, batch_size):
        run = compute.input_gradient(model, pgd.LOSSES[self.loss])
        return compute.predict(run, images, labels, batch_size=batch_size)


def _step(images, signs, epsilon):
    return numpy.clip(images + epsilon.astype(numpy.float32)[:, None, None, None] * signs, 0, 1)


def _ladder(call, images, signs, labels, epsilon):
    """Which of the step sizes epsilon (N, k) fool the model: bool (N, k)."""
    images, signs = keras.ops.expand_dims(images, 1), keras.ops.expand_dims(signs, 1)
    steps = keras.ops.clip(images + epsilon[:, :, None, None, None] * signs, 0.0, 1.0)
    logits = call(keras.ops.reshape(steps, (-1, *images.shape[2:])))
    misclassified = perturb.is_misclassified(logits, keras.ops.repeat(labels, keras.ops.shape(epsilon)[1]))
    return keras.ops.reshape(misclassified, keras.ops.shape(epsilon))
