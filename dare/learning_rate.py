"""Choosing a learning rate on validation adversarials.

The published rates destroy some models; the chosen rate has the highest Empirical Robustness on the validation part of
the adversarials, among the rates that lose at most half a point of clean accuracy [D]. Clean accuracy is measured on a
random half of x_validation; while rates are tried, only selected samples of the other half are tuned on, and the final
tuning uses all of them [D].
"""

from collections.abc import Callable, Sequence

import numpy

import models
from train.diverged import Diverged
from train.seeds import stream

LOSS = 0.5  # percentage points
FAILED = {"clean": 0.0, "er": 0.0}


def held_out(count: int, seed: int) -> numpy.ndarray:
    """The rows that clean accuracy is measured on: a random half of `count` images, ascending."""
    return numpy.sort(stream(seed, "judges of a learning rate").permutation(count)[: count // 2])


def choose(rates: Sequence[float], make: Callable, score: Callable, *, clean: float) -> tuple[float, dict]:
    """The rate with the highest "er" among those whose "clean" is at least `clean` - 0.5: (rate, rate -> its score).

    The first of equal rates wins. The lowest rate is chosen where all lose too much.
    make: rate -> weights; raises Diverged where the loss is not finite.
    score: weights -> {"clean", "er"} in percent; raises models.NonFiniteLogits where the logits are not finite.
    clean: accuracy before tuning, in percent.
    A rate with either of these errors scores 0; any other error ends the choice.
    """
    grid = {}
    for rate in rates:
        try:
            grid[rate] = score(make(rate))
        except (Diverged, models.NonFiniteLogits):
            grid[rate] = FAILED
    admitted = [rate for rate in rates if grid[rate]["clean"] >= clean - LOSS]
    return max(admitted, key=lambda rate: grid[rate]["er"]) if admitted else min(rates), grid
