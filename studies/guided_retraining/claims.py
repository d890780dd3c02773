"""The verdicts on the published conclusions on guided retraining, for one data set and model."""

import math
from collections.abc import Mapping, Sequence

import numpy

from adv.guided import ordering
from reporting import claims, marks
from reporting.claims import Claim, Effect
from reporting.statistics import Interval
from reporting.tables import signed
from studies.guided_retraining import tables
from studies.guided_retraining.differences import difference, gain, mean
from studies.guided_retraining.robot_claims import robot_claims
from studies.guided_retraining.row import ROBOT

SOURCE = "Durán, Martínez-Fernández, Felderer, Franch, PeerJ CS 9:e1454, 2023"
EARLIER = "Durán et al., arXiv 2207.03689"
CLOSE = 2.0  # points of best accuracy; in the published curves C3 is at most 1.6 below C2
CHEAP = 3.0  # factor by which fewer images are trained on
FEW = 0.5  # fraction of the inputs that an order saves
BY_FOL = [
    name for name, metric in ordering.METRICS.items() if metric.by_fol
]  # of RobOT: the conclusions are not on these
UNCERTAIN, SURPRISED = ("deepgini", "softmax_entropy"), ("lsa", "dsa")


def guided_claims(rows: Sequence[Mapping]) -> claims.Judged:
    """The table of the claims for the rows (pooled over seeds) of one data set and model, RobOT's own among them."""
    dataset, model = rows[0]["dataset"], rows[0]["model"]
    sound, left_out = marks.sound(rows)
    orders = tables.of_study([row for row in sound if row["metric"] not in BY_FOL])
    table = {(row["configuration"], row["metric"]): row for row in orders}
    conclusions = c2_uncertainty, surprise, few, coverage_worst, c3_cheap, c1_or_c2, size
    judged = [claim(table) for claim in conclusions]
    judged += robot_claims([row for row in sound if row["configuration"] == ROBOT])
    return claims.table(
        f"{tables.name_of(dataset, model)}-claims", f"{dataset}, {model}", "the conclusions", judged, left_out
    )


def c2_uncertainty(table: dict) -> Claim:
    """C2 with an uncertainty order is best: in C2, better than every other order, including random."""
    text = "C2 ordered by uncertainty (DeepGini, entropy) is best"
    keys = [("c2", metric) for metric in UNCERTAIN if ("c2", metric) in table]
    references = [key for key in table if key[0] == "c2" and key not in keys]
    if not keys or not references:
        return Claim(text, SOURCE, "C2 was not run with an uncertainty order and others", "not measured")
    level = claims.confidence(len(references))
    effects = [difference(f"minus {key[1]}", table, keys, [key], level=level) for key in references]
    best = max(table, key=lambda key: table[key]["measures"]["best"]["value"])
    evidence = f"mean area in C2 {mean(table, keys):.2f} %, {'; '.join(map(str, effects))}"
    reservation = "" if best in keys else f"the best accuracy of all is that of {'-'.join(best)}"
    return claims.judged(text, SOURCE, evidence, effects, reservation=reservation)


def surprise(table: dict) -> Claim:
    """The claim of the earlier version: surprise adequacy is best."""
    text = "Surprise adequacy orders best (the earlier version)"
    keys, references = ([key for key in table if key[1] in metrics] for metrics in (SURPRISED, UNCERTAIN))
    common = {name for name, _ in keys} & {name for name, _ in references}
    keys, references = ([key for key in some if key[0] in common] for some in (keys, references))
    if not common:
        return Claim(text, EARLIER, "surprise and uncertainty were not run in the same configuration", "not measured")
    effect = difference("surprise minus uncertainty", table, keys, references)
    evidence = (
        f"mean area of LSA and DSA {mean(table, keys):.2f} %, of DeepGini and entropy {mean(table, references):.2f} %"
    )
    return claims.judged(text, EARLIER, f"{evidence}: {effect}", [effect])


def few(table: dict) -> Claim:
    """The best accuracy needs few of the inputs: one order at least saves more than half of them.

    Several prefixes may not differ significantly from the best. The interval of the inputs needed reaches from the
    prefix before the first of these to the prefix after the last.
    """
    text = "An uncertainty order in C2 reaches its best with few inputs"
    keys = [("c2", metric) for metric in UNCERTAIN if ("c2", metric) in table]
    if not keys:
        return Claim(text, SOURCE, "C2 was not run with an uncertainty order", "not measured")
    level, effects, phrases = claims.confidence(len(keys)), [], []
    for key in keys:
        same = difference("", table, [key], [key], measure="best", level=level).interval.high
        ends = numpy.mean([_needed(curve, same) for curve in table[key]["curves"]], axis=0)
        effects.append(
            Effect(what=f"{key[1]} saves", interval=Interval(*(1 - ends)), needed=FEW, scale="share", unit="%",
                   confidence=level)
        )  # fmt: skip
        total = max(point["inputs"] for point in table[key]["curves"][0])
        within = table[key]["measures"]["inputs-to-99"]["value"] / total
        phrases.append(f"{effects[-1]} (99 % of the best with {100 * within:.0f} %)")
    prefixes = len(table[keys[0]]["curves"][0])
    evidence = f"fraction of the inputs: {'; '.join(phrases)}; {prefixes} prefixes, intervals from their accuracies"
    return claims.judged(text, SOURCE, evidence, effects, every=False)


