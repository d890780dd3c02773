"""How much better one guided order is than another: differences of mean accuracy, with intervals, in points.

The interval of a difference of accuracies has two parts. The first is the variance of trainings: all orders of a
configuration end with the same inputs, so the differences between their last accuracies show the random variation of a
training. The second is the sampling variance of the test inputs. Where the rows have the correct inputs of every
prefix, it is that of the paired differences of each input; else it is computed as if both accuracies were measured on
different inputs, which is too wide.
"""

import math
from collections.abc import Mapping, Sequence

import numpy

from adv.guided import retraining
from reporting import statistics
from reporting.claims import Effect
from reporting.statistics import Interval


def mean(table: Mapping, keys: Sequence, measure: str = "area") -> float:
    """The mean of a measure over the orders `keys`, in points.

    table: (configuration, metric) -> row, pooled over seeds
    """
    return float(numpy.mean([table[key]["measures"][measure]["value"] for key in keys]))


def gain(what: str, rows: Sequence[Mapping], level: float) -> Effect:
    """The Effect: accuracy at the last prefix minus that at the first, the mean over orders, in points.

    rows: of several orders of one configuration. The interval is Student's over them, and never narrower than
    independent samples of test inputs would make it.
    """
    ends = 100 * numpy.array(
        [[[curve[end]["both"]["accuracy"] for end in (0, -1)] for curve in row["curves"]] for row in rows]
    ).mean(axis=1)
    gains = ends[:, 1] - ends[:, 0]
    inputs = min(row["measures"]["best"]["n"] * len(row["curves"]) for row in rows)
    of_inputs = sum(of_share(share / 100, inputs) for share in ends.mean(axis=0))
    of_orders = gains.var(ddof=1) / len(gains) if len(gains) > 1 else 0.0
    freedom = len(gains) - 1
    interval = statistics.student(gains.mean(), math.sqrt(max(of_orders, of_inputs)), freedom, confidence=level)
    return Effect(what=what, interval=interval, freedom=freedom or math.inf, confidence=level)


def area_over_random(rows: Sequence[Mapping]) -> dict[tuple, Interval]:
    """(configuration, metric) -> the difference of its area to that of the random order, in points."""
    table = {(row["configuration"], row["metric"]): row for row in rows}
    pairs = [(key, (key[0], "random")) for key in table if key[1] != "random" and (key[0], "random") in table]
    return {key: difference("", table, [key], [random]).interval for key, random in pairs}


def difference(
    what: str,
    table: Mapping,
    keys: Sequence,
    references: Sequence,
    *,
    measure: str = "area",
    needed: float = 0.0,
    level: float = 0.95,
) -> Effect:
    """The Effect: the mean of a measure over the orders `keys` minus that over `references`, in points.

    keys, references: lists of (configuration, metric)
    needed, level: of the Effect
    """
    value = mean(table, keys, measure) - mean(table, references, measure)
    parts = _paired(table, keys, references, measure) or [_images(table, some, measure) for some in (keys, references)]
    trainings = {}  # of one configuration all orders have the same estimate of a training's variance
    for some in (keys, references):
        for (name, _), (variance, own) in zip(some, _trainings(table, some), strict=True):
            known = trainings.get(name, (0.0, own))[0]
            trainings[name] = known + variance / len(some) ** 2, own
    parts += trainings.values()
    total = sum(variance for variance, _ in parts)
    freedom = 0
    if all(freedom for _, freedom in parts):  # Welch and Satterthwaite
        squares = sum(variance**2 / freedom for variance, freedom in parts)
        freedom = total**2 / squares if squares else math.inf
    interval = statistics.student(value, math.sqrt(total), freedom, confidence=level)
    return Effect(what=what, interval=interval, needed=needed, freedom=freedom or math.inf, confidence=level)


def _images(table, keys, measure):
    """(variance of an accuracy over test inputs, in points squared; its degrees of freedom)."""
    counts = [row["measures"]["best"]["n"] * len(row["curves"]) for row in (table[key] for key in keys)]
    return of_share(mean(table, keys, measure) / 100, min(counts)), math.inf


def of_share(share: float, images: int) -> float:
    """The sampling variance of an accuracy over so many images, in points squared; never that of a share of 0 or 1."""
    share = min(max(share, 0.0), 1.0)
    return 1e4 * max(share * (1 - share), 1e-4) / images


def _paired(table, keys, references, measure):
    """[(variance of the mean paired difference over test inputs, infinity)]; [] if it is not known.

    Compared are the mean scores of each input over the orders `keys` and over `references`.
    """
    if keys == references:
        return []
    rows = {key: table[key] for key in (*keys, *references)}
    seeds = min(len(row["curves"]) for row in rows.values())
    same = {tuple(row["seeds"]) for row in rows.values()}
    if len(same) > 1 or not all(_has_flags(row) for row in rows.values()):
        return []
    variances = []
    for seed in range(seeds):
        first, second = (
            numpy.mean([_scores_of(rows[key], seed, measure) for key in some], axis=0) for some in (keys, references)
        )
        gaps = 100 * (first - second)
        variances.append(max(gaps.var(), 1.0) / len(gaps))  # as _images: at least of a share of 1e-4
    return [(float(numpy.mean(variances)) / seeds, math.inf)]


def _scores_of(row, seed, measure):
    return scores(row["curves"][seed], row["measures"]["best"]["n"], measure)


def _has_flags(row):
    return all("correct" in point for curve in row["curves"] for point in curve)


def scores(curve: list[dict], count: int, measure: str) -> numpy.ndarray:
    """The score of each test input, of which a measure is the mean: float64 (count,).

    measure: "area" (the fraction of the curve on which the input is correct) or "best" (whether it is at the best
        prefix)
    """
    flags = numpy.array([retraining.flags_of(point["correct"], count) for point in curve], float)
    if measure == "best":
        return flags[numpy.argmax([point["both"]["accuracy"] for point in curve])]
    counts = numpy.array([point["inputs"] for point in curve], float)
    if len(curve) == 1:
        return flags[0]
    widths = numpy.diff(counts) / (counts[-1] - counts[0]) / 2
    return numpy.append(widths, 0) @ flags + numpy.append(0, widths) @ flags


def _trainings(table, keys):
    """For each key: (variance of the row's mean accuracy over trainings, its degrees of freedom)."""
    variances = []
    for name, metric in keys:
        ends = [
            [curve[-1]["both"]["accuracy"] for curve in row["curves"]] for key, row in table.items() if key[0] == name
        ]
        seeds = min(map(len, ends))
        ends = 100 * numpy.array([each[:seeds] for each in ends])
        squares, freedom = float(numpy.square(ends - ends.mean(axis=0)).sum()), (len(ends) - 1) * seeds
        variances.append((squares / max(1, freedom) / len(table[name, metric]["curves"]), freedom))
    return variances
