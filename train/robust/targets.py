"""Soft targets that a run makes from its own outputs: one for each training image, kept from epoch to epoch."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import keras
import numpy

from models import compute, perturb
from train.robust import losses

LEAST = 1e-30  # of a probability in a logarithm
KINDS = ("best", "mean", "random", "smoothed")
MOMENTUM = 0.9  # of the running mean of "mean", as in SelfAdaptive


@dataclasses.dataclass(frozen=True)
class Batch:
    """A strategy's function of a batch, with the arrays that it carries from epoch to epoch.

    run: the function.
    state: ``state()`` -> dictionary of arrays, which are saved with each epoch.
    restore: ``restore(dictionary)`` of a saved epoch.
    """

    run: Callable
    state: Callable
    restore: Callable

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

    def begin(self, count: int, classes: int) -> _Adapting:
        """The targets of `count` images of `classes` classes before training."""
        return _Adapting(self, count, classes)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Mined:
    """Targets mined from the run's own history, for PGD training; ours [D].

    While the run is younger than `start`, the adversarial softmax of each update's own pass is recorded for each
    image: this costs nothing. From then on the target is `share` of the label and the rest of what was recorded.
    kind: what is recorded of an image's epochs: "best", the output of the epoch that was most confident of the true
        class under attack; "mean", SAT's running mean; as controls "random", the output of a random epoch, and
        "smoothed", the best epoch's entropy alone: a smoothed label of equal entropy.
    Raises ValueError for an unknown kind and fractions out of range.
    """

    kind: str = "best"
    start: float = 0.6
    share: float = 0.5

    loss = "cross-entropy"

    def __post_init__(self):
        if self.kind not in KINDS:
            raise ValueError(f"kind is {self.kind!r}, expected one of {', '.join(KINDS)}")
        if not (0 <= self.start <= 1 and 0 <= self.share <= 1):
            raise ValueError(f"start={self.start}, share={self.share}: expected fractions from 0 to 1")

    def objective(self, order: tuple[str, ...]) -> Callable:
        """The objective; its extra is (correct (n,), (softmax (n, K), log p_y (n,)))."""
        return _soft

    def begin(self, count: int, classes: int) -> _Recording:
        """The records of `count` images of `classes` classes before training."""
        return _Recording(self, count, classes)


def _soft(call, current, images, labels, scale, weight, beta, targets):
    logits = keras.ops.cast(call(current), "float32")
    correct = keras.ops.logical_not(perturb.is_misclassified(logits, labels))
    log_p = -keras.ops.softplus(perturb.log_odds(logits, labels))
    log_targets = keras.ops.log(keras.ops.maximum(targets, LEAST))
    outputs = keras.ops.stop_gradient(keras.ops.softmax(logits)), keras.ops.stop_gradient(log_p)
    return weight * perturb.soft_cross_entropy(logits, log_targets), (correct, outputs)


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


class _Recording:
    """The record of every image: probabilities, the log-probability of the true class, and the number of epochs."""

    def __init__(self, rule, count, classes):
        self.rule, self.probabilities = rule, numpy.zeros((count, classes), "float32")
        self.confidence, self.counts = numpy.full(count, -numpy.inf, "float32"), numpy.zeros(count, "int32")

    def of(self, rows, labels, progress):
        recorded = or_labels(self.probabilities[rows], labels)
        if progress < self.rule.start - 1e-9:
            return (one_hot(labels, recorded.shape[1]),)
        mixed = self.rule.share * one_hot(labels, recorded.shape[1]) + (1 - self.rule.share) * recorded
        return (smoothed(entropy(mixed), labels, mixed.shape[1]) if self.rule.kind == "smoothed" else mixed,)

    def learn(self, rows, labels, progress, generator, outputs):
        if progress >= self.rule.start - 1e-9:
            return
        probabilities, confidence = map(numpy.asarray, outputs)
        if self.rule.kind == "mean":
            before = or_labels(self.probabilities[rows], labels)
            self.probabilities[rows] = MOMENTUM * before + (1 - MOMENTUM) * probabilities
        else:
            replaced = confidence > self.confidence[rows]
            if self.rule.kind == "random":  # each of the epochs so far with equal probability
                replaced = generator.random(len(rows)) * (self.counts[rows] + 1) < 1
            self.probabilities[rows[replaced]] = probabilities[replaced]
        self.confidence[rows] = numpy.maximum(self.confidence[rows], confidence)
        self.counts[rows] += 1

    def state(self):
        return {"probabilities": self.probabilities, "confidence": self.confidence, "seen": self.counts}

    def restore(self, state):
        self.probabilities, self.confidence, self.counts = (state[name] for name in self.state())


def one_hot(labels: numpy.ndarray, classes: int) -> numpy.ndarray:
    """Labels (n,) as float32 (n, classes)."""
    return numpy.eye(classes, dtype="float32")[labels]


def or_labels(targets: numpy.ndarray, labels: numpy.ndarray) -> numpy.ndarray:
    """The targets (n, K), with the one-hot label in rows that are 0 because nothing was recorded."""
    return numpy.where(targets.any(1, keepdims=True), targets, one_hot(labels, targets.shape[1]))


def entropy(probabilities: numpy.ndarray) -> numpy.ndarray:
    """The entropy in nats of each row (n, K) -> (n,), float64."""
    values = numpy.asarray(probabilities, "float64")
    return -(values * numpy.log(numpy.maximum(values, LEAST))).sum(1)


def smoothed(entropies: numpy.ndarray, labels: numpy.ndarray, classes: int) -> numpy.ndarray:
    """Smoothed labels float32 (n, K) of given entropies (n,), from 0 to log K: 1 - s on the label, the rest shared.

    s, at most (K - 1) / K, by bisection: the entropy rises with it.
    """
    low, high = numpy.zeros(len(labels)), numpy.full(len(labels), (classes - 1) / classes)
    for _ in range(50):
        middle = (low + high) / 2
        on_label = 1 - middle
        value = -on_label * numpy.log(on_label) - middle * numpy.log(numpy.maximum(middle, LEAST) / (classes - 1))
        low, high = numpy.where(value < entropies, middle, low), numpy.where(value < entropies, high, middle)
    share = ((low + high) / 2)[:, None]
    return numpy.where(one_hot(labels, classes) > 0, 1 - share, share / (classes - 1)).astype("float32")
