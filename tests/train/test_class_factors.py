"""Factors of single classes: their values, and the weight, radius and beta of each image."""

import dataclasses

import keras
import numpy
import pytest

from models import compute, perturb, updates
from train import robust
from train.robust import losses
from train.robust.optimizer import CoupledSGD
from train.robust.perturbation import begin

EPSILON, SCALE, RATE = 0.1, numpy.ones(1, "float32"), 0.01


@pytest.fixture
def batch():
    generator = numpy.random.default_rng(3)
    return generator.random((9, 6, 6, 1), "float32"), (numpy.arange(9) % 3).astype("int32")


def build():
    keras.utils.set_random_seed(1)
    inputs = keras.Input((6, 6, 1))
    x = keras.layers.Flatten()(keras.layers.ReLU()(keras.layers.Conv2D(3, 3)(inputs)))
    return keras.Model(inputs, keras.layers.Dense(3, name="logits")(x))


def trained(method, factors, batch, steps=3):
    """The change of every weight by one update, and the loss."""
    model = build()
    before = model.get_weights()
    strategy = dataclasses.replace(robust.METHODS[method].strategy, factors=factors)
    run = strategy.batch(model, CoupledSGD(RATE, momentum=0.0), epsilon=EPSILON, scale=SCALE)
    outcome = run(*batch, steps, numpy.random.default_rng(0))
    return [after - start for after, start in zip(model.get_weights(), before, strict=True)], float(outcome.loss)


def test_a_weight_of_one_class_is_an_update_on_its_images_alone(batch):
    images, labels = batch
    change, _ = trained("standard", robust.ClassFactors(weight=(0.0, 3.0, 0.0)), batch, 0)
    own = labels == 1
    alone, _ = trained("standard", robust.ClassFactors(), (images[own], labels[own]), 0)
    for moved, other in zip(change, alone, strict=True):
        numpy.testing.assert_allclose(moved, other, atol=1e-7)


@pytest.mark.parametrize("method", ["pgd-7", "trades", "fat-5"])
def test_perturbations_are_as_large_as_their_class_says(method, batch, monkeypatch):
    images, labels = batch
    original, passed = updates.train_step, []

    def compiled(*arguments, **settings):
        step = original(*arguments, **settings)
        return lambda *arrays: (passed.append(numpy.asarray(arrays[0])), step(*arrays))[1]

    monkeypatch.setattr(updates, "train_step", compiled)
    trained(method, robust.ClassFactors(epsilon=(0.0, 0.5, 1.5)), batch, 5)
    reached = abs(passed[0] - images).max(axis=(1, 2, 3))
    for label, factor in enumerate((0.0, 0.5, 1.5)):
        assert (reached[labels == label] <= factor * EPSILON + 1e-6).all()
    if method != "fat-5":  # which stops as soon as an image is wrong
        assert (reached[labels == 2] > 1.2 * EPSILON).all()


def test_beta_of_each_image_follows_its_class(batch):
    images, labels = batch
    model = build()
    clean, start = images, begin(images, EPSILON, "gaussian", numpy.random.default_rng(0))
    logits, adversarial = (numpy.asarray(compute.forward(model)(images)) for images in (clean, start))
    beta = numpy.float32([0, 6, 12])[labels]
    expected = numpy.mean(numpy.asarray(perturb.cross_entropy(logits, labels))) + numpy.mean(
        beta
        * numpy.asarray(losses.trades(logits, adversarial, labels, beta=1.0) - perturb.cross_entropy(logits, labels))
    )
    _, loss = trained("trades", robust.ClassFactors(beta=(0.0, 1.0, 2.0)), batch, 0)
    assert loss == pytest.approx(expected, rel=1e-4)


def test_factors_of_1_change_nothing(batch):
    plain = trained("trades", robust.ClassFactors(), batch)
    ones = robust.ClassFactors(weight=(1,) * 3, epsilon=(1,) * 3, beta=(1,) * 3)
    for weight, other in zip(plain[0], trained("trades", ones, batch)[0], strict=True):
        numpy.testing.assert_allclose(weight, other, atol=1e-6)


def test_factors_from_accuracy():
    accuracy = numpy.array([0.2, 0.5, 0.8])
    weight = robust.from_accuracy("weight", accuracy, strength=2.0).weight
    raw = numpy.exp(2 * (0.5 - accuracy))
    numpy.testing.assert_allclose(weight, raw / raw.mean(), rtol=1e-5)
    epsilon = robust.from_accuracy("epsilon", accuracy).epsilon
    assert epsilon[0] < 1 < epsilon[2] and numpy.mean(epsilon) == pytest.approx(1)
    assert robust.from_accuracy("beta", accuracy, strength=-2.0).beta == weight


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: robust.from_accuracy("width", [0.1, 0.2]), "kind is 'width', expected one of weight, epsilon, beta"),
        (lambda: robust.from_accuracy("weight", [0.5]), "at least two classes"),
        (lambda: robust.from_accuracy("weight", [0.5, 1.5]), "from 0 to 1"),
        (lambda: robust.ClassFactors(weight=(1.0, -1.0)), "finite factors of at least 0"),
        (lambda: robust.ClassFactors(weight=(1.0, 1.0)).of("weight", numpy.array([2])), "labels up to 2: one a class"),
    ],
)
def test_factors_that_make_no_sense(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_beta_without_a_second_part(batch):
    with pytest.raises(ValueError, match="has no beta"):
        trained("pgd-7", robust.ClassFactors(beta=(1.0, 1.0, 1.0)), batch)
