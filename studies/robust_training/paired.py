"""Differences of robustly trained methods, seed by seed, with their intervals.

Runs of one seed share initial weights, training images and test images. The interval of a mean difference is Student's
over seeds, and includes the variation over test images, because each seed draws its own. From OWN seeds on each
difference has its own standard deviation, so that a method whose seeds lie far apart blurs no other comparison. Of
fewer seeds it is pooled over all that are given together, or its own where that is larger, since methods may vary
unequally. No interval is narrower than the test images alone make it, should seeds agree by chance. With one seed there
is no interval.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy

from reporting import statistics
from reporting.claims import Effect
from studies.robust_training import tables

MINED = "history-at"  # and its variants
OWN = 4  # fewest seeds from which a standard deviation of one difference alone is estimated


@dataclasses.dataclass(frozen=True)
class Difference:
    """A difference in points, once for each seed.

    what: a description in words
    values: seed -> value; empty if nothing was measured on common seeds
    value: their mean; without common seeds the difference of the means
    images: test images of all seeds
    methods: the origins of those that are compared: runs that mine are one until they begin to, and may select one net
    stopped: the guard ended a run, so that the deviation of the other runs does not apply
    """

    what: str
    values: dict[int, float]
    value: float
    images: int
    methods: frozenset
    stopped: bool = False


def by_seed(row: Mapping, prefix: str = "") -> dict[int, float]:
    """A row's worst case, seed -> %; prefix "last/": of the last epoch."""
    seeds = [run["seed"] for run in row["trajectories"]]
    return dict(zip(seeds, tables.worst(row, prefix)["values"], strict=True))


def between(first: Mapping, second: Mapping, prefix: str = "") -> Difference:
    """The worst case of a row minus that of another; prefix "last/": of the last epochs."""
    rows = first, second
    measures = [tables.worst(row, prefix) for row in rows]
    return _difference(
        " minus ".join(row["method"] for row in rows) + (", last epoch" if prefix else ""),
        *(by_seed(row, prefix) for row in rows),
        measures[0]["value"] - measures[1]["value"],
        min(measure["n"] for measure in measures),
        frozenset(_origin(row) for row in rows),
        stopped=any(row["hyperparameters"]["stopped"] for row in rows),
    )


def fall(row: Mapping) -> Difference:
    """The worst case of a row's selected epoch minus that of its last."""
    best, last = tables.worst_case(row)
    return _difference(
        f"{row['method']}'s fall",
        by_seed(row),
        by_seed(row, "last/"),
        best["value"] - last["value"],
        best["n"],
        frozenset([_origin(row)]),
        stopped=row["hyperparameters"]["stopped"],
    )


def _origin(row):
    """The method whose training a row's is until it begins to mine; of other methods the method."""
    base, plus, average = row["method"].partition("+")
    return MINED + plus + average if base.startswith(MINED) else row["method"]


def less(first: Difference, second: Difference) -> Difference:
    """A difference minus another."""
    value, images = first.value - second.value, min(first.images, second.images)
    what, stopped = f"{first.what} minus {second.what}", first.stopped or second.stopped
    return _difference(
        what, first.values, second.values, value, images, first.methods | second.methods, stopped=stopped
    )


def _difference(what, first, second, value, images, methods, *, stopped):
    values = {seed: first[seed] - second[seed] for seed in sorted(first.keys() & second.keys())}
    mean = float(numpy.mean(list(values.values()))) if values else value
    return Difference(what, values, mean, images, methods, stopped)


def effects(differences: Sequence[Difference], needed: float, confidence: float) -> tuple[list[Effect], str]:
    """(an Effect for each difference, which has to exceed `needed`; how the intervals were made, in words)."""
    sound = [each for each in differences if each.values and not each.stopped]
    values = {each.what: numpy.array(list(each.values.values())) for each in sound}
    errors, over = errors_of(values, {each.what: each.methods for each in sound})
    made = []
    for each in differences:
        error, freedom = errors.get(each.what, (0.0, 0))
        error = max(error, _of_images(each.value, each.images))
        made.append(
            Effect(
                what=each.what, needed=needed, freedom=freedom or math.inf, confidence=confidence,
                interval=statistics.student(each.value, error, freedom, confidence=confidence),
            )
        )  # fmt: skip
    return made, over


def errors_of(
    differences: Mapping[str, numpy.ndarray], methods: Mapping[str, frozenset]
) -> tuple[dict[str, tuple[float, float]], str]:
    """(name -> (standard error of its mean, its degrees of freedom), how they were estimated, in words).

    differences: name -> (S,), a value a seed, S at least 1
    methods: name -> the methods compared; over differences that share one a pooled variance has less freedom
    """
    squares = {name: float(numpy.square(values - values.mean()).sum()) for name, values in differences.items()}
    freedoms = {name: len(differences[name]) - 1 for name in squares}
    if not any(freedoms.values()):
        return {}, "no interval: one seed each, or a run that was stopped"
    own = {name: squares[name] / freedoms[name] if freedoms[name] else 0.0 for name in squares}
    if all(freedom >= OWN - 1 for freedom in freedoms.values()):
        over = f"intervals over {min(freedoms.values()) + 1} seeds, each with its own standard deviation"
        variances = own
    else:
        total = sum(freedoms.values())
        pooled = sum(squares.values()) / total
        shared = sum(_correlation(methods[one], methods[two]) ** 2 for one in squares for two in squares)
        freedom = total * len(squares) / shared
        over = (
            f"standard deviation of a difference over seeds {math.sqrt(pooled):.1f}, {freedom:.3g} degrees of freedom"
        )
        variances = {name: max(pooled, value) for name, value in own.items()}
        freedoms = dict.fromkeys(squares, freedom)
    return {name: (math.sqrt(variances[name] / len(differences[name])), freedoms[name]) for name in squares}, over


def _correlation(one, two):
    """Of two differences of methods with equal independent deviations: two pairs that share one correlate by half."""
    return len(one & two) / math.sqrt(len(one) * len(two))


def _of_images(difference, n):
    """The least standard error of a difference of two shares of the same n images, in points.

    The images on which two methods differ are at least as many as the difference says, and one (McNemar 1947).
    """
    share = abs(difference) / 100
    return 100 * math.sqrt(max(share - share**2, 1 / n) / n)
