"""keeping_weights restores the weights, also after an error."""

import numpy
import pytest

import models


def doubled(model):
    model.set_weights([2 * weight for weight in model.get_weights()])


def test_weights_come_back(small_net):
    before = small_net.get_weights()
    with models.keeping_weights(small_net):
        doubled(small_net)
        assert any((weight != old).any() for weight, old in zip(small_net.get_weights(), before, strict=True))
    for weight, old in zip(small_net.get_weights(), before, strict=True):
        numpy.testing.assert_array_equal(weight, old)


def test_weights_come_back_after_an_error(small_net):
    before = small_net.get_weights()
    with pytest.raises(ArithmeticError), models.keeping_weights(small_net):
        doubled(small_net)
        raise ArithmeticError
    for weight, old in zip(small_net.get_weights(), before, strict=True):
        numpy.testing.assert_array_equal(weight, old)


def test_other_weights_can_be_restored(small_net):
    shifted = [weight + 1 for weight in small_net.get_weights()]
    with models.keeping_weights(small_net, shifted):
        doubled(small_net)
    for weight, other in zip(small_net.get_weights(), shifted, strict=True):
        numpy.testing.assert_array_equal(weight, other)
