"""Where trajectories of hardening are compared: at a level of weight change or effort, or at a bounded cost.

A row of the study (studies/hardening/tables.py) holds `trajectories`, one a seed, learning rate and repeat; their
points begin before any update:

    {"seed": 0, "samples": 8000, "learning_rate": 1e-4, "repeat": 0, "points": [{"updates": 8, "bp_epochs": 0.5,
     "weight_change": 0.012, "weight_change_regression": 0.013, "clean": 88.9, "near": 52.0, "far": 3.0,
     "choice clean": 90.1, "choice near": 55.0}, ...]}

clean, near and far are accuracies on x_test in percent, the last two under attack within the smaller and the larger
radius; choice: on images of x_validation that no strategy trains on, which alone choose the learning rate. The original
and other single models have one point.
"""

import itertools

import numpy


def interpolated(points, axis, level):
    """Every value of a trajectory where `axis` first reaches `level`, linear between its points; None if it never does.

    points: dictionaries of the same keys; axis: one of these.
    """
    if points[0][axis] == level:
        return points[0]
    for before, after in itertools.pairwise(points):
        if before[axis] < level <= after[axis]:
            share = (level - before[axis]) / (after[axis] - before[axis])
            return {name: before[name] + share * (after[name] - before[name]) for name in before}
    return None


def chosen(trajectories, axis, level):
    """(learning rate, the values of each repeat) of one seed at a level; None where no learning rate reaches it.

    Of the rates that reach it in every repeat, the one with the highest mean "choice near" there.
    """
    found = {}
    for rate, repeats in _rates(trajectories).items():
        values = [interpolated(points, axis, level) for points in repeats]
        if None not in values:
            found[rate] = values
    return _best(found.items())


def within_cost(trajectories, cost):
    """As `chosen`, at the measured point with the highest mean "choice near" among those whose mean "choice clean" is
    at most `cost` points below the original's, which is itself among them."""
    rates = _rates(trajectories)
    least = trajectories[0]["points"][0]["choice clean"] - cost
    stops = [(rate, list(values)) for rate, repeats in rates.items() for values in zip(*repeats, strict=False)]
    return _best((rate, values) for rate, values in stops if _mean(values, "choice clean") >= least - 1e-9)


def pooled(row, pick):
    """What `pick` (of one seed's trajectories, as `chosen`) finds over a row's seeds: (learning rates, values, spread).

    values: measure -> mean over seeds of their means over repeats; spread: measure -> standard deviation of these, of
    the repeats where there is one seed, None of one value. None where it finds nothing for a seed.
    """
    seeds = {}
    for one in row["trajectories"]:
        seeds.setdefault(one["seed"], []).append(one)
    found = [pick(own) for own in seeds.values()]
    if None in found:
        return None
    groups = [values for _, values in found] if len(found) > 1 else [[value] for value in found[0][1]]
    values, spread = {}, {}
    for name in groups[0][0]:
        means = [_mean(group, name) for group in groups]
        values[name] = float(numpy.mean(means))
        spread[name] = float(numpy.std(means, ddof=1)) if len(means) > 1 else None
    return [rate for rate, _ in found], values, spread


def at_level(row, axis, level):
    """`pooled` of `chosen` at a level of an axis."""
    return pooled(row, lambda own: chosen(own, axis, level))


def at_cost(row, cost):
    """`pooled` of `within_cost`."""
    return pooled(row, lambda own: within_cost(own, cost))


def _rates(trajectories):
    """learning rate -> the points of each repeat."""
    found = {}
    for one in trajectories:
        found.setdefault(one["learning_rate"], []).append(one["points"])
    return found


def _mean(values, name):
    return float(numpy.mean([value[name] for value in values]))


def _best(candidates):
    return max(candidates, key=lambda candidate: _mean(candidate[1], "choice near"), default=None)
