"""The verdicts on RobOT's own retraining, for one data set and model: its selectors beside DeepGini and random choice.

An improvement is the accuracy on attacked test images above the original model's, in points, as a mean over the numbers
of selected inputs. The images are those made once on the original, as published, or are made anew on each retrained
model, since a selection may only teach the old images. Selectors are compared on the same seeds, numbers of inputs and
settings, and a rival that does harm counts as 0. Intervals are Student's over seeds, and never narrower than
independent samples of test images would make them.
"""

import math
from collections.abc import Mapping, Sequence

import numpy

from adv.guided import robot
from reporting import claims, statistics
from reporting.claims import Claim, Effect
from studies.guided_retraining.differences import of_share

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
    missing = [name for name in (*SELECTORS, rival) if name not in table]
    if missing:
        return Claim(text, source, f"no sound row of {', '.join(missing)}", "not measured")
    own, other = [table[name] for name in SELECTORS], table[rival]
    if not all(_has(row, kind) for row in (*own, other) for kind in kinds):
        return Claim(text, source, "not attacked anew", "not measured")
    if any(_how(row) != _how(other) for row in own):
        return Claim(text, source, "the selections have other seeds, numbers of inputs or settings", "not measured")
    level = claims.confidence(len(own) * len(kinds))
    effects = [beyond(row, other, factor, kind, level) for row in own for kind in kinds]
    rivals = "; ".join(f"{rival} {numpy.mean(improvements(other, kind)):.1f} on images {KINDS[kind]}" for kind in kinds)
    evidence = f"improvement in points: {rivals}; {'; '.join(map(str, effects))}"
    return claims.judged(text, source, evidence, effects)


def _how(row):
    """What has to be equal where selections are compared."""
    counts = [[point["inputs"] for point in curve] for curve in row["curves"]]
    return row["seeds"], counts, row["hyperparameters"]


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
    """The Effect: the improvement of a row minus `factor` times that of another, or minus 0 where that does harm.

    first, second: rows of the same seeds, numbers of inputs and settings
    """
    differences = improvements(first, kind) - factor * numpy.maximum(improvements(second, kind), 0)
    count = len(differences)
    of_seeds = differences.std(ddof=1) / math.sqrt(count) if count > 1 else 0.0
    shares = _share(first, kind), _share(second, kind), _original(first)
    of_images = math.sqrt(
        sum(weight**2 * _variance(share, first) for weight, share in zip((1, factor, factor - 1), shares, strict=True))
    )
    interval = statistics.student(differences.mean(), max(of_seeds, of_images), count - 1, confidence=level)
    times = "" if factor == 1 else f"{factor:g} times "
    what = f"{first['metric']} minus {times}{second['metric']}, {KINDS[kind]}"
    return Effect(what=what, interval=interval, freedom=count - 1 or math.inf, confidence=level)


def _share(row, kind):
    return float(numpy.mean([_accuracy(point, kind) for curve in row["curves"] for point in curve]))


def _original(row):
    return float(numpy.mean([original["adversarial"]["accuracy"] for original in row["originals"]]))


def _variance(share, row):
    """The variance of a mean accuracy over test images, in points squared; each image is attacked by all ATTACKS."""
    images = row["measures"]["best"]["n"] / len(robot.ATTACKS) * len(row["curves"])
    return of_share(share, images)
