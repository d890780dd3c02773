"""Soft targets that a run makes from its own outputs: one for each training image, kept from epoch to epoch."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import keras
import numpy

from models import compute, perturb
from train.robust import losses

LEAST = 1e-30  # of a probability in a logarithm


@dataclasses.dataclass(frozen=True)
class Batch:
    """A strategy's function of a batch, with the arrays that it carries from epoch to epoch.

    run: the function.
    state: ``state()`` -> dictionary of arrays, which are saved with each epoch.
    restore: ``restore(dictionary)`` of a saved epoch.
    judge: ``judge(is_selected, progress)`` after each epoch: whether held-out images select it among those so far, and
        the fraction of the run that is done; None: the strategy does not ask.
    """

    run: Callable
    state: Callable
    restore: Callable
    judge: Callable | None = None

    def __call__(self, *arguments, **settings):
        return self.run(*arguments, **settings)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SelfAdaptive:
    """SAT with TRADES (Huang, Zhang, Zhang, NeurIPS 2020, algorithm 2): targets are a running mean of the outputs.

    t <- momentum t + (1 - momentum) p, with p the clean softmax of the update's own pass, without gradient. The loss is
    the mean of m_i CE(t_i, p_i), where m_i = max_k t_ik divided by its mean over the batch, and TRADES' divergence.
    momentum: of the targets, which are one-hot at first.
    start: fraction of the run from which they change (epoch 70 of 100).
    The targets are saved with each epoch; the authors' code loses them when it is resumed [D].
    """

    momentum: float = 0.9
    start: float = 69 / 100

    loss = "trades"

    def objective(self, order: tuple[str, ...]) -> Callable:
        """The objective of the update; its extra is (correct (n,), (new targets (n, K),)). order: as in TRADES."""

        def objective(call, current, images, labels, scale, weight, beta, targets, rate):
            passed = {"clean": [], "adversarial": []}
            for kind in order:
                logits = keras.ops.cast(call(images if kind == "clean" else current), "float32")
                passed[kind].append(logits)
            (clean, *repeated), (adversarial,) = passed.values()
            targets = adapted(targets, keras.ops.stop_gradient(keras.ops.softmax(clean)), rate)
            fitted = weighted(clean, targets)
            pair = keras.ops.log_softmax(repeated[0] if repeated else clean), keras.ops.log_softmax(adversarial)
            correct = keras.ops.logical_not(perturb.is_misclassified(adversarial, labels))
            return weight * (fitted + beta * losses.divergence(*pair)), (correct, (targets,))

        return objective

    def net(self, model: keras.Model) -> keras.Model:
        """The model whose passes the objective reads: itself."""
        return model

    def begin(self, count: int, model: keras.Model) -> _Adapting:
        """The targets of `count` training images before training."""
        return _Adapting(self, count, model.output_shape[-1])


def adapted(targets: compute.Tensor, probabilities: compute.Tensor, rate: compute.Tensor) -> compute.Tensor:
    """The targets (n, K) moved by `rate` of the way to the probabilities (n, K)."""
    return (1 - rate) * targets + rate * probabilities


def weighted(logits: compute.Tensor, targets: compute.Tensor) -> compute.Tensor:
    """m_i CE(t_i, softmax z_i) of each image (n,), where m_i = max_k t_ik over its mean in the batch."""
    largest = keras.ops.max(targets, axis=-1)
    log_targets = keras.ops.log(keras.ops.maximum(targets, LEAST))
    return largest / keras.ops.mean(largest) * perturb.soft_cross_entropy(logits, log_targets)


class _Adapting:
    """SAT's targets; an image whose row is 0 has its one-hot label."""

    def __init__(self, rule, count, classes):
        self.rule, self.targets = rule, numpy.zeros((count, classes), "float32")

    def of(self, rows, labels, progress):
        """The arrays that the objective gets for a batch."""
        rate = 1 - self.rule.momentum if progress >= self.rule.start - 1e-9 else 0.0
        return or_labels(self.targets[rows], labels), numpy.float32(rate)

    def learn(self, rows, labels, progress, generator, outputs):
        """Take over the update's outputs for a batch."""
        if progress >= self.rule.start - 1e-9:
            self.targets[rows] = numpy.asarray(outputs[0])

    def state(self):
        return {"targets": self.targets}

    def restore(self, state):
        self.targets = state["targets"]


def one_hot(labels: numpy.ndarray, classes: int) -> numpy.ndarray:
    """Labels (n,) as float32 (n, classes)."""
    return numpy.eye(classes, dtype="float32")[labels]


def or_labels(targets: numpy.ndarray, labels: numpy.ndarray) -> numpy.ndarray:
    """The targets (n, K), with the one-hot label in rows that are 0 because nothing was recorded."""
    return numpy.where(targets.any(1, keepdims=True), targets, one_hot(labels, targets.shape[1]))
