"""Layers with PyTorch's conventions, which affect robust accuracy: padding, batch norm, initialisers.

stride 2   one pixel of zeros on every side and a "valid" convolution (Keras's "same" pads right and below only)
batch norm epsilon 1e-5, moving average of weight .1 (Keras: 1e-3 and .01); the moving variance is unbiased
kernels    uniform within 1 / sqrt(fan in), unless a builder chooses otherwise; biases too
"""

from __future__ import annotations

import math
from collections.abc import Callable

import keras

import data
from models import batch_norm


def convolution(
    x: keras.KerasTensor,
    filters: int,
    kernel: int = 3,
    stride: int = 1,
    *,
    name: str,
    initializer: keras.initializers.Initializer | None = None,
    bias: bool = False,
) -> keras.KerasTensor:
    """Apply a square convolution, padded by kernel // 2 on every side: (N, H, W, C) -> (N, H', W', filters).

    x: the layer's input.
    kernel, stride: in pixels, of both axes.
    initializer: of the kernel; bias: whether there is one.
    """
    padding = "same"
    if stride > 1 and kernel > 1:
        x = keras.layers.ZeroPadding2D(kernel // 2, name=f"{name}_pad")(x)
        padding = "valid"
    elif stride > 1:
        # Equivalent, because oneDNN crashes in the gradient of a strided 1x1 convolution (TensorFlow, AVX2 CPUs).
        x, stride = keras.layers.MaxPooling2D(1, stride, name=f"{name}_every")(x), 1
    layer = keras.layers.Conv2D(
        filters,
        kernel,
        strides=stride,
        padding=padding,
        use_bias=bias,
        bias_initializer=bounded(kernel * kernel * x.shape[-1]) if bias else "zeros",
        kernel_initializer=initializer or uniform(),
        name=name,
    )
    return layer(x)


def normalised(x: keras.KerasTensor, *, name: str, activation: str | None = "relu") -> keras.KerasTensor:
    """Apply batch norm, then a ReLU ("relu"), nothing (None) or a leaky ReLU of .1 (any other value)."""
    x = batch_norm.BatchNormalization(momentum=0.9, epsilon=1e-5, name=name)(x)
    if activation == "relu":
        return keras.layers.ReLU(name=f"{name}_relu")(x)
    return x if activation is None else keras.layers.LeakyReLU(0.1, name=f"{name}_relu")(x)


def logits(x: keras.KerasTensor, classes: int) -> keras.KerasTensor:
    """Apply the last layer: dense, always in float32, kernel and bias uniform within 1 / sqrt(fan in)."""
    bias = bounded(x.shape[-1])
    settings = {"kernel_initializer": uniform(), "bias_initializer": bias, "dtype": "float32", "name": "logits"}
    return keras.layers.Dense(classes, **settings)(x)


def bounded(fan_in: int) -> keras.initializers.Initializer:
    """PyTorch's default for biases: uniform within 1 / sqrt(fan in of the layer's kernel)."""
    return keras.initializers.RandomUniform(-1 / math.sqrt(fan_in), 1 / math.sqrt(fan_in))


def uniform() -> keras.initializers.Initializer:
    """PyTorch's default for kernels: uniform within 1 / sqrt(fan in)."""
    return keras.initializers.VarianceScaling(1 / 3, "fan_in", "uniform")


def fan_out() -> keras.initializers.Initializer:
    """He's normal initialiser by fan out: standard deviation sqrt(2 / (kernel^2 filters))."""
    return keras.initializers.VarianceScaling(2.0, "fan_out", "untruncated_normal")


def standardised(inputs: keras.KerasTensor, preprocessing: data.Statistics | None) -> keras.KerasTensor:
    """The first layer: channels standardised by data.Statistics; None leaves pixels unchanged."""
    if preprocessing is None:
        return inputs
    mean, std = preprocessing.channel_mean, preprocessing.channel_std
    return keras.layers.Normalization(mean=mean, variance=std**2, name="standardise")(inputs)


def scaler(width: float) -> Callable:
    """A function from channels to channels at a width, at least 1."""
    return lambda channels: max(1, round(channels * width))
