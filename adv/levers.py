"""Changes of the last layer after training that help the least robust class; ours [D].

Each is chosen by a white-box attack on held-out images: the value with the highest worst-class accuracy, of equals the
higher mean. The model is left with the weights of the chosen value.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import keras
import numpy

import models
from adv import evaluate
from adv.base import Attack
from models import head


@dataclasses.dataclass(frozen=True)
class Choice:
    """The chosen value, and all that were tried.

    value: tau, or the shift of each class.
    tried: (value, worst class's robust accuracy, mean over classes) of each.
    """

    value: object
    tried: tuple


def choose_tau(
    model: keras.Model,
    x: numpy.ndarray,
    y: numpy.ndarray,
    attack: Attack | str,
    *,
    epsilon: float,
    taus: tuple = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5),
    progress: Callable | None = None,
) -> Choice:
    """Apply models.head.tau_normalise with the best of `taus`: Choice.

    model: ends in a dense layer; it is changed in place.
    x, y: held-out images and labels.
    attack, epsilon: as evaluate.robust_flags.
    progress: called as progress(done, total).
    Raises ValueError for nothing to try, a class without images, and as evaluate.robust_flags.
    """
    tried = []
    for tau in taus:
        with models.keeping_weights(model):
            head.tau_normalise(model, tau)
            accuracy = _class_wise(model, x, y, attack, epsilon)
        tried.append((tau, float(accuracy.share.min()), accuracy.mean))
        _report(progress, len(tried), len(taus))
    value = _best(tried)
    head.tau_normalise(model, value)
    return Choice(value, tuple(tried))


def choose_bias(
    model: keras.Model,
    x: numpy.ndarray,
    y: numpy.ndarray,
    attack: Attack | str,
    *,
    epsilon: float,
    rate: float = 2.0,
    rounds: int = 8,
    progress: Callable | None = None,
) -> Choice:
    """Apply the best of several models.head.shift_bias: Choice.

    The first shift is 0. Each round adds rate * (mean - robust accuracy of the class), in logits, so its mean is 0.
    rounds: number of shifts, the first included.
    Other arguments and errors as choose_tau.
    """
    classes = model.output_shape[-1]
    shift, tried = numpy.zeros(classes), []
    for _ in range(rounds):
        with models.keeping_weights(model):
            head.shift_bias(model, shift)
            accuracy = _class_wise(model, x, y, attack, epsilon)
        tried.append((tuple(round(float(logit), 6) for logit in shift), float(accuracy.share.min()), accuracy.mean))
        shift = shift + rate * (accuracy.mean - accuracy.share)
        _report(progress, len(tried), rounds)
    value = _best(tried)
    head.shift_bias(model, value)
    return Choice(value, tuple(tried))


def _best(tried):
    if not tried:
        raise ValueError("no value to try, expected at least one: taus, or rounds of at least 1")
    return max(tried, key=lambda choice: choice[1:])[0]


def _class_wise(model, x, y, attack, epsilon):
    evaluate.class_wise(numpy.ones(len(y), bool), y, classes=model.output_shape[-1])  # before the attack is paid for
    flags = evaluate.robust_flags(model, x, y, attack, epsilon=epsilon)
    return evaluate.class_wise(flags, y, classes=model.output_shape[-1])


def _report(progress, done, total):
    if progress is not None:
        progress(done, total)
