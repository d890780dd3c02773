"""A tiny seeded classifier of 8x8 images, and images that it classifies."""

import keras
import numpy
import pytest

from models import compute


@pytest.fixture(scope="session")
def net():
    """Four classes of 8x8x2 images, with batch norm; the same weights on every backend."""
    layers = keras.layers
    x = inputs = keras.Input((8, 8, 2))
    x = layers.Conv2D(6, 3, strides=2)(x)
    x = layers.BatchNormalization()(x)
    x = layers.Flatten()(layers.ReLU()(x))
    x = layers.Dense(12, activation="relu")(x)
    model = keras.Model(inputs, layers.Dense(4)(x))
    generator = numpy.random.default_rng(3)
    for variable in model.trainable_variables:
        if len(variable.shape) > 1:  # kernels
            scale = (2 / numpy.prod(variable.shape[:-1])) ** 0.5
            variable.assign(generator.normal(0, scale, variable.shape))
    return model


@pytest.fixture(scope="session")
def images(net):
    """Fourteen float32 images (N, 8, 8, 2) and int64 labels; three images are misclassified."""
    x = numpy.random.default_rng(1).random((14, 8, 8, 2), dtype=numpy.float32)
    y = compute.predict(compute.forward(net), x).argmax(1)
    y[[2, 7, 13]] = (y[[2, 7, 13]] + 1) % 4
    return x, y


@pytest.fixture(scope="session")
def linear():
    """A linear two-class model of 8x8x1 images: logits (0, w.x + b), with its w (8, 8, 1) and b."""
    generator = numpy.random.default_rng(5)
    weights = generator.normal(size=(64, 1)).astype(numpy.float32)
    inputs = keras.Input((8, 8, 1))
    outputs = keras.layers.Dense(2)(keras.layers.Flatten()(inputs))
    model = keras.Model(inputs, outputs)
    bias = numpy.float32(-0.5 * weights.sum())
    model.layers[-1].set_weights([numpy.hstack([0 * weights, weights]), numpy.float32([0, bias])])
    return model, weights.reshape(8, 8, 1), bias
