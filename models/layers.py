"""Layers with PyTorch's conventions, which move robust accuracy: padding, batch norm, initialisers.

stride 2   one pixel of zeros on every side and a "valid" convolution (Keras's "same" pads right and below only)
batch norm epsilon 1e-5, moving average of weight .1 (Keras: 1e-3 and .01); the moving variance is of the unbiased one
kernels    uniform in 1 / sqrt(fan in) unless a builder says otherwise; so are biases
"""

import math

import keras

from models import batch_norm


def convolution(x, filters, kernel=3, stride=1, *, name, initializer=None, bias=False):
    """A square convolution, padded by kernel // 2 on every side: (N, H, W, C) -> (N, H', W', filters)."""
    padding = "same"
    if stride > 1 and kernel > 1:
        x = keras.layers.ZeroPadding2D(kernel // 2, name=f"{name}_pad")(x)
        padding = "valid"
    elif stride > 1:
        # The same numbers: TensorFlow's oneDNN kernels crash in the gradient of a strided 1x1 convolution (AVX2 CPUs).
        x, stride = keras.layers.MaxPooling2D(1, stride, name=f"{name}_every")(x), 1
    made = keras.layers.Conv2D(
        filters,
        kernel,
        strides=stride,
        padding=padding,
        use_bias=bias,
        bias_initializer=bounded(kernel * kernel * x.shape[-1]) if bias else "zeros",
        kernel_initializer=initializer or uniform(),
        name=name,
    )
    return made(x)


def normalised(x, *, name, activation="relu"):
    """Batch norm, and after it a ReLU, a leaky ReLU of .1, or nothing (None)."""
    x = batch_norm.BatchNormalization(momentum=0.9, epsilon=1e-5, name=name)(x)
    if activation == "relu":
        return keras.layers.ReLU(name=f"{name}_relu")(x)
    return x if activation is None else keras.layers.LeakyReLU(0.1, name=f"{name}_relu")(x)


def logits(x, classes):
    """The last layer: dense, in float32 whatever the precision, kernel and bias uniform in 1 / sqrt(fan in)."""
    bias = bounded(x.shape[-1])
    settings = {"kernel_initializer": uniform(), "bias_initializer": bias, "dtype": "float32", "name": "logits"}
    return keras.layers.Dense(classes, **settings)(x)


def bounded(fan_in):
    """PyTorch's default for biases: as `uniform`, by the fan in of their layer's kernel."""
    return keras.initializers.RandomUniform(-1 / math.sqrt(fan_in), 1 / math.sqrt(fan_in))


def uniform():
    """PyTorch's default for kernels: uniform with bound 1 / sqrt(fan in)."""
    return keras.initializers.VarianceScaling(1 / 3, "fan_in", "uniform")


def fan_out():
    """He's normal initialiser over the outputs: deviation sqrt(2 / (kernel^2 filters))."""
    return keras.initializers.VarianceScaling(2.0, "fan_out", "untruncated_normal")


def standardised(inputs, preprocessing):
    """The first layer: channels standardised by data.Statistics, or pixels as they are where it is None."""
    if preprocessing is None:
        return inputs
    mean, std = preprocessing.channel_mean, preprocessing.channel_std
    return keras.layers.Normalization(mean=mean, variance=std**2, name="standardise")(inputs)


def scaler(width):
    """Channels at a width: at least one."""
    return lambda channels: max(1, round(channels * width))
