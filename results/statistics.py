"""How sure a number is: the interval of a share, of a difference on the same images, and a test over paired runs.

Numbers and boolean flags go in, numbers come out: nothing here knows models, data or files.
"""

import dataclasses

import numpy
import scipy.stats

LEAST_PAIRS = 5
RESAMPLES = 10_000


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


def wilson(count, total, *, confidence=0.95):
    """Wilson's interval of a share, count of total (Wilson 1927), as Interval in [0, 1].

    Raises ValueError for a total below 1 or a count outside [0, total].
    """
    if not 0 <= count <= total or total < 1:
        raise ValueError(f"count {count} of total {total}, expected a total of at least 1 and a count of 0 to total")
    found = scipy.stats.binomtest(int(count), int(total)).proportion_ci(confidence, method="wilson")
    return Interval(count / total, float(found.low), float(found.high))


def paired_bootstrap(strata, *, confidence=0.95, resamples=RESAMPLES, seed=0):
    """The mean difference of two methods on the same images, with its percentile interval, as Interval.

    strata: one array (n,) a source model, an image's entry being what the first method scored on it minus what the
    second did. Images are drawn with replacement within each stratum (Efron, Tibshirani 1993, sections 8.3 and 13.3);
    the value is the mean over strata of their means. Drawing how often each distinct difference occurs is the same as
    drawing images, and as quick for 10,000 images as for ten.
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
