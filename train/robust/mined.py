"""Targets mined from the history of a robust training while it runs: DARE's idea carried into it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import keras
import numpy

from models import perturb
from train.robust.targets import LEAST, one_hot, or_labels

KINDS = ("best", "mean", "random", "smoothed")
OF = {"probabilities": KINDS, "activations": ("best", "random")}  # what is recorded, and how it may be chosen
MOMENTUM = 0.9  # of the running mean of "mean", as in targets.SelfAdaptive


@dataclasses.dataclass(frozen=True, kw_only=True)
class Mined:
    """Targets mined from the run's own history, for PGD training; ours [D].

    While the run is younger than `start`, the outputs of each update's own pass under attack are recorded for each
    image: this costs no pass. From then on `share` of the loss is that of the label, and the rest that of the record.
    With `patience`, held-out images tell when: once the selected epoch so far lies `patience` of the run back, and
    `start` is reached, the record as it was after that epoch is learnt from, to the end. Recording goes on, and an
    epoch that is selected later renews what is learnt from.
    of: what is recorded: "probabilities", the softmax, which is mixed with the label into one soft target; or
        "activations", what the logits read, as DARE's regression has it: the rest of the loss is then their squared
        distance to the record over its mean square.
    kind: what is recorded of an image's epochs: "best", the outputs of the epoch that was most confident of the true
        class under attack; "mean", SAT's running mean; as controls "random", the outputs of a random epoch, and
        "smoothed", the best epoch's entropy alone: a smoothed label of equal entropy. Activations: "best", "random".
    Raises ValueError for unknown names and fractions out of range.
    """

    kind: str = "best"
    start: float = 0.6
    share: float = 0.5
    of: str = "probabilities"
    patience: float | None = None

    loss = "cross-entropy"

    def __post_init__(self):
        if self.of not in OF:
            raise ValueError(f"of is {self.of!r}, expected one of {', '.join(OF)}")
        if self.kind not in OF[self.of]:
            raise ValueError(f"kind is {self.kind!r}, expected one of {', '.join(OF[self.of])} for {self.of}")
        fractions = {name: getattr(self, name) for name in ("start", "share", "patience")}
        if not all(value is None or 0 <= value <= 1 for value in fractions.values()):
            seen = ", ".join(f"{name}={value}" for name, value in fractions.items())
            raise ValueError(f"{seen}: expected fractions from 0 to 1")

    def objective(self, order: tuple[str, ...]) -> Callable:
        """The objective; its extra is (correct (n,), (what is recorded (n, K) or (n, D), log p_y (n,)))."""
        return _soft if self.of == "probabilities" else _near

    def net(self, model: keras.Model) -> keras.Model:
        """The model whose passes the objective reads; for activations one that also gives these, of equal weights."""
        if self.of == "probabilities":
            return model
        return keras.Model(model.inputs[0], [model.layers[-1].input, model.outputs[0]], name=model.name)

    def begin(self, count: int, model: keras.Model) -> _Recording:
        """The records of `count` training images before training."""
        if self.of == "probabilities":
            return _Recording(self, count, model.output_shape[-1])
        return _Activations(self, count, model.layers[-1].input.shape[-1])


HELD_OUT = {"start": 0.0, "patience": 0.1}
VARIANTS = {  # the methods' names: rule, title
    "history-at": (Mined(), "targets of each image's best epoch"),
    "history-at-early": (Mined(start=0.3), "targets of each image's best epoch, mined early"),
    "history-at-held-out": (Mined(**HELD_OUT), "targets of each image's best epoch up to the selected one"),
    "history-at-held-out-random": (
        Mined(kind="random", **HELD_OUT),
        "targets of a random epoch up to the selected one (a control)",
    ),
    "history-at-mean": (Mined(kind="mean"), "targets of the running mean over epochs"),
    "history-at-random": (Mined(kind="random"), "targets of a random epoch (a control)"),
    "history-at-smoothed": (Mined(kind="smoothed"), "labels smoothed to the best epoch's entropy (a control)"),
    "history-at-r": (Mined(of="activations"), "activations of each image's best epoch"),
    "history-at-r-random": (Mined(of="activations", kind="random"), "those of a random epoch (a control)"),
}


def _soft(call, current, images, labels, scale, weight, beta, targets):
    logits = keras.ops.cast(call(current), "float32")
    correct, log_p = _judged(logits, labels)
    log_targets = keras.ops.log(keras.ops.maximum(targets, LEAST))
    outputs = keras.ops.stop_gradient(keras.ops.softmax(logits)), log_p
    return weight * perturb.soft_cross_entropy(logits, log_targets), (correct, outputs)


def _near(call, current, images, labels, scale, weight, beta, targets, share):
    activations, logits = (keras.ops.cast(output, "float32") for output in call(current))
    correct, log_p = _judged(logits, labels)
    values = share * perturb.cross_entropy(logits, labels) + (1 - share) * distance(activations, targets)
    return weight * values, (correct, (keras.ops.stop_gradient(activations), log_p))


def _judged(logits, labels):
    log_p = -keras.ops.softplus(perturb.log_odds(logits, labels))
    return keras.ops.logical_not(perturb.is_misclassified(logits, labels)), keras.ops.stop_gradient(log_p)


def distance(activations, targets):
    """Mean squared difference of each row (n, D) from its target, over the target's mean square: (n,)."""
    size = keras.ops.maximum(keras.ops.mean(keras.ops.square(targets), axis=-1), LEAST)
    return keras.ops.mean(keras.ops.square(activations - targets), axis=-1) / size


