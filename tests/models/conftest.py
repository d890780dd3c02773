"""Small classifiers that the tests of reading and refusing models share."""

import types

import keras
import numpy
import pytest

from models import compute, flat

L = keras.layers
SHAPE, CLASSES = (6, 6, 1), 4


def start():
    return keras.Input(SHAPE)


def body(x, **options):
    """A convolution and a last dense layer."""
    x = L.Conv2D(3, 3, activation="relu")(x)
    return L.Dense(options.pop("units", CLASSES), **options)(L.Flatten()(x))


def functional(*layers, activation=None, units=CLASSES):
    """body, then layers or functions of its output."""
    inputs = start()
    x = body(inputs, activation=activation, units=units)
    for layer in layers:
        x = layer(x)
    return keras.Model(inputs, x)


def images(count=5):
    return numpy.random.default_rng(0).random((count, *SHAPE), "float32")


def shaken(model):
    """The model with random weights, also of batch norm and biases."""
    generator = numpy.random.default_rng(2)
    for variable in model.variables:
        if "normalization" not in variable.path and "seed" not in variable.path:
            variable.assign(generator.uniform(0.2, 1.0, variable.shape) * generator.choice([-1, 1], variable.shape))
    for layer in flat.calls(model)[0]:
        if isinstance(layer.operation, L.BatchNormalization):
            layer.operation.moving_variance.assign(generator.uniform(0.5, 2, layer.operation.moving_variance.shape))
    return model


def of(model, x):
    return compute.predict(lambda batch: model(batch, training=False), x)


@pytest.fixture
def nets():
    """What makes classifiers: nets.start, .body, .functional (of nets.shape to nets.classes); .shaken gives one weights
    of its own, .images makes what it reads, .of says what it puts out."""
    functions = start, body, functional, images, shaken, of
    return types.SimpleNamespace(
        shape=SHAPE, classes=CLASSES, **{function.__name__: function for function in functions}
    )
