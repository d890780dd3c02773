"""Comparison of hardening trajectories at a level of weight change or effort, or at a bounded cost.

A row of the study (studies/hardening/tables.py) has `trajectories`, one for each seed, learning rate and repeat. The
first point of each is before any update:

    {"seed": 0, "samples": 8000, "learning_rate": 1e-4, "repeat": 0, "points": [{"updates": 8, "bp_epochs": 0.5,
     "weight_change": 0.012, "weight_change_regression": 0.013, "clean": 88.9, "near": 52.0, "far": 3.0,
     "choice clean": 90.1, "choice near": 55.0}, ...]}

clean, near, far: accuracies on x_test in percent; near and far under attack, with the smaller and the larger epsilon.
usable, saturated: attacked images with a usable gradient, and with a saturated softmax, in percent (adv.checks); older
rows lack them.
choice clean, choice near: accuracies on images of x_validation that no strategy trains on; they choose the learning
rate. The original and other single models have one point.
"""

import itertools
from collections.abc import Callable, Mapping

import numpy


def interpolated(points: list[dict], axis: str, level: float) -> dict | None:
    """A trajectory's values where `axis` first reaches `level`, interpolated linearly; None if it never does.

    points: dictionaries with the same keys; axis: a key
    """
    if points[0][axis] == level:
        return points[0]
    for before, after in itertools.pairwise(points):
        if before[axis] < level <= after[axis]:
            share = (level - before[axis]) / (after[axis] - before[axis])
            return {name: before[name] + share * (after[name] - before[name]) for name in before if name in after}
    return None


def chosen(trajectories: list[dict], axis: str, level: float) -> tuple | None:
    """(learning rate, the values of each repeat) of one seed at a level; None if no learning rate reaches it.

    Among the rates that reach the level in every repeat, the one with the highest mean "choice near" there.

    trajectories: dictionaries with learning_rate, repeat and points; axis, level: as of `interpolated`
    """
    reached = {}
    for rate, repeats in _rates(trajectories).items():
        values = [interpolated(points, axis, level) for points in repeats]
        if None not in values:
            reached[rate] = values
    return _best(reached.items())


def within_cost(trajectories: list[dict], cost: float) -> tuple | None:
    """As `chosen`, at the measured point with the highest mean "choice near" within a cost of clean accuracy.

    Candidates are the points, the original's among them, whose mean "choice clean" is at most `cost` points below the
    original's.
    """
    rates = _rates(trajectories)
    least = trajectories[0]["points"][0]["choice clean"] - cost
    stops = [(rate, list(values)) for rate, repeats in rates.items() for values in zip(*repeats, strict=False)]
    return _best((rate, values) for rate, values in stops if _mean(values, "choice clean") >= least - 1e-9)


def pooled(row: Mapping, pick: Callable) -> tuple | None:
    """(learning rates, values, spread) over a row's seeds; None if `pick` returns None for a seed.

    values: measure -> mean over seeds of the means over repeats
    spread: measure -> standard deviation of these means; with a single seed, over its repeats; None for a single value

    pick: function from one seed's trajectories to the result of `chosen`
    """
    seeds = {}
    for run in row["trajectories"]:
        seeds.setdefault(run["seed"], []).append(run)
    picked = [pick(own) for own in seeds.values()]
    if None in picked:
        return None
    groups = [values for _, values in picked] if len(picked) > 1 else [[value] for value in picked[0][1]]
    values, spread = {}, {}
    for name in groups[0][0]:
        if not all(name in value for group in groups for value in group):
            continue  # a part that older rows lack
        means = [_mean(group, name) for group in groups]
        values[name] = float(numpy.mean(means))
        spread[name] = float(numpy.std(means, ddof=1)) if len(means) > 1 else None
    return [rate for rate, _ in picked], values, spread


def at_level(row: Mapping, axis: str, level: float) -> tuple | None:
    """`pooled` of `chosen` at a level of an axis."""
    return pooled(row, lambda own: chosen(own, axis, level))


def at_cost(row: Mapping, cost: float) -> tuple | None:
    """`pooled` of `within_cost`."""
    return pooled(row, lambda own: within_cost(own, cost))


def _rates(trajectories):
    """learning rate -> the points of each repeat."""
    by_rate = {}
    for run in trajectories:
        by_rate.setdefault(run["learning_rate"], []).append(run["points"])
    return by_rate


def _mean(values, name):
    return float(numpy.mean([value[name] for value in values]))


def _best(candidates):
    return max(candidates, key=lambda candidate: _mean(candidate[1], "choice near"), default=None)
