"""How sure a number is: intervals of fractions, differences, correlations and medians, what they could have shown, and
a test over paired runs.

Numbers and boolean flags go in, numbers come out: nothing here knows models, data or files.
"""

import dataclasses
import itertools
import math

import numpy
import scipy.stats

LEAST_PAIRS = 5
RESAMPLES = 10_000
POWER = 0.8  # how often an effect has to show to be called detectable: the usual four times in five


@dataclasses.dataclass(frozen=True)
class Interval:
    """An estimate `value` and the ends `low` and `high` of its interval, in the unit of what it was made of."""

    value: float
    low: float
    high: float


@dataclasses.dataclass(frozen=True)
class SignedRank:
    """Wilcoxon's test of n pairs: the sum of the positive differences' ranks, and the one-sided p (None: see why)."""

    n: int
    statistic: float
    p: float | None
    why: str = ""


def _of_correlation(value):
    """Where the error of Spearman's correlation is 1 / sqrt(n - 3) for every r: the integral of 1 / ((1 - r^2)
    sqrt(1 + r^2 / 2)), by Bonett and Wright's variance (2000) of Fisher's z."""
    value = min(max(value, -0.9999), 0.9999)
    return math.atanh(value * math.sqrt(1.5 / (1 + value**2 / 2))) / math.sqrt(1.5)


def _to_correlation(scaled):
    moved = math.tanh(math.sqrt(1.5) * scaled)
    return moved / math.sqrt(1.5 - moved**2 / 2)


SCALES = {  # (there, back): where the error of an estimate is about normal, and as large for small effects as for large
    "difference": (float, float),
    "share": (lambda x: math.asin(math.sqrt(min(max(x, 0), 1))), lambda x: math.sin(min(x, math.pi / 2)) ** 2),
    "correlation": (_of_correlation, _to_correlation),
}


def wilson(count, total, *, confidence=0.95):
    """Wilson's interval of a share, count of total (Wilson 1927), as Interval in [0, 1].

    Raises ValueError for a total below 1 or a count outside [0, total].
    """
    if not 0 <= count <= total or total < 1:
        raise ValueError(f"count {count} of total {total}, expected a total of at least 1 and a count of 0 to total")
    found = scipy.stats.binomtest(int(count), int(total)).proportion_ci(confidence, method="wilson")
    return Interval(count / total, float(found.low), float(found.high))


def newcombe(first, second):
    """The difference of two fractions on different images with its interval, as Interval in [-1, 1].

    first, second: their Wilson intervals (`wilson`), whose level it takes over; Newcombe 1998, method 10. On the same
    images it is too wide where the two agree on most of them.
    """
    low = math.hypot(first.value - first.low, second.high - second.value)
    high = math.hypot(first.high - first.value, second.value - second.low)
    value = first.value - second.value
    return Interval(value, value - low, value + high)


def largest_gap(counts, totals, *, confidence=0.95):
    """Largest minus smallest of K fractions, with the interval of that of the true ones, as Interval in [0, 1].

    counts, totals: integers (K,), K at least 2. The largest of several measured fractions is too large by chance, the
    smallest too small, so the interval is simultaneous over all pairs: `newcombe` at the level at which Tukey compares
    K means (1949). Of few images it reaches from 0 to nearly 1, whatever was measured.
    Raises ValueError for fewer than two fractions, or counts outside [0, total].
    """
    if len(counts) != len(totals) or len(counts) < 2:
        raise ValueError(f"{len(counts)} counts of {len(totals)} totals, expected as many, and at least two")
    quantile = scipy.stats.studentized_range.ppf(confidence, len(counts), numpy.inf) / math.sqrt(2)
    level = 1 - 2 * scipy.stats.norm.sf(quantile)
    shares = [wilson(count, total, confidence=level) for count, total in zip(counts, totals, strict=True)]
    gaps = [newcombe(one, other) for one, other in itertools.permutations(shares, 2)]
    low, high = max(gap.low for gap in gaps), max(gap.high for gap in gaps)
    return Interval(max(gap.value for gap in gaps), max(0.0, low), min(1.0, high))


def correlation(value, count, *, confidence=0.95):
    """A rank correlation (Spearman's) over `count` points with its interval, as Interval in [-1, 1].

    The variance of its Fisher's z is that of Bonett and Wright 2000, (1 + r^2 / 2) / (count - 3). The interval holds
    for the mean of several correlations over the same points too, and is too wide where these err independently.
    Three points and fewer say nothing.
    """
    if count <= 3:
        return Interval(value, -1.0, 1.0)
    there, back = SCALES["correlation"]
    half = _quantile((1 + confidence) / 2, math.inf) / math.sqrt(count - 3)
    return Interval(value, back(there(value) - half), back(there(value) + half))


def spearman(one, other, *, constant=0.0):
    """Spearman's rank correlation of two arrays (N,); `constant` where one of the two is constant."""
    if numpy.ptp(one) == 0 or numpy.ptp(other) == 0:
        return constant
    return float(scipy.stats.spearmanr(one, other).statistic)


def median(values, *, confidence=0.95):
    """The median of independent values with its exact interval between two of them (sign test), as Interval.

    values: (n,); of fewer than six values at 95 % the interval is without ends. Raises ValueError for none.
    """
    values = numpy.sort(numpy.asarray(values, float))
    if not len(values):
        raise ValueError("no values, expected at least one to have a median")
    beyond = int(scipy.stats.binom.ppf((1 - confidence) / 2, len(values), 0.5))  # values that may lie outside an end
    if scipy.stats.binom.cdf(beyond, len(values), 0.5) > (1 - confidence) / 2:
        beyond -= 1
    ends = (-math.inf, math.inf) if beyond < 0 else (values[beyond], values[-1 - beyond])
    return Interval(float(numpy.median(values)), *map(float, ends))


