"""Adversarial weight perturbation, AWP (Wu, Xia, Wang, NeurIPS 2020, algorithm 1), in the update of any attack."""

from __future__ import annotations

import dataclasses

import keras

from models import compute

OFFSET = 1e-20  # added to a gradient's norm, as in the authors' code


@dataclasses.dataclass(frozen=True, kw_only=True)
class Awp:
    """The weights from which a step is taken are moved up the training loss, and back after the step.

    gamma: length of the move of each kernel as a fraction of the kernel's norm.
    start: fraction of the run from which weights are moved; before, the update is the plain one.
    The direction is that of the gradient of the same batch, on its own batch statistics, in a pass that does not write
    the moving statistics; its random layers draw as those of the update [I]. Weight decay is that of the moved weights,
    as in the authors' code [P].
    Raises ValueError for values out of range.
    """

    gamma: float
    start: float = 0.0

    def __post_init__(self):
        if not (self.gamma > 0 and 0 <= self.start <= 1):
            raise ValueError(f"gamma={self.gamma}, start={self.start}: expected gamma > 0 and a start from 0 to 1")

    def moved(self, progress: float) -> bool:
        """Whether weights are moved after a fraction `progress` of the run."""
        return progress >= self.start - 1e-9

    def displace(self, gradients: list[compute.Tensor], weights: list[compute.Tensor]) -> list[compute.Tensor]:
        """The move of each weight, gamma |w| g / (|g| + OFFSET) with Frobenius norms; 0 for biases and batch norm.

        The direction is known by the rank of the tensor, which is 1 for biases and batch norm, as in the authors' code
        [P]. Norms are computed of scaled entries, since the squares of small gradients underflow to 0, which would
        make the move arbitrarily long [D].
        """
        return [
            self.gamma * _norm(weight) * (gradient / (_norm(gradient) + OFFSET))
            if len(weight.shape) > 1
            else keras.ops.zeros_like(weight)
            for gradient, weight in zip(gradients, weights, strict=True)
        ]


def _norm(tensor):
    largest = keras.ops.max(keras.ops.abs(tensor))
    scale = keras.ops.where(largest > 0, largest, 1.0)
    return scale * keras.ops.sqrt(keras.ops.sum(keras.ops.square(tensor / scale)))
