"""What the tests of robust training share: a tiny net, a batch for it, and the images that its updates are given."""

import types

import keras
import numpy
import pytest

import data
from models import updates
from train.robust.optimizer import CoupledSGD

EPSILON = 0.1
SCALE = numpy.float32([0.5, 2.0])


def build(*, dropout=False):
    """8x8x2 -> 3 logits, with batch norm."""
    keras.utils.set_random_seed(1)
    layers = keras.layers
    inputs = keras.Input((8, 8, 2))
    x = layers.Conv2D(6, 3, name="conv1")(inputs)
    x = layers.ReLU()(layers.BatchNormalization(name="bn1", momentum=0.9)(x))
    x = layers.Flatten()(layers.MaxPooling2D()(x))
    x = layers.Dropout(0.5)(x) if dropout else x
    return keras.Model(inputs, layers.Dense(3, name="logits")(x), name="tiny")


def prepared(strategy, model, rate=0.05, **settings):
    """The update of `model` by a strategy, with an optimizer of its own."""
    optimizer = CoupledSGD(rate)
    if getattr(strategy, "distil", None) is not None:
        settings = {"teachers": [build(), build()], **settings}
    return strategy.batch(model, optimizer, **{"epsilon": EPSILON, "scale": SCALE, "count": 12, **settings})


def weights(model):
    return [keras.ops.convert_to_numpy(variable) for variable in model.weights]


@pytest.fixture
def split(images):
    """Half of the random images, as DARE divides them."""
    x, y = images
    dataset = data.Dataset(x, y.astype("int64"), x[:9], y[:9].astype("int64"), ("a", "b", "c"), True, "random")
    return data.half_split(dataset, seed=0)


@pytest.fixture(scope="session")
def tiny():
    """tiny.build makes the net, tiny.prepared an update of it by a strategy, at tiny.epsilon and tiny.scale;
    tiny.weights reads it."""
    return types.SimpleNamespace(build=build, prepared=prepared, weights=weights, epsilon=EPSILON, scale=SCALE)


@pytest.fixture
def batch():
    generator = numpy.random.default_rng(3)
    labels = (numpy.arange(12) % 3).astype("int32")
    images = generator.random((12, 8, 8, 2), "float32")
    images[0], images[1] = 0, 1  # at both ends of the box
    return images, labels


@pytest.fixture
def seen(monkeypatch):
    """``seen(place)``: a list that every compiled update adds its images to, its argument number `place`."""

    def seen(place):
        images = []
        for name in ("train_step", "gradients"):
            original = getattr(updates, name)

            def compiled(*arguments, _original=original, **settings):
                step = _original(*arguments, **settings)

                def run(*arrays):
                    images.append(numpy.asarray(arrays[place]))
                    return step(*arrays)

                return run

            monkeypatch.setattr(updates, name, compiled)
        return images

    return seen
