"""Every metric of guided retraining against a plain implementation, and edge cases."""

import warnings

import numpy
import pytest
import scipy.stats

from adv.guided import coverage, ordering, surprise, uncertainty


@pytest.fixture
def traces():
    """Reference (90, 5) in three classes, inputs (40, 5): some are references."""
    generator = numpy.random.default_rng(0)
    train_classes = numpy.arange(90) % 3
    train = generator.normal(size=(90, 5)) @ generator.normal(size=(5, 5)) + train_classes[:, None]
    rows = numpy.concatenate([train[:10], generator.normal(size=(30, 5)) + 1])
    return train, train_classes, rows, numpy.concatenate([train_classes[:10], generator.integers(0, 3, 30)])


def naive_dsa(train, train_classes, rows, classes):
    scores = []
    for row, label in zip(rows, classes, strict=True):
        inside, outside = train[train_classes == label], train[train_classes != label]
        distances = numpy.sqrt(((inside - row) ** 2).sum(axis=1))
        nearest = inside[distances.argmin()]
        far = numpy.sqrt(((outside - nearest) ** 2).sum(axis=1)).min()
        scores.append(0.0 if distances.min() == 0 else distances.min() / far)
    return numpy.array(scores)


def test_lsa_is_minus_the_log_density_of_scipy(traces):
    train, train_classes, rows, classes = traces
    expected = [
        -scipy.stats.gaussian_kde(train[train_classes == label].T).logpdf(row)[0]
        for row, label in zip(rows, classes, strict=True)
    ]
    numpy.testing.assert_allclose(surprise.lsa(*traces), expected, rtol=1e-10, atol=1e-10)


def test_lsa_leaves_out_columns_that_do_not_vary_in_some_class(traces):
    train, train_classes, rows, classes = traces
    flat = numpy.where(train_classes == 1, 3.0, train[:, 0])  # constant in class 1 alone
    wider = numpy.column_stack([train, flat]), train_classes, numpy.column_stack([rows, rows[:, 0]]), classes
    numpy.testing.assert_allclose(surprise.lsa(*wider), surprise.lsa(*traces))
    with pytest.raises(ValueError, match="no column of the 5 varies by 1000"):
        surprise.lsa(*traces, variance_threshold=1000)
    dead = numpy.where(train_classes[:, None] == numpy.arange(5) % 3, 3.0, train)  # each column flat in some class
    with pytest.warns(UserWarning, match="no column varies by 1e-05 in every class: 5 that vary overall are used"):
        assert not numpy.isnan(surprise.lsa(dead, train_classes, rows, classes)).any()


def test_dsa_equals_its_definition(traces):
    numpy.testing.assert_allclose(surprise.dsa(*traces), naive_dsa(*traces), rtol=1e-12)
    assert (surprise.dsa(*traces)[:10] == 0).all(), "a reference is at no distance from itself"


def test_lsa_drops_a_column_by_the_variance_of_the_population(traces):
    """As in the authors' code, by numpy.var: a column that the sample variance would keep."""
    train, train_classes, rows, classes = traces
    sizes = numpy.bincount(train_classes)
    pair = numpy.array([-1.0, 1.0])
    edge = numpy.concatenate([pair] * 45) * numpy.sqrt(1e-5 * (1 - 0.5 / sizes.max()))
    edge = edge[numpy.argsort(numpy.argsort(train_classes, kind="stable"), kind="stable")]
    variances = [[edge[train_classes == label].var(ddof=ddof) for label in range(3)] for ddof in (0, 1)]
    assert max(variances[0]) < 1e-5 < min(variances[1])
    wider = numpy.column_stack([train, edge]), train_classes, numpy.column_stack([rows, rows[:, 0]]), classes
    numpy.testing.assert_allclose(surprise.lsa(*wider), surprise.lsa(*traces))


@pytest.mark.parametrize("sizes", [1e200, 1e20, 1e-200, (1e200, 1.0, 1e-60, 1e30, 3.0)])
def test_lsa_of_any_size_is_moved_by_the_logarithm_of_the_volume(traces, sizes):
    train, train_classes, rows, classes = traces
    scaled = train * sizes, train_classes, rows * sizes, classes
    expected = surprise.lsa(*traces) + numpy.log(numpy.broadcast_to(sizes, 5)).sum()
    numpy.testing.assert_allclose(surprise.lsa(*scaled, variance_threshold=0.0), expected, rtol=1e-9)


