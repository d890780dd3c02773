"""Small models and data that several rooms' tests share. Determinism is on, so equality means equality of bits."""

import keras
import numpy
import pytest

if keras.backend.backend() == "tensorflow":
    import tensorflow

    tensorflow.config.experimental.enable_op_determinism()


@pytest.fixture(autouse=True)
def seeded():
    keras.utils.set_random_seed(0)


@pytest.fixture
def images():
    """48 random uint8 images of 12x12x2 with every one of three labels."""
    generator = numpy.random.default_rng(0)
    return generator.integers(0, 256, (48, 12, 12, 2), dtype="uint8"), numpy.arange(48) % 3


@pytest.fixture
def small_net():
    """A convolutional classifier with batch norm, dropout and a fused ReLU: 12x12x2 -> 3 logits."""
    layers = keras.layers
    inputs = keras.Input((12, 12, 2))
    x = layers.Conv2D(4, 3, name="conv1")(inputs)
    x = layers.BatchNormalization(name="bn1")(x)
    x = layers.ReLU(name="relu1")(x)
    x = layers.MaxPooling2D(name="pool1")(x)
    x = layers.Conv2D(6, 3, padding="same", activation="relu", name="conv2")(x)
    x = layers.MaxPooling2D(name="pool2")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(8, activation="relu", name="dense1")(x)
    x = layers.Dropout(0.5, name="dropout1")(x)
    return keras.Model(inputs, layers.Dense(3, name="logits")(x), name="small")
