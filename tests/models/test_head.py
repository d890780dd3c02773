"""The last layer: norms and changes against NumPy."""

import keras
import numpy
import pytest

from models import head


@pytest.fixture
def net():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((3, 3, 1))
    return keras.Model(inputs, keras.layers.Dense(4, bias_initializer="normal")(keras.layers.Flatten()(inputs)))


def test_tau_normalise_equals_numpy(net):
    kernel, bias = net.get_weights()
    norms = numpy.sqrt((kernel.astype(float) ** 2).sum(axis=0))
    numpy.testing.assert_allclose(head.class_norms(net), norms, rtol=1e-6)
    head.tau_normalise(net, 0)
    numpy.testing.assert_allclose(net.get_weights()[0], kernel, rtol=1e-6)
    head.tau_normalise(net, 0.5)
    numpy.testing.assert_allclose(net.get_weights()[0], kernel / norms**0.5 * norms.mean() ** 0.5, rtol=1e-5)
    numpy.testing.assert_array_equal(net.get_weights()[1], bias)
    net.set_weights([kernel, bias])
    head.tau_normalise(net, 1)
    numpy.testing.assert_allclose(head.class_norms(net), norms.mean(), rtol=1e-5)


def test_a_shift_of_the_bias_moves_the_logits_by_as_much(net):
    x = numpy.random.default_rng(0).random((5, 3, 3, 1), "float32")
    before, shift = numpy.asarray(net(x)), numpy.array([0.5, -1, 0, 2])
    head.shift_bias(net, shift)
    numpy.testing.assert_allclose(numpy.asarray(net(x)), before + shift, atol=1e-5)


def test_what_cannot_be_changed(net):
    with pytest.raises(ValueError, match="expected one number for each of 4"):
        head.shift_bias(net, numpy.zeros(3))
    kernel, bias = net.get_weights()
    kernel[:, 2] = 0
    net.set_weights([kernel, bias])
    with pytest.raises(ValueError, match="weights of class 2 are all 0"):
        head.tau_normalise(net, 1)
    inputs = keras.Input((3, 3, 1))
    with pytest.raises(ValueError, match="expected a Dense layer"):
        head.head(keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(4, 3)(inputs))))
