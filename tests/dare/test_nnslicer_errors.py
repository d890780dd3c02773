"""Invalid models, options and combinations: one sentence each, with the valid ones."""

import functools

import keras
import numpy
import pytest

from dare import nnslicer, transform

layers = keras.layers
conv = functools.partial(layers.Conv2D, kernel_initializer="zeros")
CLASSES = 4


def images_and_labels():
    random = numpy.random.default_rng(0)
    return random.random((16, 8, 8, 2), "float32"), numpy.arange(16) % CLASSES


def small_net():
    inputs = keras.Input((8, 8, 2))
    x = conv(3, 3, activation="relu", name="conv1")(inputs)
    x = layers.Flatten()(conv(4, 3, name="conv2")(x))
    return keras.Model(inputs, layers.Dense(CLASSES, name="logits")(x), name="small")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"per": 0}, "per is 0, expected the kept fraction in"),
        ({"per": -0.1}, "per is -0.1"),
        ({"per": 1.5}, "per is 1.5"),
        ({"per": float("nan")}, "per is nan"),
        ({"per": "0.95"}, "per is '0.95'"),
        ({"rule": "dart"}, "expected one of dare, nnslicer"),
        ({"rule": "nnslicer"}, "give theta"),
        ({"rule": "nnslicer", "theta": -1}, "theta is -1"),
        ({"rule": "nnslicer", "theta": float("inf")}, "theta is inf"),
        ({"rule": "nnslicer", "theta": "0.1"}, "theta is '0.1'"),
        ({"theta": 0.1}, "leave theta out"),
        ({"representative": "median"}, "expected one of mean, first"),
        ({"layers": ["conv1", "conv3"]}, "'conv3' given.*'small' has conv1, conv2, logits"),
        ({"layers": []}, "none given"),
        ({"batch_size": 0}, "batch_size is 0"),
    ],
)
def test_wrong_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        nnslicer.slice_model(small_net(), *images_and_labels(), **options)


def test_an_unknown_layer_of_the_table_is_named_with_the_valid_ones(monkeypatch):
    monkeypatch.setitem(nnslicer.LAYERS, "small", ("conv1", "conv9", "conv8"))
    with pytest.raises(ValueError, match="'conv9', 'conv8' given, but model 'small' has conv1, conv2, logits"):
        nnslicer.slice_model(small_net(), *images_and_labels())


def test_the_regression_layer_lies_before_the_logits():
    with pytest.raises(
        ValueError, match="'logits' cannot be the regression layer of small: expected one of conv1, conv2"
    ):
        transform.transform(small_net(), "logits")


def test_an_unknown_mask_is_named():
    slices = nnslicer.Slice(
        {"a/b": numpy.ones((2, 3, 4), bool), "c": numpy.ones((2, 4, 2), bool)}, 0.95, "dare", None, "mean", "", ""
    )
    with pytest.raises(ValueError, match="'d' is not in the slice; it holds a/b, c"):
        slices.mask("d", "union")
    with pytest.raises(ValueError, match="'mean', expected one of union, majority, intersection"):
        slices.mask("c", "mean")


def test_wrong_data_is_named():
    x, y = images_and_labels()
    model = small_net()
    broken = x.copy()
    broken[3, 2, 2, 1] = numpy.nan
    for images, labels, message in [
        (x, numpy.where(y == 2, 1, y), "no image of class 2"),
        (x[:0], y[:0], "with N at least 1"),
        (x, y + 1, "labels range from 1 to 4, expected 0 to 3"),
        (x, y[1:], "labels are"),
        (x, y.astype(float), "labels are float64"),
        (x[..., :1], y, "images have shape"),
        (x[0], y, "images have shape"),
        (x.astype("int32"), y, "pixels are int32"),
        (255 * x, y, "expected \\[0, 1\\]"),
        (broken, y, "nan"),
    ]:
        with pytest.raises(ValueError, match=message):
            nnslicer.slice_model(model, images, labels)


def test_weights_that_are_not_finite_are_named():
    x, y = images_and_labels()
    for value, message in ((numpy.nan, "not finite"), (1e38, "the activations.*not finite")):
        model = small_net()
        model.set_weights([numpy.full(array.shape, value) for array in model.get_weights()])
        with pytest.raises(ValueError, match=message):
            nnslicer.slice_model(model, x, y)
