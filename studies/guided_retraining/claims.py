"""The published conclusions on guided retraining, each with what the rows of one data set and model say of it.

A difference of accuracies has an interval of two parts. Trainings vary: the orders of a configuration all end with the
same inputs, so how far apart they end says how much a training varies by chance, and a seed more of each says more.
And the test inputs are a sample: as if the two were measured on different ones, which is wider than need be.
"""

import math

import numpy

from reporting import claims, marks, statistics
from reporting.claims import Claim, Effect
from reporting.statistics import Interval
from reporting.tables import signed
from studies.guided_retraining import tables

SOURCE = "Durán, Martínez-Fernández, Felderer, Franch, PeerJ CS 9:e1454, 2023"
EARLIER = "Durán et al., arXiv 2207.03689"
CLOSE = 2.0  # points of best accuracy; the published curves of C3 stay behind C2's by 1.6 at most
CHEAP = 3.0  # times fewer images trained on
FEW = 0.5  # share of the inputs that an order saves
UNCERTAIN, SURPRISED = ("deepgini", "softmax_entropy"), ("lsa", "dsa")


def guided_claims(rows):
    """A Table of the claims for the rows (pooled over seeds) of one data set and model."""
    dataset, model = rows[0]["dataset"], rows[0]["model"]
    sound, left_out = marks.sound(rows)
    table = {(row["configuration"], row["metric"]): row for row in sound}
    found = [claim(table) for claim in (c2_uncertainty, surprise, few, coverage_worst, c3_cheap, c1_or_c2)]
    return claims.table(
        f"{tables.name_of(dataset, model)}-claims", f"{dataset}, {model}", "the conclusions", found, left_out
    )


def _mean(table, keys, measure="area"):
    return float(numpy.mean([table[key]["measures"][measure]["value"] for key in keys]))


def _difference(what, table, keys, others, *, measure="area", needed=0.0, level=0.95):
    """The Effect of the mean of a measure over some orders, keys (configuration, metric), minus that over others."""
    value = _mean(table, keys, measure) - _mean(table, others, measure)
    parts = [_images(table, keys, measure), _images(table, others, measure)]
    parts += [
        (variance / len(some) ** 2, freedom) for some in (keys, others) for variance, freedom in _trainings(table, some)
    ]
    total = sum(variance for variance, _ in parts)
    freedom = 0
    if all(freedom for _, freedom in parts):  # Welch and Satterthwaite
        spent = sum(variance**2 / freedom for variance, freedom in parts)
        freedom = total**2 / spent if spent else math.inf
    interval = statistics.student(value, math.sqrt(total), freedom, confidence=level)
    return Effect(what=what, interval=interval, needed=needed, freedom=freedom or math.inf, confidence=level)


def _images(table, keys, measure):
    """(variance of an accuracy in points over test inputs, its degrees of freedom)."""
    share = min(max(_mean(table, keys, measure) / 100, 0.0), 1.0)
    counts = [row["measures"]["best"]["n"] * len(row["curves"]) for row in (table[key] for key in keys)]
    return 1e4 * max(share * (1 - share), 1e-4) / min(counts), math.inf


def _trainings(table, keys):
    """(variance of each row's mean accuracy over trainings, its degrees of freedom), one for each key."""
    found = []
    for name, metric in keys:
        ends = [
            [curve[-1]["both"]["accuracy"] for curve in row["curves"]] for key, row in table.items() if key[0] == name
        ]
        seeds = min(map(len, ends))
        ends = 100 * numpy.array([one[:seeds] for one in ends])
        squares, freedom = float(numpy.square(ends - ends.mean(axis=0)).sum()), (len(ends) - 1) * seeds
        found.append((squares / max(1, freedom) / len(table[name, metric]["curves"]), freedom))
    return found


def c2_uncertainty(table):
    """C2 with an uncertainty order is best: in C2 ahead of every other order, random among them."""
    text = "C2 ordered by uncertainty (DeepGini, entropy) is best"
    keys = [("c2", metric) for metric in UNCERTAIN if ("c2", metric) in table]
    others = [key for key in table if key[0] == "c2" and key not in keys]
    if not keys or not others:
        return Claim(text, SOURCE, "C2 was not run with an uncertainty order beside others", "not measured")
    level = claims.confidence(len(others))
    effects = [_difference(f"minus {key[1]}", table, keys, [key], level=level) for key in others]
    best = max(table, key=lambda key: table[key]["measures"]["best"]["value"])
    said = f"mean area in C2 {_mean(table, keys):.2f} %, {'; '.join(map(str, effects))}"
    other = "" if best in keys else f"the best accuracy of all is {'-'.join(best)}'s"
    return claims.judged(text, SOURCE, said, effects, reservation=other)


def surprise(table):
    """The earlier version: surprise adequacy is best."""
    text = "Surprise adequacy orders best (the earlier version)"
    keys, others = ([key for key in table if key[1] in metrics] for metrics in (SURPRISED, UNCERTAIN))
    common = {name for name, _ in keys} & {name for name, _ in others}
    keys, others = ([key for key in some if key[0] in common] for some in (keys, others))
    if not common:
        return Claim(text, EARLIER, "surprise was not run beside uncertainty", "not measured")
    effect = _difference("surprise minus uncertainty", table, keys, others)
    said = f"mean area of LSA and DSA {_mean(table, keys):.2f} %, of DeepGini and entropy {_mean(table, others):.2f} %"
    return claims.judged(text, EARLIER, f"{said}: {effect}", [effect])


