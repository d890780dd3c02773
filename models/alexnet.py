"""AlexNet for 32x32 and 28x28 images, as DARE trains it (Krizhevsky et al. 2012; DARE, ASE 2022, released alexnet.py).

Layer sizes are the released ones [P]. Two differences [D]: the first layer subtracts the mean image, so that callers
pass pixels in [0, 1], and the output is logits, not softmax.
"""

from __future__ import annotations

import keras

import data
from models.layers import scaler


def alexnet(
    input_shape: tuple, classes: int, *, preprocessing: data.Statistics | None = None, width: float = 1.0
) -> keras.Model:
    """Build AlexNet: float32 images (N, H, W, C) in [0, 1] -> logits (N, classes).

    9,639,178 parameters at (32, 32, 3) and 8,064,586 at (28, 28, 1) with ten classes and width 1.

    preprocessing: data.Statistics of the training images (the mean image is subtracted), or None.
    width: factor on every hidden layer's number of channels or units.
    """
    if min(input_shape[:2]) < 23:
        raise ValueError(f"alexnet needs images of at least 23x23 pixels, got {input_shape[0]}x{input_shape[1]}")

    scaled, layers = scaler(width), keras.layers
    x = inputs = keras.Input(input_shape, name="image")
    if preprocessing is not None:
        x = layers.Normalization(
            axis=(1, 2, 3),
            mean=preprocessing.mean_image,
            variance=1.0 + 0 * preprocessing.mean_image,
            name="mean_image",
        )(x)
    for block, filters in enumerate((96, 256), start=1):
        x = layers.Conv2D(scaled(filters), 3, name=f"conv{block}")(x)
        x = layers.BatchNormalization(name=f"bn{block}")(x)
        x = layers.ReLU(name=f"relu{block}")(x)
        x = layers.MaxPooling2D(3, 2, name=f"pool{block}")(x)
    for block, filters in enumerate((384, 384, 256), start=3):
        x = layers.Conv2D(scaled(filters), 3, padding="same", activation="relu", name=f"conv{block}")(x)
    x = layers.MaxPooling2D(3, 2, name="pool5")(x)
    x = layers.Flatten(name="flatten")(x)
    for block in (1, 2):
        x = layers.Dense(scaled(2048), activation="relu", name=f"dense{block}")(x)
        x = layers.Dropout(0.5, name=f"dropout{block}")(x)
    return keras.Model(inputs, layers.Dense(classes, dtype="float32", name="logits")(x), name="alexnet")
