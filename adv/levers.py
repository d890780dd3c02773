"""Levers for the class that is robust least, pulled after training: changes of the last layer, ours [D].

Each is chosen on held-out images that the attack is run on anew: of all tried the one with the most robust worst class,
and of equals the higher mean. The model ends with the weights of the choice.
"""

import dataclasses

import numpy

from adv import evaluate
from models import head


@dataclasses.dataclass(frozen=True)
class Choice:
    """value: what was chosen (tau, or the shift of each class); tried: (value, worst class's share, mean) of all."""

    value: object
    tried: tuple


def choose_tau(model, x, y, attack, *, epsilon, taus=(0.0, 0.25, 0.5, 0.75, 1.0, 1.5), progress=None):
    """models.head.tau_normalise at the best of `taus`. x, y: held-out images and labels. Returns Choice."""
    original = model.get_weights()
    tried = []
    for tau in taus:
        head.tau_normalise(model, tau)
        found = _class_wise(model, x, y, attack, epsilon)
        tried.append((tau, float(found.share.min()), found.mean))
        model.set_weights(original)
        _report(progress, len(tried), len(taus))
    value = _best(tried)
    head.tau_normalise(model, value)
    return Choice(value, tuple(tried))


def choose_bias(model, x, y, attack, *, epsilon, rate=2.0, rounds=8, progress=None):
    """models.head.shift_bias, grown in rounds: rate times (mean - share) of each class's robust accuracy, in logits.

    The shift has mean 0; the first round is none. Returns Choice.
    """
    original = model.get_weights()
    classes = model.output_shape[-1]
    shift, tried = numpy.zeros(classes), []
    for _ in range(rounds):
        head.shift_bias(model, shift)
        found = _class_wise(model, x, y, attack, epsilon)
        tried.append((tuple(round(float(one), 6) for one in shift), float(found.share.min()), found.mean))
        model.set_weights(original)
        shift = shift + rate * (found.mean - found.share)
        _report(progress, len(tried), rounds)
    value = _best(tried)
    head.shift_bias(model, value)
    return Choice(value, tuple(tried))


def _best(tried):
    return max(tried, key=lambda one: one[1:])[0]


def _class_wise(model, x, y, attack, epsilon):
    flags = evaluate.robust_flags(model, x, y, attack, epsilon=epsilon)
    return evaluate.class_wise(flags, y, classes=model.output_shape[-1])


def _report(progress, done, total):
    if progress is not None:
        progress(done, total)
