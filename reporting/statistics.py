"""Confidence intervals of fractions, differences, correlations and medians; detectable effects; a test of paired runs.

Functions of numbers and boolean flags. Nothing here knows models, data or files.
"""

import dataclasses
import itertools
import math
from collections.abc import Sequence

import numpy
import scipy.special
import scipy.stats

LEAST_PAIRS = 5
MANY = 1000  # degrees of freedom from which Student's t is normal
POWER = 0.8  # a detectable effect shows in four experiments of five, as usual


@dataclasses.dataclass(frozen=True)
class Interval:
    """An estimate `value` and the ends `low` and `high` of its interval, in the unit of the data."""

    value: float
    low: float
    high: float


@dataclasses.dataclass(frozen=True)
class SignedRank:
    """Wilcoxon's test of n pairs: the sum of the ranks of positive differences, and the one-sided p (None: see why)."""

    n: int
    statistic: float
    p: float | None
    why: str = ""


def _of_correlation(value):
    """Spearman's correlation on a scale on which its error is 1 / sqrt(n - 3) for every r.

    The integral of 1 / ((1 - r^2) sqrt(1 + r^2 / 2)), from Bonett and Wright's variance (2000) of Fisher's z.
    """
    value = min(max(value, -0.9999), 0.9999)
    return math.atanh(value * math.sqrt(1.5 / (1 + value**2 / 2))) / math.sqrt(1.5)


def _to_correlation(scaled):
    z = math.tanh(math.sqrt(1.5) * scaled)
    return z / math.sqrt(1.5 - z**2 / 2)


SCALES = {  # (there, back): scales on which errors are about normal and do not depend on the size of the effect
    "difference": (float, float),
    "share": (lambda x: math.asin(math.sqrt(min(max(x, 0), 1))), lambda x: math.sin(min(x, math.pi / 2)) ** 2),
    "correlation": (_of_correlation, _to_correlation),
}


def wilson(count: int, total: int, *, confidence: float = 0.95) -> Interval:
    """Wilson's interval of the fraction count / total (Wilson 1927), in [0, 1].

    confidence (here and below): the level of the interval, such as 0.95
    Raises ValueError for a total below 1 or a count outside [0, total].
    """
    if not 0 <= count <= total or total < 1:
        raise ValueError(f"count {count} of total {total}, expected a total of at least 1 and a count of 0 to total")
    interval = scipy.stats.binomtest(int(count), int(total)).proportion_ci(confidence, method="wilson")
    return Interval(count / total, float(interval.low), float(interval.high))


def newcombe(first: Interval, second: Interval) -> Interval:
    """The interval of the difference of two fractions on different images, in [-1, 1] (Newcombe 1998, method 10).

    The level is that of the inputs. It is too wide for two methods that agree on most of the same images.

    first, second: the fractions' Wilson intervals (`wilson`)
    """
    low = math.hypot(first.value - first.low, second.high - second.value)
    high = math.hypot(first.high - first.value, second.value - second.low)
    value = first.value - second.value
    return Interval(value, value - low, value + high)


def largest_gap(
    counts: Sequence[int] | numpy.ndarray, totals: Sequence[int] | numpy.ndarray, *, confidence: float = 0.95
) -> Interval:
    """The interval of the largest minus the smallest of K true fractions, in [0, 1].

    By chance the largest measured fraction is too large and the smallest too small. The interval is therefore
    simultaneous over all pairs: `newcombe` at the level at which Tukey compares K means (1949). For few images it
    spans 0 to nearly 1 whatever was measured.

    counts, totals: integers (K,), K at least 2
    Raises ValueError for fewer than two fractions, or counts outside [0, total].
    """
    if len(counts) != len(totals) or len(counts) < 2:
        raise ValueError(f"{len(counts)} counts of {len(totals)} totals, expected as many, and at least two")
    quantile = scipy.stats.studentized_range.ppf(confidence, len(counts), numpy.inf) / math.sqrt(2)
    level = 1 - 2 * scipy.stats.norm.sf(quantile)
    intervals = [wilson(count, total, confidence=level) for count, total in zip(counts, totals, strict=True)]
    gaps = [newcombe(first, second) for first, second in itertools.permutations(intervals, 2)]
    low, high = max(gap.low for gap in gaps), max(gap.high for gap in gaps)
    return Interval(max(gap.value for gap in gaps), max(0.0, low), min(1.0, high))


def correlation(value: float, count: int, *, confidence: float = 0.95) -> Interval:
    """The interval of Spearman's rank correlation over `count` points, in [-1, 1]; [-1, 1] for three points or fewer.

    The variance of Fisher's z is (1 + r^2 / 2) / (count - 3) (Bonett and Wright 2000). The interval also holds for the
    mean of several correlations over the same points; it is too wide if their errors are independent.
    """
    if count <= 3:
        return Interval(value, -1.0, 1.0)
    there, back = SCALES["correlation"]
    half = _quantile((1 + confidence) / 2, math.inf) / math.sqrt(count - 3)
    return Interval(value, back(there(value) - half), back(there(value) + half))


def spearman(
    first: Sequence[float] | numpy.ndarray, second: Sequence[float] | numpy.ndarray, *, constant: float = 0.0
) -> float:
    """Spearman's rank correlation of two arrays (N,); `constant` if either array is constant."""
    if numpy.ptp(first) == 0 or numpy.ptp(second) == 0:
        return constant
    return float(scipy.stats.spearmanr(first, second).statistic)