def few(table):
    """The best accuracy needs few of the inputs: an order saves more than half of them.

    The prefix with the best accuracy is one of those that the interval of a difference does not tell from it; and what
    the order needs lies between the prefix before the first of these and the one after the last.
    """
    text = "An uncertainty order in C2 reaches its best with few inputs"
    keys = [("c2", metric) for metric in UNCERTAIN if ("c2", metric) in table]
    if not keys:
        return Claim(text, SOURCE, "C2 was not run with an uncertainty order", "not measured")
    level, effects, said = claims.confidence(len(keys)), [], []
    for key in keys:
        same = _difference("", table, [key], [key], measure="best", level=level).interval.high
        ends = numpy.mean([_needed(curve, same) for curve in table[key]["curves"]], axis=0)
        effects.append(
            Effect(what=f"{key[1]} saves", interval=Interval(*(1 - ends)), needed=FEW, scale="share", unit="%",
                   confidence=level)
        )  # fmt: skip
        total = max(one["inputs"] for one in table[key]["curves"][0])
        within = table[key]["measures"]["inputs-to-99"]["value"] / total
        said.append(f"{effects[-1]} (99 % of the best with {100 * within:.0f} %)")
    prefixes = len(table[keys[0]]["curves"][0])
    said = f"of the inputs {'; '.join(said)}; {prefixes} prefixes, whose accuracies have the interval of a difference"
    return claims.judged(text, SOURCE, said, effects)


def _needed(curve, same):
    """Share of the inputs with the best accuracy, and the most and the fewest that it may need: three numbers."""
    counts = numpy.array([0, *(one["inputs"] for one in curve)], float) / curve[-1]["inputs"]
    accuracy = 100 * numpy.array([-math.inf, *(one["both"]["accuracy"] for one in curve)])
    plausible = numpy.flatnonzero(accuracy >= accuracy.max() - same)
    most = counts[min(plausible[-1] + 1, len(counts) - 1)]
    return counts[accuracy.argmax()], most, counts[max(plausible[0] - 1, 0)]


def coverage_worst(table):
    """Neuron coverage is the worst order of the metrics: every other one is ahead of it, in the configurations that
    have both."""
    text = "Neuron coverage orders worst of the metrics"
    covered = {name for name, metric in table if metric == "neuron_coverage"}
    metrics = list(dict.fromkeys(metric for name, metric in table if name in covered))
    metrics = [metric for metric in metrics if metric not in ("neuron_coverage", "random")]
    if not metrics:
        return Claim(text, SOURCE, "neuron coverage was not run beside others", "not measured")
    effects, level = [], claims.confidence(len(metrics))
    for metric in metrics:
        names = [name for name in sorted(covered) if (name, metric) in table]
        keys, ours = ([(name, one) for name in names] for one in (metric, "neuron_coverage"))
        effects.append(_difference(f"{metric} minus it", table, keys, ours, level=level))
    said = f"mean area {_mean(table, [(name, 'neuron_coverage') for name in covered]):.2f} %"
    return claims.judged(text, SOURCE, f"{said}, {'; '.join(map(str, effects))}", effects)


def c3_cheap(table):
    """C3 comes close to C2, by CLOSE points at most, in a third to a ninth of the time: of the images trained on."""
    text = "C3 is close to C2, in a third to a ninth of the time"
    metrics = [metric for name, metric in table if name == "c3" and ("c2", metric) in table]
    if not metrics:
        return Claim(text, SOURCE, "C2 and C3 were not run with the same order", "not measured")
    c2, c3 = ([(name, metric) for metric in metrics] for name in ("c2", "c3"))
    behind = _difference("C3 minus C2", table, c3, c2, measure="best", needed=-CLOSE)
    pairs = [(table[one], table[other]) for one, other in zip(c2, c3, strict=True)]
    ratio, spent = (float(numpy.mean([of(one) / of(other) for one, other in pairs])) for of in (_trained, _seconds))
    cheap = Effect(what="fewer images trained on", interval=Interval(ratio, ratio, ratio), needed=CHEAP, unit="times")
    said = (
        f"best accuracy {behind}, 1/{ratio:.1f} of the images trained on, 1/{spent:.1f} of the seconds; mean of "
        f"{len(metrics)} orders"
    )
    return claims.judged(text, SOURCE, said, [behind, cheap])


def c1_or_c2(table):
    """Which has the higher maximum: the published curves say C1 on three data sets, the text C2."""
    text = "C2's best is above C1's"
    metrics = [metric for name, metric in table if name == "c1" and ("c2", metric) in table]
    if not metrics:
        return Claim(text, SOURCE, "C1 and C2 were not run with the same order", "not measured")
    c1, c2 = ([(name, metric) for metric in metrics] for name in ("c1", "c2"))
    effect = _difference("C2 minus C1", table, c2, c1, measure="best")
    each = [_mean(table, [two], "best") - _mean(table, [one], "best") for one, two in zip(c1, c2, strict=True)]
    ends = f"{signed(min(each), 2)} to {signed(max(each), 2)}"
    said = f"best accuracy, mean of {len(metrics)} orders: {effect}, single orders {ends}"
    return claims.judged(text, SOURCE, said, [effect])


def _trained(row):
    """Images of all prefixes, which the time follows on a machine that does nothing else."""
    return float(numpy.mean([sum(one["inputs"] for one in curve) for curve in row["curves"]]))


def _seconds(row):
    return float(numpy.mean([sum(one["seconds"] for one in curve) for curve in row["curves"]]))
