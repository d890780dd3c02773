"""DenseNet-121 (Huang, Liu, van der Maaten, Weinberger, CVPR 2017) for small images: one 3x3 convolution as stem."""

from __future__ import annotations

import keras

import data
from models.layers import convolution, logits, normalised, scaler, standardised


def densenet121(
    input_shape: tuple,
    classes: int,
    *,
    preprocessing: data.Statistics | None = None,
    width: float = 1.0,
    growth: int = 32,
) -> keras.Model:
    """DenseNet-121: 6,956,298 parameters at (32, 32, 3) and ten classes.

    growth: channels that each layer adds, at width 1.
    Other arguments as models.build.
    """
    growth = scaler(width)(growth)
    inputs = keras.Input(input_shape, name="image")
    x = convolution(standardised(inputs, preprocessing), 2 * growth, name="conv1")
    for block, depth in enumerate((6, 12, 24, 16), start=1):
        for step in range(1, depth + 1):
            x = _layer(x, growth, f"{block}_{step}")
        if block < 4:
            x = convolution(normalised(x, name=f"bn_between{block}"), x.shape[-1] // 2, 1, name=f"conv_between{block}")
            x = keras.layers.AveragePooling2D(2, 2, name=f"pool{block}")(x)
    x = keras.layers.GlobalAveragePooling2D(name="pool")(normalised(x, name="bn_last"))
    return keras.Model(inputs, logits(x, classes), name="densenet121")


def _layer(x, growth, name):
    inner = convolution(normalised(x, name=f"bn{name}a"), 4 * growth, 1, name=f"conv{name}a")
    inner = convolution(normalised(inner, name=f"bn{name}b"), growth, name=f"conv{name}b")
    return keras.layers.Concatenate(name=f"join{name}")([inner, x])
