"""Averaged weights: the closed form, what attacks and updates see, statistics measured anew."""

import dataclasses

import keras
import numpy
import pytest

from models import compute
from train import batch_norm
from train.robust import AVERAGES, METHODS
from train.robust.average import Average, Ema, Median, Swa

pytestmark = pytest.mark.backends


def courses(model, count, generator):
    """Random weights for each of `count` steps, set in turn."""
    for _ in range(count):
        values = [generator.normal(size=weight.shape).astype("float32") for weight in model.weights]
        model.set_weights(values)
        yield values


def averaged(average):
    return [numpy.asarray(value, "float64") for value in average.averages]


def test_the_exponential_average_has_its_closed_form(tiny):
    """e = sum over t of w_t (1 - tau_t) times the later tau, and of the initial weights times all tau."""
    model, rule = tiny.build(), Ema(decay=0.5)
    weights, average = [model.get_weights()], Average(rule, model)
    for values in courses(model, 12, numpy.random.default_rng(0)):
        average.after("batch", 0.0)
        weights.append(values)
    taus = numpy.array([min(0.5, (t + 1) / (t + 10)) for t in range(12)])
    assert taus.max() == 0.5 and taus.min() == 0.1
    factors = [numpy.prod(taus), *((1 - tau) * numpy.prod(taus[t + 1 :]) for t, tau in enumerate(taus))]
    assert sum(factors) == pytest.approx(1)
    for place, value in enumerate(averaged(average)):
        expected = sum(factor * each[place].astype("float64") for factor, each in zip(factors, weights, strict=True))
        numpy.testing.assert_allclose(value, expected, atol=1e-5)


@pytest.mark.parametrize("rule", [Ema(decay=0.9, start=0.75), Ema(decay=0.9, warm_up=False)])
def test_an_average_without_a_warm_up_begins_with_a_copy(tiny, rule):
    model = tiny.build()
    average = Average(rule, model)
    for place, values in enumerate(courses(model, 6, numpy.random.default_rng(1))):
        average.after("batch", 0.7 + 0.01 * place)
        first_update = average.count == 1
        if first_update:
            assert all(map(numpy.array_equal, map(numpy.asarray, average.averages), values))
    assert average.count == (6 if rule.start == 0 else 1)


def test_the_mean_of_epochs_is_the_mean(tiny):
    model, average = tiny.build(), None
    average, seen = Average(Swa(start=0.5), model), []
    for epoch, values in enumerate(courses(model, 8, numpy.random.default_rng(2)), 1):
        average.after("batch", epoch / 8)
        average.after("epoch", epoch / 8)
        seen += [values] if epoch >= 4 else []
    assert average.count == len(seen) == 5
    for place, value in enumerate(averaged(average)):
        numpy.testing.assert_allclose(value, numpy.mean([each[place] for each in seen], 0, "float64"), atol=1e-5)


@pytest.mark.parametrize("length", [4, 5])
def test_the_median_of_epochs_is_the_median(tiny, length):
    """Of an even and an odd number of epochs, sorted by hand; after a restart from its state too."""
    model, seen = tiny.build(), []
    average = Average(Median(start=0.5), model)
    for epoch, values in enumerate(courses(model, length + 3, numpy.random.default_rng(2)), 1):
        average.after("batch", epoch / 8)
        average.after("epoch", epoch / 8)
        seen += [values] if epoch >= 4 else []
        if epoch == 5:
            with average.shown(lambda: [numpy.zeros((2, 8, 8, 2), "float32")]):
                state = {name: numpy.array(value) for name, value in average.state().items()}
                model.set_weights([numpy.asarray(value) for value in average.averages])
            average = Average(Median(start=0.5), model)
            average.restore(state)
            assert all(map(numpy.array_equal, tiny.weights(model), values))
    assert average.count == len(seen) == length
    for place, value in enumerate(averaged(average)):
        ordered = numpy.sort(numpy.array([each[place] for each in seen], "float64"), axis=0)
        naive = (ordered[(length - 1) // 2] + ordered[length // 2]) / 2
        numpy.testing.assert_allclose(value, naive, rtol=1e-6, atol=1e-7)


def test_evaluation_sees_the_average_and_training_the_weights(tiny, batch):
    model = tiny.build()
    average = Average(Ema(decay=0.5), model)
    run = tiny.prepared(METHODS["pgd-7"].strategy, model)
    for _ in range(3):
        run(*batch, 2, numpy.random.default_rng(0))
        average.after("batch", 0.0)
    own, mean = tiny.weights(model), [numpy.asarray(value) for value in average.averages]
    assert not all(map(numpy.array_equal, own, mean))
    with average.shown(None):
        assert all(map(numpy.array_equal, tiny.weights(model), mean))
    assert all(map(numpy.array_equal, tiny.weights(model), own))
    with pytest.raises(KeyError), average.shown(None):
        raise KeyError
    assert all(map(numpy.array_equal, tiny.weights(model), own))


def test_statistics_measured_anew_are_the_means_of_the_batches(tiny, batch):
    images, _ = batch
    model = tiny.build()
    batches = [images[:5], images[5:]]
    batch_norm.remeasure(model, batches)
    inner = compute.forward(keras.Model(model.input, model.get_layer("conv1").output))
    reached = [numpy.asarray(inner(each), "float64") for each in batches]
    layer = model.get_layer("bn1")
    for variable, moments in ((layer.moving_mean, numpy.mean), (layer.moving_variance, numpy.var)):
        expected = numpy.average([moments(each, (0, 1, 2)) for each in reached], axis=0, weights=[5, 7])
        numpy.testing.assert_allclose(numpy.asarray(variable), expected, rtol=1e-4)


def test_any_method_can_be_averaged_by_its_suffix():
    assert [*AVERAGES] == ["ema", "swa", "median"]
    for name, rule in (("f+trades+ema", AVERAGES["ema"]), ("m+deat+swa", AVERAGES["swa"])):
        base = METHODS[name.rpartition("+")[0]]
        assert METHODS[name].average == rule and name in METHODS and name not in [*METHODS]
        same = {"average": None, "title": base.title, "citation": base.citation, "published": base.published}
        assert dataclasses.replace(METHODS[name], **same) == base
    assert "pgd-7+sma" not in METHODS and "+ema" not in METHODS and "pgd-7+ema+swa" not in METHODS
    with pytest.raises(KeyError):
        METHODS["pgd-7+sma"]
