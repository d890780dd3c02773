"""Nets of pixels up to 255 need their scale, others none."""

import keras
import numpy
import pytest

import models
from models import contract

L = keras.layers

BY_255 = {
    "rescaling": lambda x: L.Rescaling(1 / 255)(x),
    "to -1 .. 1": lambda x: L.Rescaling(1 / 127.5, offset=-1)(x),
    "by 255 as an op": lambda x: x / 255.0,
    "times as an op": lambda x: x * (1 / 255),
    "normalization": lambda x: L.Normalization(mean=[120.0], variance=[3000.0])(x),
    "after a flip": lambda x: L.Rescaling(1 / 255)(L.RandomFlip()(L.ZeroPadding2D()(x))),
    "centred as an op": lambda x: (x - 127.5) / 127.5,
}


@pytest.mark.parametrize("form", BY_255)
def test_a_net_of_pixels_to_255_needs_its_scale(nets, tmp_path, form):
    inputs = nets.start()
    model = nets.shaken(keras.Model(inputs, nets.body(BY_255[form](inputs), activation="softmax")))
    path = tmp_path / "model.keras"
    model.save(path)
    for door in (models.load, lambda _: contract.check(model, nets.images())):
        with pytest.raises(ValueError, match=r"in '.*', as if trained on pixels up to 255.*scale=255"):
            door(path)
    x = nets.images()
    logits = nets.of(models.load(path, scale=255), x)
    numpy.testing.assert_allclose(nets.of(keras.Sequential([L.Softmax()]), logits), nets.of(model, 255 * x), atol=1e-5)
    contract.check(models.load(path, scale=255), x)
    contract.check(models.load(path, scale=1), x)  # its owner knows better
    numpy.testing.assert_allclose(
        nets.of(keras.Sequential([L.Softmax()]), nets.of(models.load(path, scale=1), x)), nets.of(model, x), atol=1e-5
    )


def test_batch_norm_of_large_pixels_and_whole_numbers_need_the_scale_too(nets):
    inputs = nets.start()
    model = keras.Model(inputs, nets.body(L.BatchNormalization(name="first")(inputs)))
    contract.check(model, nets.images())
    model.get_layer("first").moving_mean.assign([118.0])
    with pytest.raises(ValueError, match="subtracts means of up to 118 in 'first'"):
        contract.check(model, nets.images())
    inputs = keras.Input(nets.shape, dtype="uint8")
    model = nets.shaken(keras.Model(inputs, nets.body(L.Rescaling(1 / 255)(inputs))))
    with pytest.raises(ValueError, match="takes uint8 pixels, as if trained on pixels up to 255"):
        models.to_logits(model)
    x = numpy.arange(72, dtype="uint8").reshape(2, *nets.shape)
    numpy.testing.assert_allclose(
        nets.of(models.to_logits(model, scale=255), x / numpy.float32(255)), nets.of(model, x), rtol=1e-5
    )


@pytest.mark.parametrize("scale", [0, -1, float("nan"), float("inf")])
def test_a_scale_that_is_none_is_refused(nets, scale):
    with pytest.raises(ValueError, match="expected the largest pixel"):
        models.to_logits(nets.functional(), scale=scale)


@pytest.mark.parametrize(
    "layer", [L.Rescaling(2.0, offset=-1.0), L.Rescaling(255.0), L.Normalization(mean=[0.5], variance=[0.1])]
)
def test_a_net_of_pixels_to_1_needs_none(nets, layer):
    inputs = nets.start()
    contract.check(keras.Model(inputs, nets.body(layer(inputs))), nets.images())
