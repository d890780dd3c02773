"""Smallest perturbations: a linear model in closed form, the same of bytes and of batches, and what is refused."""

import keras
import numpy
import pytest

from adv import attacks, search

pytestmark = pytest.mark.backends


def test_norms_equal_those_of_numpy():
    change = numpy.random.default_rng(0).normal(size=(5, 3, 4, 2)).astype(numpy.float32)
    change[:, 0] = 0
    for name, order in (("l0", 0), ("l1", 1), ("l2", 2), ("linf", numpy.inf)):
        expected = [numpy.linalg.norm(perturbation.astype(float).ravel(), order) for perturbation in change]
        numpy.testing.assert_allclose(search.norm(change, name), expected, rtol=1e-12)


def margins(linear, count=12):
    model, weights, bias = linear
    generator = numpy.random.default_rng(2)
    x = (0.2 + 0.6 * generator.random((count, 8, 8, 1))).astype(numpy.float32)
    score = (x.astype(float) * weights).sum(axis=(1, 2, 3)) + bias
    return model, weights.astype(float), x, (score > 0).astype(int), numpy.abs(score)


def test_linear_model_in_closed_form(linear):
    model, weights, x, y, margin = margins(linear)
    l1, l2 = numpy.abs(weights).sum(), numpy.linalg.norm(weights)
    exact = margin / l1

    def size(name):
        return search.norm(search.minimal(model, x, y, attacks.get(name)).images - x, attacks.get(name).norm)

    coarse = numpy.ceil(exact * 1000) / 1000
    assert (coarse <= 0.02).any() and (coarse > 0.02).any()
    grid = numpy.where(coarse <= 0.02, numpy.ceil(exact / coarse * 20) * coarse / 20, coarse)
    numpy.testing.assert_allclose(size("fgsm"), grid, atol=1e-6)
    numpy.testing.assert_allclose(size("pgd"), exact, atol=2e-6)
    numpy.testing.assert_allclose(size("bim-linf"), exact, atol=2e-6)
    numpy.testing.assert_allclose(size("bim"), margin * l1 / l2**2, rtol=1e-3)  # along the gradient
    # DeepFool adds 1e-4 to the distance and overshoots by 5 %
    numpy.testing.assert_allclose(size("deepfool-linf"), 1.05 * (exact + 1e-4), rtol=1e-3)
    numpy.testing.assert_allclose(size("deepfool"), 1.05 * (margin / l2 + 1e-4), rtol=1e-3)
    change = search.minimal(model, x, y, attacks.CW(steps=100, initial_const=0.1)).images - x
    change = search.norm(change, "l2")
    assert (change > margin / l2 - 1e-6).all()
    numpy.testing.assert_allclose(
        change, margin / l2, rtol=0.02, atol=0.005
    )  # a first step of Adam is larger than some


def test_uint8_images_and_batches_give_the_same(net, images):
    x, y = images
    bytes_ = (x * 255).round().astype(numpy.uint8)
    y = search.classes(net, (bytes_ / 255).astype(numpy.float32))
    whole = search.minimal(net, bytes_, y, attacks.FGSM())
    parts = search.minimal(net, bytes_.astype(numpy.float32) / numpy.float32(255), y, attacks.FGSM(), batch_size=3)
    numpy.testing.assert_array_equal(whole.images, parts.images)
    numpy.testing.assert_array_equal(whole.success, parts.success)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x, y: (x[:0], y[:0]), "with N at least 1"),
        (lambda x, y: (x[..., :1], y), r"expected \(N, 8, 8, 2\)"),
        (lambda x, y: (x, y[:-1]), "labels are int64"),
        (lambda x, y: (x, y.astype(float)), "expected integers"),
        (lambda x, y: (x, y + 4), "labels range from 4 to 7, expected 0 to 3"),
        (lambda x, y: (x, y - 1), "labels range from -1"),
        (lambda x, y: (x + 1, y), r"expected \[0, 1\]"),
        (lambda x, y: (x.astype(int), y), "pixels are int64"),
    ],
)
def test_wrong_input_is_refused(change, message, net, images):
    y = numpy.arange(14) % 4
    with pytest.raises(ValueError, match=message):
        search.minimal(net, *change(images[0], y), attacks.FGSM())


def test_probabilities_are_refused(net, images):
    softmax = keras.Model(net.input, keras.layers.Softmax()(net.output))
    with pytest.raises(ValueError, match="probabilities"):
        search.minimal(softmax, *images, attacks.FGSM())


def test_nan_logits_are_refused(images):
    inputs = keras.Input((8, 8, 2))
    model = keras.Model(inputs, keras.layers.Dense(4)(keras.layers.Flatten()(inputs)))
    model.layers[-1].set_weights([numpy.full((128, 4), numpy.nan, numpy.float32), numpy.zeros(4, numpy.float32)])
    with pytest.raises(ValueError, match="NaN or infinite for 14 of 14 images"):
        search.minimal(model, *images, attacks.FGSM())


def test_unknown_attack_names_the_nearest():
    with pytest.raises(ValueError, match="did you mean 'fgsm'"):
        attacks.get("fgms")