def test_columns_that_no_ridge_brings_together_are_refused_in_one_sentence(traces):
    train, train_classes, *_ = traces
    double = numpy.column_stack([train, train[:, 0]]) * (1e200, 1, 1, 1, 1, 1e-100)
    with pytest.raises(ValueError, match="covariance of class 0 cannot be factored.*scale them alike"):
        surprise.lsa(double, train_classes, double, train_classes, variance_threshold=0.0)


def test_an_input_further_out_than_float64_can_say_is_infinitely_surprising(traces):
    train, train_classes, rows, classes = traces
    rows = rows.copy()
    rows[3], rows[4, 2] = 1e200, -1.7e308
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scores = surprise.lsa(train, train_classes, rows, classes)
    assert numpy.isposinf(scores[3:5]).all() and numpy.isfinite(numpy.delete(scores, [3, 4])).all()
    numpy.testing.assert_allclose(numpy.delete(scores, [3, 4]), numpy.delete(surprise.lsa(*traces), [3, 4]))


@pytest.mark.parametrize("size", [1e20, 1e200, 1e-30, 1e-200])
def test_dsa_does_not_depend_on_the_size_of_activations(traces, size):
    train, train_classes, rows, classes = traces
    scores = surprise.dsa(train * size, train_classes, rows * size, classes)
    numpy.testing.assert_allclose(scores, naive_dsa(*traces), rtol=1e-9)


@pytest.mark.parametrize("far", [1e10, 1e20, 1e200])
def test_dsa_of_single_inputs_and_references_far_out(traces, far):
    train, train_classes, rows, classes = traces
    train, rows = train.copy(), rows.copy()
    train[7], rows[12], rows[13, 1] = far, -far, 3 * far
    wide = numpy.longdouble(train), train_classes, numpy.longdouble(rows), classes
    numpy.testing.assert_allclose(
        surprise.dsa(train, train_classes, rows, classes), naive_dsa(*wide).astype("float64"), rtol=1e-9
    )


@pytest.mark.parametrize("shift", [0.0, 1e3, 1e5])
def test_dsa_is_exact_where_single_precision_is_not(shift):
    """Near ties far from the origin, where float32 products would choose another neighbour."""
    generator = numpy.random.default_rng(1)
    train = shift + numpy.repeat(generator.normal(size=(60, 8)), 5, axis=0) + 1e-5 * generator.normal(size=(300, 8))
    classes = numpy.arange(300) % 4
    rows = shift + generator.normal(size=(50, 8))
    numpy.testing.assert_allclose(
        surprise.dsa(train, classes, rows, numpy.arange(50) % 4), naive_dsa(train, classes, rows, numpy.arange(50) % 4),
        rtol=1e-9,
    )  # fmt: skip


def test_dsa_of_equal_activations_in_two_classes():
    train, classes = numpy.float64([[0, 0], [0, 0], [1, 1]]), numpy.array([0, 1, 0])
    scores = surprise.dsa(train, classes, numpy.float64([[0, 0], [0.1, 0]]), numpy.array([0, 0]))
    assert scores.tolist() == [0, numpy.inf], "0 / 0 is 0, and anything beside a boundary of no width is beyond it"


def test_a_class_without_reference_is_infinitely_surprising(traces):
    train, train_classes, rows, _ = traces
    for function in (surprise.lsa, surprise.dsa):
        with pytest.warns(UserWarning, match="class 7 has no reference: its 40 inputs"):
            assert numpy.isinf(function(train, train_classes, rows, numpy.full(40, 7))).all()


def test_a_class_of_one_reference_takes_the_covariance_of_all(traces):
    train, train_classes, rows, _ = traces
    train_classes = numpy.where(numpy.arange(90) == 0, 5, train_classes)
    with pytest.warns(UserWarning, match="class 5 has one reference"):
        scores = surprise.lsa(train, train_classes, rows, numpy.full(40, 5))
    expected = scipy.stats.multivariate_normal(train[0], numpy.cov(train, rowvar=False)).logpdf(rows)
    numpy.testing.assert_allclose(scores, -expected, rtol=1e-9)


def test_a_singular_covariance_gets_a_ridge_and_says_so(traces):
    train, train_classes, rows, classes = traces
    double = numpy.column_stack([train, train[:, 0]]), train_classes, numpy.column_stack([rows, rows[:, 0]]), classes
    with pytest.warns(UserWarning, match="the covariance of class 0 is singular: a ridge of"):
        scores = surprise.lsa(*double)
    assert numpy.isfinite(scores).all()
    few = train[:12], train_classes[:12], rows, classes  # four references of five columns each
    with pytest.warns(UserWarning, match="singular"):
        assert not numpy.isnan(surprise.lsa(*few)).any()


