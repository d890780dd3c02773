"""Distillation of a standardly and of a robustly trained net into adversarial training (Chen et al., ICLR 2021)."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import keras

from models import compute, perturb
from models.compute.variables import Tensor


@dataclasses.dataclass(frozen=True, kw_only=True)
class Distillation:
    """L = w_0 CE(z, y) + sum over teachers i of w_i T^2 CE(softmax(t_i / T), softmax(z / T)), all at the adversarials.

    Teachers see the same adversarials, in eval mode and without gradient.
    teachers: names of the methods, trained in the same cell, whose selected epochs they are.
    weights: w_0 of the labels and one for each teacher.
    temperature: T.
    Raises ValueError for values out of range.
    """

    teachers: tuple = ("standard", "rice")
    weights: tuple = (0.3, 0.1, 0.6)
    temperature: float = 2.0

    def __post_init__(self):
        if len(self.weights) != 1 + len(self.teachers) or min(self.weights) < 0 or not self.temperature > 0:
            raise ValueError(
                f"{len(self.teachers)} teachers, weights {self.weights}, temperature {self.temperature}: expected a "
                "weight of the labels and one for each teacher, at least 0, and a temperature above 0"
            )

    @property
    def passes(self) -> float:
        """Passes per image of the teachers, each a forward pass."""
        return 0.5 * len(self.teachers)

    def nets(self, teachers: list[keras.Model]) -> Callable:
        """``run(images)`` -> (log softmax(t / T) (n, K) for each teacher,).

        teachers: the trained nets, in the order of the names. Raises ValueError for another number of them.
        """
        if len(teachers) != len(self.teachers):
            raise ValueError(f"{len(teachers)} teachers, expected the nets of {' and '.join(self.teachers)}, in order")
        runs = [compute.compiled(teacher, _logits) for teacher in teachers]
        return lambda images: tuple(keras.ops.log_softmax(run(images) / self.temperature) for run in runs)

    def objective(
        self,
        call: Callable,
        current: Tensor,
        images: Tensor,
        labels: Tensor,
        scale: Tensor,
        weight: Tensor,
        beta: Tensor,
        *soft: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """The objective of the update: (values (n,), correct (n,)).

        current: adversarial images (n, H, W, C).
        labels: integers (n,).
        weight: factor of each value, a number or (n,).
        soft: as `nets` returns.
        Other arguments as of adversarial.cross_entropy.
        """
        logits = keras.ops.cast(call(current), "float32")
        correct = keras.ops.logical_not(perturb.is_misclassified(logits, labels))
        loss = self.weights[0] * perturb.cross_entropy(logits, labels)
        for share, log_q in zip(self.weights[1:], soft, strict=True):
            distillation = perturb.soft_cross_entropy(logits / self.temperature, log_q)
            loss = loss + share * self.temperature**2 * distillation
        return weight * loss, correct


def _logits(call, images):
    return keras.ops.cast(call(images), "float32")
