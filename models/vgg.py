"""VGG16 and VGG19 as DARE trains them, for 32x32 colour images, and variants for 28x28 grey images.

Simonyan and Zisserman 2015; layer sizes of DARE's released models (ASE 2022; TOSEM 33(3) 2024) [P].
  32x32: convolutions without bias, each with batch norm and ReLU, a 2x2 pool a block, L2 5e-4 on the kernels.
  28x28 is too small for five 2x2 pools. There "vgg16" is the first four blocks, "vgg19" five blocks of 13 convolutions
  with pools one pixel wide; both have biases and no batch norm [P/I]. The README's 22.6 million
  parameters of the first match no such net: this one has 26,557,642.
`vgg16_bn` has the same depth in the form of studies of adversarial training: one dense layer, PyTorch's conventions.
The first layer standardises the channels, and the output is logits, not softmax [D].
"""

from __future__ import annotations

import keras

import data
from models.layers import convolution, logits, normalised, scaler, standardised

FILTERS = (64, 128, 256, 512, 512)
SQUARE = ((2, 2),) * 5
NARROW = ((1, 2), (2, 1), (1, 2), (2, 1), (2, 2))


def vgg16(
    input_shape: tuple, classes: int, *, preprocessing: data.Statistics | None = None, width: float = 1.0
) -> keras.Model:
    """VGG16: float32 images (N, H, W, C) in [0, 1] -> logits (N, classes).

    33,650,890 parameters at (32, 32, 3), 26,557,642 at (28, 28, 1), with ten classes and width 1.

    preprocessing: data.Statistics of the training images (channels are standardised), or None.
    width: factor on every hidden layer's number of channels or units.
    """
    if min(input_shape[:2]) >= 32:
        return vgg(input_shape, classes, (2, 2, 3, 3, 3), SQUARE, "vgg16", preprocessing, width, batch_norm=True)
    return vgg(input_shape, classes, (2, 2, 3, 3), SQUARE, "vgg16", preprocessing, width, batch_norm=False)


def vgg19(
    input_shape: tuple, classes: int, *, preprocessing: data.Statistics | None = None, width: float = 1.0
) -> keras.Model:
    """VGG19: 38,964,426 parameters at (32, 32, 3), 33,637,066 at (28, 28, 1). Arguments as vgg16."""
    if min(input_shape[:2]) >= 32:
        return vgg(input_shape, classes, (2, 2, 4, 4, 4), SQUARE, "vgg19", preprocessing, width, batch_norm=True)
    return vgg(input_shape, classes, (2, 2, 3, 3, 3), NARROW, "vgg19", preprocessing, width, batch_norm=False)


def vgg16_bn(
    input_shape: tuple, classes: int, *, preprocessing: data.Statistics | None = None, width: float = 1.0
) -> keras.Model:
    """VGG16 of convolutions with bias, batch norm and ReLU, and one dense layer.

    14,728,266 parameters at (32, 32, 3) and ten classes. Arguments as vgg16; images of at least 32 pixels a side.
    """
    scaled = scaler(width)
    x = inputs = keras.Input(input_shape, name="image")
    x = standardised(x, preprocessing)
    for block, (depth, filters) in enumerate(zip((2, 2, 3, 3, 3), FILTERS, strict=True), start=1):
        for step in range(1, depth + 1):
            place = f"{block}_{step}"
            x = normalised(convolution(x, scaled(filters), name=f"conv{place}", bias=True), name=f"bn{place}")
        if min(x.shape[1:3]) < 2:
            raise ValueError(f"vgg16_bn needs larger images than {input_shape[0]}x{input_shape[1]}: 32x32 or more")
        x = keras.layers.MaxPooling2D(2, 2, name=f"pool{block}")(x)
    return keras.Model(inputs, logits(keras.layers.Flatten(name="flatten")(x), classes), name="vgg16_bn")


def vgg(
    input_shape: tuple,
    classes: int,
    depths: tuple,
    pools: tuple,
    name: str,
    preprocessing: data.Statistics | None = None,
    width: float = 1.0,
    *,
    batch_norm: bool,
) -> keras.Model:
    """A VGG of any depth.

    depths: convolutions of each block.
    pools: (height, width) of each block's pool, stride 2.
    """
    scaled, layers = scaler(width), keras.layers
    x = inputs = keras.Input(input_shape, name="image")
    if preprocessing is not None:
        mean, std = preprocessing.channel_mean, preprocessing.channel_std
        x = layers.Normalization(mean=mean, variance=std**2, name="standardise")(x)
    for block, (depth, filters, pool) in enumerate(zip(depths, FILTERS, pools, strict=False), start=1):
        for step in range(1, depth + 1):
            place = f"{block}_{step}"
            if batch_norm:
                decay = keras.regularizers.L2(5e-4)
                x = layers.Conv2D(
                    scaled(filters), 3, padding="same", use_bias=False, kernel_regularizer=decay, name=f"conv{place}"
                )(x)
                x = layers.BatchNormalization(name=f"bn{place}")(x)
                x = layers.ReLU(name=f"relu{place}")(x)
            else:
                x = layers.Conv2D(scaled(filters), 3, padding="same", activation="relu", name=f"conv{place}")(x)
        if min(size // stride for size, stride in zip(x.shape[1:3], pool, strict=True)) < 1:
            raise ValueError(
                f"{name} needs larger images than {input_shape[0]}x{input_shape[1]}: block {block} is empty"
            )
        x = layers.MaxPooling2D(pool, 2, name=f"pool{block}")(x)
    x = layers.Flatten(name="flatten")(x)
    for place in (1, 2):
        x = layers.Dense(scaled(4096), activation="relu", name=f"dense{place}")(x)
        if batch_norm or place == 2:
            x = layers.Dropout(0.5, name=f"dropout{place}")(x)
    return keras.Model(inputs, layers.Dense(classes, dtype="float32", name="logits")(x), name=name)
