"""Intervals and tests against naive references: enumeration, resampling image by image, and the closed formula."""

import itertools
import math

import numpy
import pytest
import scipy.stats

from reporting import bootstrap, measures, statistics


@pytest.mark.parametrize(("count", "total"), [(0, 10), (3, 10), (10, 10), (4321, 10_000)])
@pytest.mark.parametrize("z", [1.959963984540054, 1.6448536269514722])
def test_wilson_is_its_formula(count, total, z):
    share = count / total
    centre = (share + z**2 / (2 * total)) / (1 + z**2 / total)
    half = z / (1 + z**2 / total) * (share * (1 - share) / total + z**2 / (4 * total**2)) ** 0.5
    interval = statistics.wilson(count, total, confidence=2 * scipy.stats.norm.cdf(z) - 1)
    numpy.testing.assert_allclose(
        [interval.value, interval.low, interval.high], [share, centre - half, centre + half], atol=1e-9
    )


@pytest.mark.parametrize(("count", "total"), [(0, 0), (-1, 5), (6, 5)])
def test_wilson_of_no_share(count, total):
    with pytest.raises(ValueError, match=f"count {count} of total {total}"):
        statistics.wilson(count, total)


def test_bootstrap_of_few_images_is_the_enumeration_of_all_resamples(monkeypatch):
    monkeypatch.setattr(bootstrap, "EXACT", 0)
    differences = numpy.array([-1.0, 0, 0, 1, 1, 0.5])
    means = numpy.array([numpy.mean(drawn) for drawn in itertools.product(differences, repeat=6)])
    interval = bootstrap.paired_bootstrap([differences], confidence=0.8)
    assert interval.value == pytest.approx(differences.mean())
    # A quantile of a step function: the shares of resamples below and up to it enclose 10 and 90 %.
    for end, share in ((interval.low, 0.1), (interval.high, 0.9)):
        assert (means < end - 1e-9).mean() - 0.02 < share < (means <= end + 1e-9).mean() + 0.02


@pytest.mark.parametrize("sizes", [(400,), (300, 500)])
def test_bootstrap_agrees_with_drawing_image_by_image(sizes):
    generator = numpy.random.default_rng(2)
    strata = [generator.integers(-3, 4, size) / 3 for size in sizes]
    means = []
    for _ in range(4000):
        means.append(numpy.mean([each[generator.integers(len(each), size=len(each))].mean() for each in strata]))
    interval = bootstrap.paired_bootstrap(strata)
    assert interval.value == pytest.approx(numpy.mean([each.mean() for each in strata]))
    numpy.testing.assert_allclose([interval.low, interval.high], numpy.quantile(means, [0.025, 0.975]), atol=0.006)
    assert interval == bootstrap.paired_bootstrap(strata), "the same seed gives the same interval"


def test_bootstrap_covers_the_true_difference_about_as_often_as_it_says():
    generator = numpy.random.default_rng(4)
    covered = 0
    for _ in range(300):
        interval = bootstrap.paired_bootstrap(
            [generator.choice([-1, 0, 1], size=200, p=[0.1, 0.6, 0.3])], resamples=1000
        )
        covered += interval.low <= 0.2 <= interval.high
    assert 0.91 < covered / 300 < 0.985


@pytest.mark.parametrize(("gained", "lost"), [(4, 0), (5, 0), (6, 0), (1, 9), (12, 12), (9, 1), (24, 0)])
def test_where_few_images_differ_an_interval_decides_no_sooner_than_mcnemars_exact_test(gained, lost):
    differences = numpy.repeat([1.0, -1.0, 0.0], [gained, lost, 200 - gained - lost])
    interval = bootstrap.paired_bootstrap([differences])
    excludes = interval.low > 0 or interval.high < 0
    assert excludes == (statistics.mcnemar(gained, lost) < 0.05)
    signs = bootstrap.of_signs(gained, lost, (gained + lost) / 200)
    assert interval.low <= signs.low <= signs.value == pytest.approx(interval.value) and signs.high <= interval.high
    older = {"value": 100 * interval.value, "n": 200, "interval": [100 * max(interval.low, 0.005), 100 * interval.high]}
    assert lost or measures.difference_interval(older).low == pytest.approx(min(older["interval"][0], 100 * signs.low))