def median(values: Sequence[float] | numpy.ndarray, *, confidence: float = 0.95) -> Interval:
    """The median of independent values and its exact interval between two of them (sign test).

    values: (n,); with fewer than six values the interval at 95 % is infinite
    Raises ValueError for no value.
    """
    values = numpy.sort(numpy.asarray(values, float))
    if not len(values):
        raise ValueError("no values, expected at least one to have a median")
    beyond = int(scipy.stats.binom.ppf((1 - confidence) / 2, len(values), 0.5))  # values that may lie outside an end
    if scipy.stats.binom.cdf(beyond, len(values), 0.5) > (1 - confidence) / 2:
        beyond -= 1
    ends = (-math.inf, math.inf) if beyond < 0 else (values[beyond], values[-1 - beyond])
    return Interval(float(numpy.median(values)), *map(float, ends))


def student(value: float, error: float, freedom: float, *, confidence: float = 0.95) -> Interval:
    """The interval of an estimate by Student's t.

    error: standard error of the estimate
    freedom: degrees of freedom of `error` (0: no standard error is known, and the interval is infinite)
    """
    half = _quantile((1 + confidence) / 2, freedom) * error if freedom else math.inf
    return Interval(float(value), float(value) - half, float(value) + half)


def detectable(
    interval: Interval,
    needed: float = 0.0,
    *,
    scale: str = "difference",
    freedom: float = math.inf,
    confidence: float = 0.95,
    power: float = POWER,
) -> float | None:
    """The smallest true effect above `needed` that an experiment of this size shows with probability `power`.

    An experiment shows an effect if its interval lies above `needed`. The distance from `needed` is, in standard
    errors, the shift at which Student's noncentral t exceeds its quantile with this probability (for many degrees of
    freedom the half width and two fifths more: Cohen 1988, section 1.5). None if the interval is infinite, or if the
    effect would lie outside the scale.

    interval: of an experiment of this size
    scale: key of SCALES, on which distances are measured
    freedom: degrees of freedom of the interval; confidence: its level
    """
    there, back = SCALES[scale]
    half = (there(interval.high) - there(interval.low)) / 2
    if not math.isfinite(half):
        return None
    quantile = _quantile((1 + confidence) / 2, freedom)
    if freedom < MANY:
        shift = float(scipy.special.nctdtrinc(freedom, 1 - power, quantile))
    else:
        shift = quantile + _quantile(power, math.inf)
    beyond = there(needed) + half * shift / quantile
    outside = (scale == "share" and beyond >= math.pi / 2) or (scale == "correlation" and back(beyond) > 0.995)
    return None if outside else back(beyond)


def _quantile(probability, freedom):
    return float(scipy.stats.norm.ppf(probability) if math.isinf(freedom) else scipy.stats.t.ppf(probability, freedom))


def widened(interval: Interval, confidence: float) -> Interval:
    """An interval of 95 % at another level, as that of a normal variable."""
    widening = scipy.stats.norm.ppf((1 + confidence) / 2) / scipy.stats.norm.ppf(0.975)
    value = interval.value
    return Interval(value, value - widening * (value - interval.low), value + widening * (interval.high - value))


def around(first: Interval, second: Interval) -> Interval:
    """The narrowest interval that holds both, with the value of the first."""
    return Interval(first.value, min(first.low, second.low), max(first.high, second.high))


def signed_rank(
    first: Sequence[float] | numpy.ndarray, second: Sequence[float] | numpy.ndarray, *, least: int = LEAST_PAIRS
) -> SignedRank:
    """One-sided Wilcoxon signed-rank test that `first` exceeds `second` in paired runs (Wilcoxon 1945).

    Pairs without a difference are dropped, and equal differences share their mean rank. p is the exact fraction of all
    sign patterns with at least this sum of positive ranks. Below `least` pairs there is no p: for four pairs that all
    agree it would be 1/16.

    first, second: values (n,) of paired runs
    Raises ValueError for arrays that are not paired.
    """
    first, second = numpy.asarray(first, float), numpy.asarray(second, float)
    if first.shape != second.shape or first.ndim != 1 or not numpy.isfinite(first - second).all():
        raise ValueError(f"values of shapes {first.shape} and {second.shape}, expected finite numbers in pairs (n,)")
    difference = numpy.round(first - second, 9)  # so that equal differences of percentages are equal in floating point
    difference = difference[difference != 0]
    doubled = numpy.round(2 * scipy.stats.rankdata(numpy.abs(difference))).astype(int)
    statistic = int(doubled[difference > 0].sum())
    if len(first) < least:
        why = f"{len(first)} paired runs, of at least {least} that a p below .05 takes"
        return SignedRank(len(first), statistic / 2, None, why)
    chance = numpy.ones(1)  # probability of each sum of doubled ranks, under random signs
    for rank in doubled:
        chance = (numpy.pad(chance, (0, rank)) + numpy.pad(chance, (rank, 0))) / 2
    return SignedRank(len(first), statistic / 2, float(min(1, chance[statistic:].sum())))


def mcnemar(gained: int, lost: int) -> float:
    """The two-sided p of McNemar's exact test that a change gains as many images as it loses (McNemar 1947).

    gained, lost: images that are correct only after, and only before, the change; 1 where there are none
    """
    return float(scipy.stats.binomtest(int(gained), int(gained + lost)).pvalue) if gained + lost else 1.0