class _Recording:
    """The record of every image: its outputs, the log-probability of the true class, and the number of epochs.

    With patience, `learnt` is what the record was after the selected epoch; without, it is the record itself.
    """

    def __init__(self, rule, count, width):
        self.rule, self.outputs = rule, numpy.zeros((count, width), "float32")
        self.confidence, self.counts = numpy.full(count, -numpy.inf, "float32"), numpy.zeros(count, "int32")
        self.learnt, self.selected_at, self.begun = (self.outputs, self.counts), 0.0, False

    def late(self, progress):
        """Whether targets are learnt from."""
        return self.begun if self.rule.patience is not None else progress >= self.rule.start - 1e-9

    def of(self, rows, labels, progress):
        """The arrays that the objective gets for a batch."""
        recorded = or_labels(self.learnt[0][rows], labels)
        if not self.late(progress):
            return (one_hot(labels, recorded.shape[1]),)
        mixed = self.rule.share * one_hot(labels, recorded.shape[1]) + (1 - self.rule.share) * recorded
        return (smoothed(entropy(mixed), labels, mixed.shape[1]) if self.rule.kind == "smoothed" else mixed,)

    def learn(self, rows, labels, progress, generator, outputs):
        """Take over the update's outputs for a batch."""
        if self.rule.patience is None and self.late(progress):
            return
        values, confidence = map(numpy.asarray, outputs)
        if self.rule.kind == "mean":
            before = or_labels(self.outputs[rows], labels)
            self.outputs[rows] = MOMENTUM * before + (1 - MOMENTUM) * values
        else:
            replaced = confidence > self.confidence[rows]
            if self.rule.kind == "random":  # each of the epochs so far with equal probability
                replaced = generator.random(len(rows)) * (self.counts[rows] + 1) < 1
            self.outputs[rows[replaced]] = values[replaced]
        self.confidence[rows] = numpy.maximum(self.confidence[rows], confidence)
        self.counts[rows] += 1

    def judge(self, is_selected, progress):
        """After an epoch: whether held-out images select it among those so far."""
        if self.rule.patience is None:
            return
        if is_selected:
            self.learnt, self.selected_at = (self.outputs.copy(), self.counts.copy()), progress
        old_enough = progress - self.selected_at >= self.rule.patience - 1e-9
        self.begun = self.begun or (progress >= self.rule.start - 1e-9 and old_enough)

    def state(self):
        recorded = {"outputs": self.outputs, "confidence": self.confidence, "seen": self.counts}
        if self.rule.patience is None:
            return recorded
        outputs, counts = self.learnt
        when = {"selected_at": numpy.float64(self.selected_at), "begun": numpy.int32(self.begun)}
        return recorded | {"learnt": outputs, "learnt_seen": counts} | when

    def restore(self, state):
        self.outputs, self.confidence, self.counts = (state[name] for name in ("outputs", "confidence", "seen"))
        self.learnt = state.get("learnt", self.outputs), state.get("learnt_seen", self.counts)
        if self.rule.patience is not None:
            self.selected_at, self.begun = float(state["selected_at"]), bool(state["begun"])


class _Activations(_Recording):
    """The same of activations; early, and for an image that was never seen, all of the loss is the label's."""

    def of(self, rows, labels, progress):
        outputs, counts = self.learnt
        late = self.late(progress) & (counts[rows] > 0)
        return outputs[rows], numpy.where(late, self.rule.share, 1.0).astype("float32")


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
