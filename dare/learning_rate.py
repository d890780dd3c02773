"""Choosing a learning rate on validation adversarials, by models that are judged on images they were not tuned on.

The published rates destroy some models [D]: the one chosen has the highest Empirical Robustness on the validation part
of the adversarials, among those that cost at most half a point of clean accuracy. That accuracy is measured on a random
half of x_validation, and while rates are tried, only the selected samples of the other half are tuned on; the final
tuning has all of them [D].
"""

import numpy

import models
from train.seeds import stream

LOSS = 0.5  # percentage points
FAILED = {"clean": 0.0, "er": 0.0}


def held_out(count, seed):
    """The rows, of `count` images, that judge the clean accuracy: a random half, ascending."""
    return numpy.sort(stream(seed, "judges of a learning rate").permutation(count)[: count // 2])


def choose(rates, make, score, *, clean):
    """The rate with the highest "er" among those whose "clean" is at least `clean` - 0.5; the lowest if none is.

    make: rate -> weights, an ArithmeticError where the loss is not finite; score: weights -> {"clean", "er"} in
    percent, models.NonFiniteLogits where the logits are not: such a rate scores 0, any other error ends the choice.
    Returns (rate, rate -> its score); the first of the highest wins.
    """
    grid = {}
    for rate in rates:
        try:
            grid[rate] = score(make(rate))
        except (ArithmeticError, models.NonFiniteLogits):
            grid[rate] = FAILED
    fit = [rate for rate in rates if grid[rate]["clean"] >= clean - LOSS]
    return max(fit, key=lambda rate: grid[rate]["er"]) if fit else min(rates), grid