def test_methods_that_no_image_tells_apart():
    """Fifty images without a difference do not exclude one: the true share of such images may be as large as Wilson's
    interval of 0 of 50."""
    interval, share = bootstrap.paired_bootstrap([numpy.zeros(50)]), statistics.wilson(0, 50).high
    assert (interval.value, interval.low, interval.high) == (0, -share, share)
    interval = bootstrap.paired_bootstrap([numpy.ones(10), numpy.zeros(40)])
    assert (interval.value, interval.low, interval.high) == (0.5, 0.5 - share, 0.5 + share)


@pytest.mark.parametrize("strata", [[], [numpy.zeros(0)], [numpy.zeros(3), numpy.zeros((2, 2))], [[numpy.nan]]])
def test_differences_that_are_none(strata):
    with pytest.raises(ValueError, match="expected at least one array"):
        bootstrap.paired_bootstrap(strata)


@pytest.mark.parametrize("n", [5, 8, 9])
@pytest.mark.parametrize("ties", [False, True])
def test_signed_rank_is_the_enumeration_of_all_signs(n, ties):
    generator = numpy.random.default_rng(n)
    for _ in range(5):
        second = generator.normal(60, 2, n)
        difference = generator.integers(-2, 4, n) / 10 if ties else generator.normal(0.5, 1, n)
        first = second + difference
        nonzero = numpy.round(difference[difference != 0], 9)
        ranks = [numpy.mean(numpy.flatnonzero(numpy.sort(abs(nonzero)) == abs(value)) + 1) for value in nonzero]
        statistic = sum(rank for rank, value in zip(ranks, nonzero, strict=True) if value > 0)
        sums = [numpy.dot(signs, ranks) for signs in itertools.product((0, 1), repeat=len(ranks))]
        result = statistics.signed_rank(first, second)
        assert (result.n, result.statistic) == (n, statistic)
        assert result.p == pytest.approx(numpy.mean(numpy.array(sums) >= statistic - 1e-9))
        if not ties:
            assert result.p == pytest.approx(scipy.stats.wilcoxon(first, second, alternative="greater").pvalue)


def test_published_cell_of_nine_agreeing_runs():
    result = statistics.signed_rank(numpy.arange(9) + 80, numpy.arange(9) * 0.9 + 70)
    assert result.p == pytest.approx(2**-9) and result.statistic == 45


def test_fewer_than_five_pairs_have_no_p():
    result = statistics.signed_rank([3, 2, 5, 4], [1, 1, 1, 1])
    assert (result.n, result.p, result.statistic) == (4, None, 10) and "4 paired runs" in result.why
    assert statistics.signed_rank([1] * 6, [1] * 6).p == 1, "no pair differs"


def test_values_that_are_not_paired():
    with pytest.raises(ValueError, match=r"shapes \(3,\) and \(2,\)"):
        statistics.signed_rank([1, 2, 3], [1, 2])


@pytest.mark.parametrize(("first", "second"), [((56, 70), (48, 80)), ((9, 10), (3, 10)), ((10, 10), (0, 20))])
def test_newcombe_is_its_published_examples(first, second):
    """Newcombe 1998, table II, method 10, examples (a), (b) and (d)."""
    published = {(56, 70): (0.0524, 0.3339), (9, 10): (0.1705, 0.8090), (10, 10): (0.6791, 1.0)}[first]
    interval = statistics.newcombe(statistics.wilson(*first), statistics.wilson(*second))
    assert interval.value == pytest.approx(first[0] / first[1] - second[0] / second[1])
    assert (interval.low, interval.high) == pytest.approx(published, abs=1e-4)