def test_probabilities_against_their_definitions():
    p = numpy.random.default_rng(0).dirichlet(numpy.ones(6), 20)
    p[0] = numpy.eye(6)[2]
    gini, entropy, margin, largest = [], [], [], []
    for row in p:
        gini.append(1 - sum(float(probability) ** 2 for probability in row))
        entropy.append(-sum(float(probability) * numpy.log2(probability) for probability in row if probability > 0))
        first, second = sorted(row, reverse=True)[:2]
        margin.append(1 - (first - second))
        largest.append(1 - first)
    for function, expected in (
        (uncertainty.deepgini, gini), (uncertainty.softmax_entropy, entropy), (uncertainty.margin, margin),
        (uncertainty.max_softmax, largest),
    ):  # fmt: skip
        numpy.testing.assert_allclose(function(p), expected, atol=1e-12)
    assert uncertainty.softmax_entropy(numpy.full((1, 8), 1 / 8))[0] == pytest.approx(3)


def test_neuron_coverage_against_its_definition():
    activations = numpy.random.default_rng(0).normal(size=(15, 12)).astype("float32")
    activations[3] = 2.0  # all alike
    activations[4, :2] = [0.2, 1]
    activations[4, 2:] = 0
    per_input = []
    for row in activations:
        low, high = row.min(), row.max()
        active = [
            place for place, activation in enumerate(row) if high > low and (activation - low) / (high - low) > 0.3
        ]
        per_input.append(len(active) / 12)
    numpy.testing.assert_allclose(coverage.neuron_coverage(activations, 0.3), per_input)
    assert coverage.neuron_coverage(numpy.float64([[0, 0.2, 1]]), 0.2)[0] == pytest.approx(1 / 3), "strictly above"


def test_orders_are_stable_and_descending_and_nan_is_refused():
    scores = numpy.array([1, 3, numpy.inf, 3, 1, 1])
    assert ordering.order(scores).tolist() == [2, 1, 3, 0, 4, 5] and ordering.ties(scores) == 5
    with pytest.raises(ValueError, match="with 1 NaN"):
        ordering.order(numpy.array([1, numpy.nan]))


def test_apfd_against_its_formula():
    generator = numpy.random.default_rng(0)
    failed = generator.random(30) < 0.2
    ranked = generator.permutation(30)
    places = [place for place, row in enumerate(ranked, start=1) if failed[row]]
    expected = 1 - sum(places) / (len(places) * 30) + 1 / 60
    assert ordering.apfd(ranked, failed) == pytest.approx(expected)
    assert ordering.apfd(numpy.arange(4), numpy.array([True, True, False, False])) == pytest.approx(1 - 3 / 8 + 1 / 8)
    with pytest.raises(ValueError, match="no input fails"):
        ordering.apfd(ranked, numpy.zeros(30, bool))
    with pytest.raises(ValueError, match="expected a permutation"):
        ordering.apfd(numpy.zeros(30, int), failed)


def test_every_metric_of_the_catalogue_scores_every_input(traces):
    train, train_classes, rows, classes = traces
    p = numpy.random.default_rng(2).dirichlet(numpy.ones(3), len(rows))
    context = ordering.Context(train, train_classes, rows, classes, p, numpy.linspace(1, 0, len(rows)), seed=3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name, metric in ordering.METRICS.items():
            scores = metric.score(context)
            assert scores.shape == (40,) and numpy.isfinite(scores).all() and metric.title and metric.citation, name
            numpy.testing.assert_array_equal(scores, metric.score(context))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda t: surprise.dsa(t[0], numpy.zeros(90, int), *t[2:]), "references of 1 class"),
        (lambda t: surprise.lsa(t[0], t[1], t[2][:, :3], t[3]), "3 columns, expected 5"),
        (lambda t: surprise.dsa(t[0], t[1][:5], *t[2:]), r"shape \(90, 5\) with int64 classes of shape \(5,\)"),
        (lambda t: surprise.lsa(t[0] * numpy.nan, *t[1:]), "NaN or infinite in 90 rows"),
        (lambda t: uncertainty.deepgini(t[0]), "rows of numbers of at least 0 that sum to 1"),
        (lambda t: uncertainty.margin(numpy.ones((3, 1))), "at least two classes"),
        (lambda t: coverage.neuron_coverage(t[1]), r"activations of shape \(90,\)"),
        (lambda t: coverage.neuron_coverage(t[0] * numpy.inf), "NaN or infinite"),
    ],
)
def test_bad_input(call, words, traces):
    with pytest.raises(ValueError, match=words), numpy.errstate(invalid="ignore"):
        call(traces)
