"""The interval of a paired difference: two methods on the same images, each image's score minus its other score."""

from collections.abc import Sequence

import numpy
import scipy.stats

from reporting.statistics import Interval, around, wilson

RESAMPLES = 10_000
EXACT = 25  # images that differ, from which McNemar's test is no longer done exactly


def none_seen(count: int, value: float = 0.0, *, confidence: float = 0.95) -> Interval:
    """The interval of a mean if all `count` images have the same `value` (0: two methods agree on every image).

    The fraction of other images that may differ, by 1, is the upper end of Wilson's interval of 0 of `count`.
    """
    half = wilson(0, count, confidence=confidence).high
    return Interval(value, value - half, value + half)


def signs(strata: Sequence[numpy.ndarray]) -> tuple[int, int]:
    """(images of positive difference, images of negative difference). strata: as of paired_bootstrap."""
    gained, lost = (sum(int((sign * stratum > 0).sum()) for stratum in strata) for sign in (1, -1))
    return gained, lost


def of_signs(gained: int, lost: int, size: float, *, confidence: float = 0.95) -> Interval:
    """The interval of a mean difference of which the signs alone are random, and exact: not only for many images.

    The fraction that is gained of the images that differ has the interval of Clopper and Pearson (1934); it excludes a
    half where McNemar's exact test does.

    gained, lost: images of positive and of negative difference, not both 0
    size: mean size of the difference over all images
    """
    share = scipy.stats.binomtest(int(gained), int(gained + lost)).proportion_ci(confidence, method="exact")
    value = (gained - lost) / (gained + lost)
    return Interval(size * value, size * (2 * share.low - 1), size * (2 * share.high - 1))


def paired_bootstrap(
    strata: Sequence[numpy.ndarray], *, confidence: float = 0.95, resamples: int = RESAMPLES, seed: int = 0
) -> Interval:
    """The mean difference of two methods on the same images, with its percentile interval.

    Images are drawn with replacement within each stratum (Efron, Tibshirani 1993, sections 8.3 and 13.3). The value is
    the mean over strata of their means. Drawing the count of each distinct difference is the same as drawing images,
    and as fast for 10,000 images as for ten. Where fewer than EXACT images differ, a bootstrap is too narrow, and the
    interval holds that of `of_signs` too. If all images of each stratum have the same difference, it is that of
    `none_seen`.

    strata: one array (n,) for each source model: the score of the first method on each image minus that of the second
    resamples: number of drawings; seed: of the drawings
    Raises ValueError for no stratum, an empty stratum, or values that are not finite.
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
        resampled = generator.multinomial(len(stratum), counts / len(stratum), size=resamples)
        means += resampled @ values / len(stratum) / len(strata)
    if not any(numpy.ptp(stratum) for stratum in strata):
        value = float(numpy.mean([stratum[0] for stratum in strata]))
        return none_seen(sum(map(len, strata)), value, confidence=confidence)
    ends = map(float, numpy.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2]))
    interval = Interval(float(numpy.mean([stratum.mean() for stratum in strata])), *ends)
    gained, lost = signs(strata)
    if gained + lost >= EXACT:
        return interval
    size = float(numpy.mean([numpy.abs(stratum).mean() for stratum in strata]))
    return around(interval, of_signs(gained, lost, size, confidence=confidence))
