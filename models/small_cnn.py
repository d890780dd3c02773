"""The small convolutional net of MNIST studies of adversarial training (Zhang et al., TRADES, ICML 2019, SmallCNN)."""

from __future__ import annotations

import keras

import data
from models.layers import logits, scaler, standardised


def small_cnn(
    input_shape: tuple, classes: int, *, preprocessing: data.Statistics | None = None, width: float = 1.0
) -> keras.Model:
    """Two pairs of 3x3 convolutions (32, 32, pool; 64, 64, pool), two dense layers of 200, dropout of .5 between them.

    312,202 parameters at (28, 28, 1) and ten classes; no batch norm. Arguments as of models.build.
    """
    scaled = scaler(width)
    layers = keras.layers
    inputs = keras.Input(input_shape, name="image")
    x = standardised(inputs, preprocessing)
    for block, filters in enumerate((32, 64), start=1):
        for step in "ab":
            x = layers.Conv2D(scaled(filters), 3, activation="relu", name=f"conv{block}{step}")(x)
        x = layers.MaxPooling2D(2, 2, name=f"pool{block}")(x)
    x = layers.Dense(scaled(200), activation="relu", name="dense1")(layers.Flatten(name="flatten")(x))
    x = layers.Dropout(0.5, name="dropout")(x)
    x = layers.Dense(scaled(200), activation="relu", name="dense2")(x)
    return keras.Model(inputs, logits(x, classes), name="small_cnn")
