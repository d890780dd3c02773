"""Intervals and tests against naive references: enumeration, resampling image by image, and the closed formula."""

import itertools

import numpy
import pytest
import scipy.stats

from results import statistics


@pytest.mark.parametrize(("count", "total"), [(0, 10), (3, 10), (10, 10), (4321, 10_000)])
@pytest.mark.parametrize("z", [1.959963984540054, 1.6448536269514722])
def test_wilson_is_its_formula(count, total, z):
    share = count / total
    centre = (share + z**2 / (2 * total)) / (1 + z**2 / total)
    half = z / (1 + z**2 / total) * (share * (1 - share) / total + z**2 / (4 * total**2)) ** 0.5
    found = statistics.wilson(count, total, confidence=2 * scipy.stats.norm.cdf(z) - 1)
    numpy.testing.assert_allclose(
        [found.value, found.low, found.high], [share, centre - half, centre + half], atol=1e-9
    )


@pytest.mark.parametrize(("count", "total"), [(0, 0), (-1, 5), (6, 5)])
def test_wilson_of_no_share(count, total):
    with pytest.raises(ValueError, match=f"count {count} of total {total}"):
        statistics.wilson(count, total)


def test_bootstrap_of_few_images_is_the_enumeration_of_all_resamples():
    differences = numpy.array([-1.0, 0, 0, 1, 1, 0.5])
    means = numpy.array([numpy.mean(drawn) for drawn in itertools.product(differences, repeat=6)])
    found = statistics.paired_bootstrap([differences], confidence=0.8)
    assert found.value == pytest.approx(differences.mean())
    # A quantile of a step function: the shares of resamples below and up to it enclose 10 and 90 %.
    for end, share in ((found.low, 0.1), (found.high, 0.9)):
        assert (means < end - 1e-9).mean() - 0.02 < share < (means <= end + 1e-9).mean() + 0.02


@pytest.mark.parametrize("sizes", [(400,), (300, 500)])
def test_bootstrap_agrees_with_drawing_image_by_image(sizes):
    generator = numpy.random.default_rng(2)
    strata = [generator.integers(-3, 4, size) / 3 for size in sizes]
    means = []
    for _ in range(4000):
        means.append(numpy.mean([one[generator.integers(len(one), size=len(one))].mean() for one in strata]))
    found = statistics.paired_bootstrap(strata)
    assert found.value == pytest.approx(numpy.mean([one.mean() for one in strata]))
    numpy.testing.assert_allclose([found.low, found.high], numpy.quantile(means, [0.025, 0.975]), atol=0.006)
    assert found == statistics.paired_bootstrap(strata), "the same seed gives the same interval"


def test_bootstrap_covers_the_true_difference_about_as_often_as_it_says():
    generator = numpy.random.default_rng(4)
    covered = 0
    for _ in range(300):
        found = statistics.paired_bootstrap([generator.choice([-1, 0, 1], size=200, p=[0.1, 0.6, 0.3])], resamples=1000)
        covered += found.low <= 0.2 <= found.high
    assert 0.91 < covered / 300 < 0.985


def test_methods_that_no_image_tells_apart():
    found = statistics.paired_bootstrap([numpy.zeros(50)])
    assert (found.value, found.low, found.high) == (0, 0, 0)


@pytest.mark.parametrize("strata", [[], [numpy.zeros(0)], [numpy.zeros(3), numpy.zeros((2, 2))], [[numpy.nan]]])
def test_differences_that_are_none(strata):
    with pytest.raises(ValueError, match="expected at least one array"):
        statistics.paired_bootstrap(strata)


@pytest.mark.parametrize("n", [5, 8, 9])
@pytest.mark.parametrize("ties", [False, True])
def test_signed_rank_is_the_enumeration_of_all_signs(n, ties):
    generator = numpy.random.default_rng(n)
    for _ in range(5):
        second = generator.normal(60, 2, n)
        difference = generator.integers(-2, 4, n) / 10 if ties else generator.normal(0.5, 1, n)
        first = second + difference
        kept = numpy.round(difference[difference != 0], 9)
        ranks = [numpy.mean(numpy.flatnonzero(numpy.sort(abs(kept)) == abs(one)) + 1) for one in kept]
        statistic = sum(rank for rank, one in zip(ranks, kept, strict=True) if one > 0)
        sums = [numpy.dot(signs, ranks) for signs in itertools.product((0, 1), repeat=len(ranks))]
        found = statistics.signed_rank(first, second)
        assert (found.n, found.statistic) == (n, statistic)
        assert found.p == pytest.approx(numpy.mean(numpy.array(sums) >= statistic - 1e-9))
        if not ties:
            assert found.p == pytest.approx(scipy.stats.wilcoxon(first, second, alternative="greater").pvalue)


def test_published_cell_of_nine_agreeing_runs():
    found = statistics.signed_rank(numpy.arange(9) + 80, numpy.arange(9) * 0.9 + 70)
    assert found.p == pytest.approx(2**-9) and found.statistic == 45


def test_fewer_than_five_pairs_have_no_p():
    found = statistics.signed_rank([3, 2, 5, 4], [1, 1, 1, 1])
    assert (found.n, found.p, found.statistic) == (4, None, 10) and "4 paired runs" in found.why
    assert statistics.signed_rank([1] * 6, [1] * 6).p == 1, "no pair differs"


def test_values_that_are_not_paired():
    with pytest.raises(ValueError, match=r"shapes \(3,\) and \(2,\)"):
        statistics.signed_rank([1, 2, 3], [1, 2])
