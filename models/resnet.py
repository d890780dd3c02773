"""Residual networks: ResNet-18 and ResNet-50 (He et al., CVPR 2016) and PreAct-ResNet-18 (He et al., ECCV 2016).

For images below 64 pixels the stem is one 3x3 convolution, as in every CIFAR-10 study of adversarial training; for
larger images it is the 7x7 convolution of stride 2 and the 3x3 pool of stride 2 of the papers [P]. The first layer
standardises the channels if statistics are passed; the output is logits.
"""

from __future__ import annotations

import functools

import keras

import data
from models.layers import convolution, logits, normalised, scaler, standardised

FILTERS = (64, 128, 256, 512)


def resnet18(
    input_shape: tuple, classes: int, *, preprocessing: data.Statistics | None = None, width: float = 1.0
) -> keras.Model:
    """ResNet-18, batch norm and ReLU after each convolution: 11,173,962 parameters at (32, 32, 3) and ten classes.

    Arguments as of models.build.
    """
    return _resnet("resnet18", input_shape, classes, basic, (2, 2, 2, 2), preprocessing, width)


def resnet50(
    input_shape: tuple, classes: int, *, preprocessing: data.Statistics | None = None, width: float = 1.0
) -> keras.Model:
    """ResNet-50 of bottleneck blocks: 23,520,842 parameters at (32, 32, 3) and ten classes; 25,557,032 at (224, 224, 3)
    and a thousand. Arguments as of models.build."""
    return _resnet("resnet50", input_shape, classes, bottleneck, (3, 4, 6, 3), preprocessing, width)


def preact_resnet18(
    input_shape: tuple,
    classes: int,
    *,
    preprocessing: data.Statistics | None = None,
    width: float = 1.0,
    project: str = "input",
    last_norm: bool = True,
) -> keras.Model:
    """PreAct-ResNet-18: batch norm and ReLU before each convolution, and once more before the pool.

    11,172,170 parameters at (32, 32, 3) and ten classes.
    project: input of the projection in blocks that change the shape: "input" (the block's input, as in DEAT's copy [P])
        or "activated" (after the first batch norm and ReLU, as in YOPO's copy [P]).
    last_norm: False omits the batch norm and ReLU before the pool, as in YOPO's copy [P] (11,171,146 parameters).
    Other arguments as of models.build.
    """
    if project not in ("input", "activated"):
        raise ValueError(f"project is {project!r}, expected 'input' or 'activated'")
    block = functools.partial(preactivated, project=project)
    return _resnet(
        "preact_resnet18", input_shape, classes, block, (2, 2, 2, 2), preprocessing, width, preact=True, last=last_norm
    )


def _resnet(name, input_shape, classes, block, depths, preprocessing, width, *, preact=False, last=False):
    scaled = scaler(width)
    inputs = keras.Input(input_shape, name="image")
    x = standardised(inputs, preprocessing)
    if min(input_shape[:2]) >= 64:
        x = normalised(convolution(x, scaled(64), 7, 2, name="conv1"), name="bn1")
        x = keras.layers.ZeroPadding2D(1, name="pool1_pad")(x)  # after a ReLU zeros never exceed a maximum
        x = keras.layers.MaxPooling2D(3, 2, name="pool1")(x)
    else:
        x = convolution(x, scaled(64), name="conv1")
        x = x if preact else normalised(x, name="bn1")
    for stage, (depth, filters) in enumerate(zip(depths, FILTERS, strict=True), start=2):
        for step in range(1, depth + 1):
            stride = 2 if step == 1 and stage > 2 else 1
            x = block(x, scaled(filters), stride, name=f"{stage}_{step}")
    if last:
        x = normalised(x, name="bn_last")
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(inputs, logits(x, classes), name=name)


def basic(x: keras.KerasTensor, filters: int, stride: int, *, name: str) -> keras.KerasTensor:
    """relu(bn(conv(relu(bn(conv(x))))) + shortcut(x)), two 3x3 convolutions.

    filters: of each convolution; stride: of the first; name: prefix of the layers' names.
    """
    inner = normalised(convolution(x, filters, 3, stride, name=f"conv{name}a"), name=f"bn{name}a")
    inner = normalised(convolution(inner, filters, name=f"conv{name}b"), name=f"bn{name}b", activation=None)
    return _joined(inner, _shortcut(x, filters, stride, name), name)


def bottleneck(x: keras.KerasTensor, filters: int, stride: int, *, name: str) -> keras.KerasTensor:
    """As `basic`, with a 1x1, a 3x3 and a 1x1 convolution, the last with four times the filters."""
    inner = normalised(convolution(x, filters, 1, name=f"conv{name}a"), name=f"bn{name}a")
    inner = normalised(convolution(inner, filters, 3, stride, name=f"conv{name}b"), name=f"bn{name}b")
    inner = normalised(convolution(inner, 4 * filters, 1, name=f"conv{name}c"), name=f"bn{name}c", activation=None)
    return _joined(inner, _shortcut(x, 4 * filters, stride, name), name)


def preactivated(x: keras.KerasTensor, filters: int, stride: int, *, name: str, project: str) -> keras.KerasTensor:
    """conv(relu(bn(conv(relu(bn(x)))))) + shortcut, two 3x3 convolutions and nothing after the sum."""
    active = normalised(x, name=f"bn{name}a")
    shortcut = x
    if stride > 1 or x.shape[-1] != filters:
        shortcut = convolution(x if project == "input" else active, filters, 1, stride, name=f"project{name}")
    inner = convolution(active, filters, 3, stride, name=f"conv{name}a")
    inner = convolution(normalised(inner, name=f"bn{name}b"), filters, name=f"conv{name}b")
    return keras.layers.Add(name=f"add{name}")([inner, shortcut])


def _shortcut(x, filters, stride, name):
    if stride == 1 and x.shape[-1] == filters:
        return x
    return normalised(
        convolution(x, filters, 1, stride, name=f"project{name}"), name=f"bn{name}_project", activation=None
    )


def _joined(inner, shortcut, name):
    return keras.layers.ReLU(name=f"relu{name}")(keras.layers.Add(name=f"add{name}")([inner, shortcut]))
