"""The five small nets of guided retraining (Durán et al., PeerJ CS 9:e1454, 2023): convolutions, pools, dropouts."""

import dataclasses
from collections.abc import Callable

import keras

from models.layers import scaler, standardised


@dataclasses.dataclass(frozen=True)
class Net:
    """Sizes of a net.

    blocks: (channels of the convolutions, dropout after the pool) of each block.
    flat: dropout after flattening.
    dense: (units, dropout after the layer) of each hidden dense layer.
    """

    blocks: tuple
    flat: float
    dense: tuple


NETS = {
    "gtsrb_cnn": Net((((32, 32), 0.2), ((64, 64), 0.2), ((128, 128), 0.2)), 0.0, ((512, 0.5), (256, 0.5))),
    "intel_cnn": Net((((32,), 0.0), ((64,), 0.0), ((128,), 0.3), ((128,), 0.3)), 0.5, ((512, 0.5), (100, 0.0))),
    "cifar_cnn": Net((((16, 32), 0.0), ((64, 64), 0.25), ((128,), 0.25)), 0.3, ((256, 0.3), (64, 0.0))),
    "mnist_cnn": Net((((32, 64), 0.25),), 0.0, ((128, 0.5),)),
    "fashion_cnn": Net((((64,), 0.0), ((64,), 0.25)), 0.0, ((128, 0.5), (64, 0.5))),
}


def builder(name: str) -> Callable:
    """The builder of the net `name`, for the catalogue."""

    def build(input_shape, classes, *, preprocessing=None, width=1.0):
        net, scaled, layers = NETS[name], scaler(width), keras.layers
        inputs = keras.Input(input_shape, name="image")
        x = standardised(inputs, preprocessing)
        for block, (channels, rate) in enumerate(net.blocks, start=1):
            for place, filters in enumerate(channels):
                settings = {"padding": "same", "activation": "relu", "name": f"conv{block}{'ab'[place]}"}
                x = layers.Conv2D(scaled(filters), 3, **settings)(x)
            x = _dropout(layers.MaxPooling2D(2, name=f"pool{block}")(x), rate, f"dropout{block}")
        x = _dropout(layers.Flatten(name="flatten")(x), net.flat, "dropout_flat")
        for place, (units, rate) in enumerate(net.dense, start=1):
            x = layers.Dense(scaled(units), activation="relu", name=f"dense{place}")(x)
            x = _dropout(x, rate, f"dropout_dense{place}")
        return keras.Model(inputs, layers.Dense(classes, dtype="float32", name="logits")(x), name=name)

    return build


def _dropout(x, rate, name):
    return keras.layers.Dropout(rate, name=name)(x) if rate else x