def gap(shares, total, generator):
    counts = generator.binomial(total, shares)
    return statistics.largest_gap(counts, numpy.full(len(shares), total))


def test_the_largest_gap_is_over_all_pairs_at_the_level_of_the_range():
    """The level: how far apart several means of no true difference lie at most, 95 times in 100, by simulation."""
    generator = numpy.random.default_rng(1)
    spans = numpy.ptp(generator.normal(size=(200_000, 4)), axis=1) / math.sqrt(2)
    level = 2 * scipy.stats.norm.cdf(numpy.quantile(spans, 0.95)) - 1
    counts, totals = [3, 18, 11, 40], [20, 20, 50, 50]
    shares = [
        (count / of, statistics.wilson(count, of, confidence=level)) for count, of in zip(counts, totals, strict=True)
    ]
    ends = []
    for (count, first), (other, second) in itertools.permutations(shares, 2):
        below = math.hypot(count - first.low, second.high - other)
        above = math.hypot(first.high - count, other - second.low)
        ends.append((count - other, count - other - below, count - other + above))
    interval = statistics.largest_gap(counts, totals)
    expected = [max(part) for part in zip(*ends, strict=True)]
    assert (interval.value, interval.low, interval.high) == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize(
    ("shares", "total"),
    [([0.5] * 10, 6), ([0.95] * 10, 100), ([0.1, 0.4, 0.6, 0.9], 20), (numpy.linspace(0.05, 0.95, 10), 6)],
)
def test_the_interval_of_the_largest_gap_holds_the_true_one(shares, total):
    """Of six images a class too, where the measured gap alone is far too large."""
    generator, true = numpy.random.default_rng(5), float(numpy.ptp(shares))
    gaps = [gap(shares, total, generator) for _ in range(80)]
    assert numpy.mean([each.low <= true <= each.high for each in gaps]) > 0.9
    if true == 0 and total == 6:
        assert numpy.mean([each.value for each in gaps]) > 0.5 and numpy.mean([each.high for each in gaps]) > 0.8


@pytest.mark.parametrize(("counts", "totals"), [([1], [2]), ([1, 2], [2]), ([], [])])
def test_no_gap_of_fewer_than_two_shares(counts, totals):
    with pytest.raises(ValueError, match="at least two"):
        statistics.largest_gap(counts, totals)


@pytest.mark.parametrize("value", [-0.99, -0.3, 0.0, 0.5, 0.95, 1.0])
def test_the_error_of_a_correlation_is_that_of_bonett_and_wright(value):
    """To first order: the scale turns an error of sqrt(1 + r^2 / 2) in Fisher's z into one of 1, whatever r is."""
    there, back = statistics.SCALES["correlation"]
    limited = max(-0.9999, min(0.9999, value))
    assert back(there(value)) == pytest.approx(limited)
    step = 1e-7
    derivative = (there(limited + step) - there(limited - step)) / (
        numpy.arctanh(limited + step) - numpy.arctanh(limited - step)
    )
    if abs(value) < 0.99:
        assert derivative == pytest.approx(1 / math.sqrt(1 + limited**2 / 2), rel=1e-5)
    few, many = statistics.correlation(value, 10), statistics.correlation(value, 10_000)
    assert -1 <= few.low <= many.low <= limited <= many.high <= few.high <= 1
    assert statistics.correlation(value, 3) == statistics.Interval(value, -1, 1)


def test_the_interval_of_a_correlation_covers_the_true_one():
    generator, covered = numpy.random.default_rng(2), 0
    covariance = [[1, 2 * math.sin(math.pi * 0.5 / 6)], [2 * math.sin(math.pi * 0.5 / 6), 1]]  # Spearman's is 0.5
    for ranks in generator.multivariate_normal([0, 0], covariance, (500, 10)).argsort(axis=1).argsort(axis=1):
        interval = statistics.correlation(float(numpy.corrcoef(ranks.T)[0, 1]), 10)
        covered += interval.low <= 0.5 <= interval.high
    assert 0.92 < covered / 500 < 0.99


