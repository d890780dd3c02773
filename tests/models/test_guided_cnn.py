"""The nets of guided retraining: the published numbers of parameters."""

import keras
import pytest

import models

PUBLISHED = {
    "gtsrb_cnn": ((48, 48, 1), 43, 2_788_619),
    "intel_cnn": ((48, 48, 1), 6, 882_498),
    "cifar_cnn": ((32, 32, 1), 10, 675_722),
    "mnist_cnn": ((28, 28, 1), 10, 1_625_866),
    "fashion_cnn": ((28, 28, 1), 10, 448_010),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_are_those_published(name):
    shape, classes, count = PUBLISHED[name]
    model = models.build(name, shape, classes)
    assert model.count_params() == count and model.output_shape == (None, classes)
    assert model.layers[-1].activation is keras.activations.linear, "logits"
    assert models.build(f"{name}@0.1", shape, classes).count_params() < count / 10
