"""Losses of robust training on clean and adversarial logits: (N, K), (N, K), integer labels (N,) -> (N,)."""

from __future__ import annotations

import functools
from collections.abc import Callable

import keras

from models import compute, perturb


def divergence(log_p: compute.Tensor, log_q: compute.Tensor) -> compute.Tensor:
    """KL(p || q) -> (N,). log_p, log_q: log-probabilities (N, K)."""
    return keras.ops.sum(keras.ops.exp(log_p) * (log_p - log_q), axis=-1)


def trades(
    logits: compute.Tensor,
    adversarial_logits: compute.Tensor,
    labels: compute.Tensor,
    *,
    beta: compute.Tensor,
    again: compute.Tensor | None = None,
) -> compute.Tensor:
    """CE(p, y) + beta KL(p || p') -> (N,), with gradients through both arguments of the divergence.

    Zhang et al., ICML 2019, equation 5; p and p' are the softmax of clean and adversarial logits.
    logits, adversarial_logits: of the clean and of the adversarial images (N, K).
    labels: y, integers (N,).
    beta: weight of the divergence, a number.
    again: clean logits of another pass, for the divergence (None: the same).
    """
    clean = keras.ops.log_softmax(logits if again is None else again)
    adversarial = keras.ops.log_softmax(adversarial_logits)
    return perturb.cross_entropy(logits, labels) + beta * divergence(clean, adversarial)


def mart(
    logits: compute.Tensor, adversarial_logits: compute.Tensor, labels: compute.Tensor, *, beta: compute.Tensor
) -> compute.Tensor:
    """BCE(p', y) + beta KL(p || p') (1 - p_y) -> (N,), where BCE = -log p'_y - log(1 - max over k != y of p'_k).

    Wang et al., ICLR 2020, equation 11, with the constants of its code, 1.0001 + 1e-12, 1.0000001 and, inside the
    divergence's second logarithm, 1e-12 [P]; gradients flow through every factor.

    Arguments as in `trades`.
    """
    clean, adversarial = keras.ops.log_softmax(logits), keras.ops.log_softmax(adversarial_logits)
    is_label = keras.ops.one_hot(labels, logits.shape[-1], dtype="bool")
    runner_up = keras.ops.max(keras.ops.where(is_label, 0.0, keras.ops.exp(adversarial)), axis=-1)
    boosted = perturb.cross_entropy(adversarial_logits, labels) - keras.ops.log(1.0001 - runner_up + 1e-12)
    doubt = 1.0000001 - keras.ops.exp(-perturb.cross_entropy(logits, labels))
    return boosted + beta * divergence(clean, keras.ops.log(keras.ops.exp(adversarial) + 1e-12)) * doubt


def divergence_from(adversarial_logits: compute.Tensor, log_probabilities: compute.Tensor) -> compute.Tensor:
    """KL(p || p') for fixed log p, (N, K), (N, K) -> (N,): the attack loss of TRADES.

    adversarial_logits: (N, K); log_probabilities: log p of the clean images (N, K).
    The direction of its gradient is exact even if both distributions are saturated.
    """
    entropy = -keras.ops.sum(keras.ops.exp(log_probabilities) * log_probabilities, axis=-1)
    return perturb.soft_cross_entropy(adversarial_logits, log_probabilities) - entropy


@functools.cache
def tempered_cross_entropy(temperature: float) -> Callable:
    """-log softmax(z / T)_y as a loss of (logits, labels): the attack loss of training by Temperature-PGD.

    Its gradient, (1 - p_y) / T times that of perturb.surrogate_tempered, keeps its direction where p_y rounds to 1.
    In training mode batch norm couples the images of a batch, so the weights 1 - p_y matter (perturb.log_odds).
    One cached object a temperature, so compiled only once.
    """

    def loss(logits, labels):
        return perturb.cross_entropy(keras.ops.cast(logits, "float32") / temperature, labels)

    return loss