@pytest.mark.parametrize(("count", "confidence"), [(6, 0.95), (7, 0.95), (12, 0.95), (12, 0.99), (25, 0.9)])
def test_the_interval_of_a_median_is_the_enumeration_of_all_sides(count, confidence):
    """Each value lies below the true median or above with equal chance: the narrowest pair of ends that holds it."""
    below = numpy.array([math.comb(count, k) for k in range(count + 1)]) / 2**count
    holds = {k: below[k + 1 : count - k].sum() for k in range(count // 2)}
    place = max((k for k, chance in holds.items() if chance >= confidence), default=None)
    values = numpy.random.default_rng(count).permutation(count).astype(float)
    interval = statistics.median(values, confidence=confidence)
    expected = (-math.inf, math.inf) if place is None else (place, count - 1 - place)
    assert (interval.value, interval.low, interval.high) == ((count - 1) / 2, *expected)


def test_a_median_of_few_values_has_no_interval():
    assert statistics.median([1.0] * 5) == statistics.Interval(1.0, -math.inf, math.inf)
    with pytest.raises(ValueError, match="no values"):
        statistics.median([])


def test_student_is_scipys_and_without_freedom_has_no_ends():
    low, high = scipy.stats.t.interval(0.99, 4, loc=2.0, scale=0.3)
    interval = statistics.student(2.0, 0.3, 4, confidence=0.99)
    assert (interval.low, interval.high) == pytest.approx((low, high))
    assert statistics.student(2.0, 0.3, 0) == statistics.Interval(2.0, -math.inf, math.inf)
    assert statistics.student(0.0, 1.0, math.inf).high == pytest.approx(1.959964)


def shown(scale, size, needed, effect, generator, tries=300):
    """Naive reference: how often an experiment of this size shows an effect, by repeating it."""
    hits = 0
    for _ in range(tries):
        if scale == "share":
            interval = statistics.wilson(generator.binomial(size, effect), size)
        elif scale == "correlation":
            pearson = 2 * math.sin(math.pi * effect / 6)
            ranks = generator.multivariate_normal([0, 0], [[1, pearson], [pearson, 1]], size).argsort(0).argsort(0)
            interval = statistics.correlation(float(numpy.corrcoef(ranks.T)[0, 1]), size)
        else:
            error = math.sqrt(generator.chisquare(size) / size)
            interval = statistics.student(generator.normal(effect), error, size)
        hits += interval.low > needed
    return hits / tries


@pytest.mark.parametrize(
    ("scale", "size", "needed", "interval"),
    [
        ("share", 80, 0.5, statistics.wilson(48, 80)),
        ("share", 400, 0.25, statistics.wilson(100, 400)),
        ("correlation", 10, 0.0, statistics.correlation(0.3, 10)),
        ("correlation", 40, 0.5, statistics.correlation(-0.2, 40)),
        ("difference", 4, 0.0, statistics.student(9.0, 1.0, 4)),
        ("difference", 25, -1.0, statistics.student(0.0, 1.0, 25)),
    ],
)
def test_what_is_detectable_shows_four_times_in_five(scale, size, needed, interval):
    freedom = size if scale == "difference" else math.inf
    effect = statistics.detectable(interval, needed, scale=scale, freedom=freedom)
    assert effect > needed
    generator = numpy.random.default_rng(size)
    assert shown(scale, size, needed, effect, generator) == pytest.approx(0.8, abs=0.08)
    assert shown(scale, size, needed, needed, generator) < 0.06, "nothing shows where there is nothing"


def test_what_no_experiment_of_its_size_can_show():
    assert statistics.detectable(statistics.Interval(0.0, -math.inf, math.inf)) is None
    assert statistics.detectable(statistics.wilson(5, 6), 0.9, scale="share") is None
    assert statistics.detectable(statistics.correlation(0.5, 4), 0.5, scale="correlation") is None
    assert statistics.detectable(statistics.Interval(5.0, 5.0, 5.0), 1.0) == 1.0