def _needed(curve, same):
    """Fractions of the inputs: at the best accuracy, and the most and the fewest that it may need."""
    counts = numpy.array([0, *(point["inputs"] for point in curve)], float) / curve[-1]["inputs"]
    accuracy = 100 * numpy.array([-math.inf, *(point["both"]["accuracy"] for point in curve)])
    plausible = numpy.flatnonzero(accuracy >= accuracy.max() - same)
    most = counts[min(plausible[-1] + 1, len(counts) - 1)]
    return counts[accuracy.argmax()], most, counts[max(plausible[0] - 1, 0)]


def coverage_worst(table: dict) -> Claim:
    """Neuron coverage is the worst metric: every other metric is better in the configurations that have both."""
    text = "Neuron coverage orders worst of the metrics"
    covered = {name for name, metric in table if metric == "neuron_coverage"}
    metrics = list(dict.fromkeys(metric for name, metric in table if name in covered))
    metrics = [metric for metric in metrics if metric not in ("neuron_coverage", "random")]
    if not metrics:
        return Claim(
            text, SOURCE, "neuron coverage and other metrics were not run in the same configuration", "not measured"
        )
    effects, level = [], claims.confidence(len(metrics))
    for metric in metrics:
        names = [name for name in sorted(covered) if (name, metric) in table]
        keys, covering = ([(name, which) for name in names] for which in (metric, "neuron_coverage"))
        effects.append(difference(f"{metric} minus it", table, keys, covering, level=level))
    evidence = f"mean area {mean(table, [(name, 'neuron_coverage') for name in covered]):.2f} %"
    return claims.judged(text, SOURCE, f"{evidence}, {'; '.join(map(str, effects))}", effects)


def c3_cheap(table: dict) -> Claim:
    """C3 is at most CLOSE points below C2, in a third to a ninth of the time (measured in images trained on)."""
    text = "C3 is close to C2, in a third to a ninth of the time"
    metrics = [metric for name, metric in table if name == "c3" and ("c2", metric) in table]
    if not metrics:
        return Claim(text, SOURCE, "C2 and C3 were not run with the same order", "not measured")
    c2, c3 = ([(name, metric) for metric in metrics] for name in ("c2", "c3"))
    behind = difference("C3 minus C2", table, c3, c2, measure="best", needed=-CLOSE)
    pairs = [(table[second], table[third]) for second, third in zip(c2, c3, strict=True)]
    ratio, spent = (
        float(numpy.mean([cost(second) / cost(third) for second, third in pairs])) for cost in (_trained, _seconds)
    )
    cheap = Effect(what="fewer images trained on", interval=Interval(ratio, ratio, ratio), needed=CHEAP, unit="times")
    evidence = (
        f"best accuracy {behind}, 1/{ratio:.1f} of the images trained on, 1/{spent:.1f} of the seconds; mean of "
        f"{len(metrics)} orders"
    )
    return claims.judged(text, SOURCE, evidence, [behind, cheap])


def c1_or_c2(table: dict) -> Claim:
    """C2 has a higher maximum than C1. The published text says so; on three data sets the published curves do not."""
    text = "C2's best is above C1's"
    metrics = [metric for name, metric in table if name == "c1" and ("c2", metric) in table]
    if not metrics:
        return Claim(text, SOURCE, "C1 and C2 were not run with the same order", "not measured")
    c1, c2 = ([(name, metric) for metric in metrics] for name in ("c1", "c2"))
    effect = difference("C2 minus C1", table, c2, c1, measure="best")
    each = [mean(table, [second], "best") - mean(table, [first], "best") for first, second in zip(c1, c2, strict=True)]
    ends = f"{signed(min(each), 2)} to {signed(max(each), 2)}"
    evidence = f"best accuracy, mean of {len(metrics)} orders: {effect}, single orders {ends}"
    return claims.judged(text, SOURCE, evidence, [effect])


def size(table: dict) -> Claim:
    """The number of inputs matters: in each configuration all inputs beat the first step, in the mean of the orders."""
    text = "The number of inputs matters (all against the first step)"
    names = sorted({name for (name, _), row in table.items() if len(row["curves"][0]) > 1})
    if not names:
        return Claim(text, SOURCE, "no order was run with two prefixes", "not measured")
    level, effects = claims.confidence(len(names)), []
    for name in names:
        orders = [row for key, row in table.items() if key[0] == name and len(row["curves"][0]) > 1]
        first, *_, last = (point["inputs"] for point in orders[0]["curves"][0])
        effects.append(gain(f"{name}, {last:,} inputs minus {first:,}", orders, level))
    evidence = f"accuracy, mean of the orders: {'; '.join(map(str, effects))}"
    return claims.judged(text, SOURCE, evidence, effects)


def _trained(row):
    """Images trained on over all prefixes; proportional to the time on a machine without other load."""
    return float(numpy.mean([sum(point["inputs"] for point in curve) for curve in row["curves"]]))


def _seconds(row):
    return float(numpy.mean([sum(point["seconds"] for point in curve) for curve in row["curves"]]))
