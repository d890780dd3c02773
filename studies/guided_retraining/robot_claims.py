"""The verdicts on RobOT's own retraining, for one data set and model: its selectors beside DeepGini and random choice.

An improvement is the accuracy on attacked test images above the original model's, in points, as a mean over the numbers
of selected inputs. The images are those made once on the original, as published, or are made anew on each retrained
model, since a selection may only teach the old images. Selectors are compared seed by seed. Intervals are Student's
over seeds, and never narrower than two independent samples of test images would make them.
"""

import math
from collections.abc import Mapping, Sequence

import numpy

from reporting import claims, statistics
from reporting.claims import Claim, Effect

SOURCE = "Wang et al., ICSE 2021"
OWN = "ours: no paper tests it"
SELECTORS = "be-st", "km-st"
RIVAL, RANDOM = "gini", "random"
MORE = 1.5  # published: 50.65 % more than DeepGini
KINDS = {"old": "made on the original", "anew": "made anew"}


def robot_claims(rows: Sequence[Mapping]) -> list[Claim]:
    """The claims for the sound rows (pooled over seeds) of RobOT's own retraining; [] without rows."""
    table = {row["metric"]: row for row in rows}
    if not table:
        return []
    text = "RobOT's selections improve half as much again as DeepGini's"
    return [
        _judged(text, SOURCE, table, RIVAL, MORE, ["old"]),
        _judged(f"{text}, under attacks run anew", OWN, table, RIVAL, MORE, ["anew"]),
        _judged("RobOT's selections improve more than a random choice", OWN, table, RANDOM, 1.0, ["old"]),
    ]


def _judged(text, source, table, rival, factor, kinds):
    """The claim that each selector's improvement exceeds `factor` times the rival's, on images of each kind."""
    chosen = [name for name in SELECTORS if name in table]
    known = all(_has(table[name], kind) for name in (*chosen, rival) for kind in kinds if name in table)
    if not chosen or rival not in table or not known:
        return Claim(text, source, "a selection was not retrained on, or not attacked anew", "not measured")
    level = claims.confidence(len(chosen) * len(kinds))
    effects = [beyond(table[name], table[rival], factor, kind, level) for name in chosen for kind in kinds]
    rivals = "; ".join(
        f"{rival} {numpy.mean(improvements(table[rival], kind)):.1f} on images {KINDS[kind]}" for kind in kinds
    )
    evidence = f"improvement in points: {rivals}; {'; '.join(map(str, effects))}"
    return claims.judged(text, source, evidence, effects)


def _has(row, kind):
    return all(kind == "old" or kind in point for curve in row["curves"] for point in curve)


def _accuracy(point, kind):
    return point["adversarial"]["accuracy"] if kind == "old" else point[kind]


def improvements(row: Mapping, kind: str) -> numpy.ndarray:
    """The improvement of each seed in points (S,). kind: key of KINDS."""
    values = [
        numpy.mean([_accuracy(point, kind) for point in curve]) - original["adversarial"]["accuracy"]
        for curve, original in zip(row["curves"], row["originals"], strict=True)
    ]
    return 100 * numpy.array(values)


def beyond(first: Mapping, second: Mapping, factor: float, kind: str, level: float) -> Effect:
    """The Effect: the improvement of a row minus `factor` times that of another, on the same seeds.

    Raises ValueError for rows of different seeds.
    """
    if first["seeds"] != second["seeds"]:
        raise ValueError(f"seeds {first['seeds']} of {first['metric']}, {second['seeds']} of {second['metric']}")
    differences = improvements(first, kind) - factor * improvements(second, kind)
    count = len(differences)
    of_seeds = differences.std(ddof=1) / math.sqrt(count) if count > 1 else 0.0
    of_images = math.sqrt(_variance(first, kind) + factor**2 * _variance(second, kind))
    interval = statistics.student(differences.mean(), max(of_seeds, of_images), count - 1, confidence=level)
    times = "" if factor == 1 else f"{factor:g} times "
    what = f"{first['metric']} minus {times}{second['metric']}, {KINDS[kind]}"
    return Effect(what=what, interval=interval, freedom=count - 1 or math.inf, confidence=level)


def _variance(row, kind):
    """The variance of a mean accuracy over test images, in points squared."""
    share = float(numpy.mean([_accuracy(point, kind) for curve in row["curves"] for point in curve]))
    return 1e4 * max(share * (1 - share), 1e-4) / (row["measures"]["best"]["n"] * len(row["curves"]))