def student(value, error, freedom, *, confidence=0.95):
    """An estimate with its interval by Student's t, as Interval.

    error: the estimate's standard error, itself estimated with `freedom` degrees of freedom (0: there is no estimate of
    it, and the interval has no ends).
    """
    half = _quantile((1 + confidence) / 2, freedom) * error if freedom else math.inf
    return Interval(float(value), float(value) - half, float(value) + half)


def detectable(interval, needed=0.0, *, scale="difference", freedom=math.inf, confidence=0.95, power=POWER):
    """The smallest effect above `needed` that an experiment of this size shows four times in five; None: no effect.

    That is the true value from which on the interval of such an experiment lies above `needed` with probability
    `power`: its distance is the half width of `interval`, which stands for the experiment's size, and about two fifths
    more for the luck of the draw (Cohen 1988, section 1.5; with Student's t for the normal). scale: of SCALES, where
    distances are taken; freedom: degrees of freedom of the interval; confidence: its level. Approximate, as intervals
    of small samples are. None where the interval has no ends, or where the effect would have to be outside the scale.
    """
    there, back = SCALES[scale]
    half = (there(interval.high) - there(interval.low)) / 2
    if not math.isfinite(half):
        return None
    beyond = there(needed) + half * (1 + _quantile(power, freedom) / _quantile((1 + confidence) / 2, freedom))
    outside = (scale == "share" and beyond >= math.pi / 2) or (scale == "correlation" and back(beyond) > 0.995)
    return None if outside else back(beyond)


def _quantile(probability, freedom):
    return float(scipy.stats.norm.ppf(probability) if math.isinf(freedom) else scipy.stats.t.ppf(probability, freedom))


def none_seen(count, value=0.0, *, confidence=0.95):
    """The interval of a mean of which each of `count` images showed the same value, 0 of methods that none told apart:
    as many others may differ, by 1, as Wilson's interval of none of them allows. As Interval."""
    half = wilson(0, count, confidence=confidence).high
    return Interval(value, value - half, value + half)


def paired_bootstrap(strata, *, confidence=0.95, resamples=RESAMPLES, seed=0):
    """The mean difference of two methods on the same images, with its percentile interval, as Interval.

    strata: one array (n,) a source model, an image's entry being what the first method scored on it minus what the
    second did. Images are drawn with replacement within each stratum (Efron, Tibshirani 1993, sections 8.3 and 13.3);
    the value is the mean over strata of their means. Drawing how often each distinct difference occurs is the same as
    drawing images, and as quick for 10,000 images as for ten. Where no image differs from the others, as where none
    tells the two methods apart, there is nothing to draw, and the interval is that of `none_seen`.
    Raises ValueError for no stratum, an empty one, or values that are not finite.
    """
    strata = [numpy.asarray(stratum, float) for stratum in strata]
    if not strata or not all(
        stratum.ndim == 1 and len(stratum) and numpy.isfinite(stratum).all() for stratum in strata
    ):
        shapes = [stratum.shape for stratum in strata]
        raise ValueError(f"differences of shapes {shapes}, expected at least one array (n,) of finite numbers, n >= 1")
    generator = numpy.random.default_rng(seed)
    means = numpy.zeros(resamples)
    for stratum in strata:
        values, counts = numpy.unique(stratum, return_counts=True)
        drawn = generator.multinomial(len(stratum), counts / len(stratum), size=resamples)
        means += drawn @ values / len(stratum) / len(strata)
    if not any(numpy.ptp(stratum) for stratum in strata):
        value = float(numpy.mean([stratum[0] for stratum in strata]))
        return none_seen(sum(map(len, strata)), value, confidence=confidence)
    low, high = numpy.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(float(numpy.mean([stratum.mean() for stratum in strata])), float(low), float(high))


def signed_rank(first, second, *, least=LEAST_PAIRS):
    """One-sided Wilcoxon signed-rank test that `first` exceeds `second`, run by run (Wilcoxon 1945), as SignedRank.

    first, second: values (n,) of paired runs. Pairs without a difference are left out and equal differences share
    their mean rank; p is the exact share of all sign patterns with as large a sum of positive ranks. Below `least`
    pairs there is no p: of four pairs that all agree it is still 1/16.
    Raises ValueError for arrays that are not paired.
    """
    first, second = numpy.asarray(first, float), numpy.asarray(second, float)
    if first.shape != second.shape or first.ndim != 1 or not numpy.isfinite(first - second).all():
        raise ValueError(f"values of shapes {first.shape} and {second.shape}, expected finite numbers in pairs (n,)")
    difference = numpy.round(first - second, 9)  # equal differences of rounded percentages, equal in floating point
    difference = difference[difference != 0]
    doubled = numpy.round(2 * scipy.stats.rankdata(numpy.abs(difference))).astype(int)
    statistic = int(doubled[difference > 0].sum())
    if len(first) < least:
        why = f"{len(first)} paired runs, of at least {least} that a p below .05 takes"
        return SignedRank(len(first), statistic / 2, None, why)
    chance = numpy.ones(1)  # of each sum of doubled ranks, under random signs
    for rank in doubled:
        chance = (numpy.pad(chance, (0, rank)) + numpy.pad(chance, (rank, 0))) / 2
    return SignedRank(len(first), statistic / 2, float(min(1, chance[statistic:].sum())))
