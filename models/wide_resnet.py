"""Wide residual networks (Zagoruyko, Komodakis, BMVC 2016), as studies of adversarial training use them.

- [P] wrn_34_10 is the net released with TRADES: ReLU, projections by 1x1 convolutions of the activated input.
- [P] wrn_32_10 is the net released by Madry et al. and used by FREE: leaky ReLU of .1, shortcuts without parameters (a
  2x2 mean and channels of zeros); the first block's shortcut takes the activated input.
"""

from __future__ import annotations

import keras

import data
from models.layers import convolution, fan_out, logits, normalised, scaler, standardised


def wrn_34_10(
    input_shape: tuple,
    classes: int,
    *,
    preprocessing: data.Statistics | None = None,
    width: float = 1.0,
    depth: int = 34,
    stem: int | None = None,
) -> keras.Model:
    """WRN-34-10: 46,160,474 parameters at (32, 32, 3) and ten classes.

    width: factor on every layer; with `stem`, on all layers but the first convolution.
    depth: 6 n + 4; WRN-28-10 has n = 4 (36,479,194 parameters).
    stem: filters of the first convolution (None: 16 * width). WRN-34-15 and -20 have width 1.5 and 2 and a stem of 16
        (103,819,674 and 184,531,674 parameters).
    Raises ValueError for another depth.
    """
    if depth < 10 or (depth - 4) % 6:
        raise ValueError(f"depth is {depth}, expected 6 n + 4 with n of at least 1, such as 28 or 34")
    blocks = (depth - 4) // 6
    options = {"activation": "relu", "project": True, "stem": stem}
    return _wide("wrn_34_10", input_shape, classes, blocks, preprocessing, width, **options)


def wrn_32_10(
    input_shape: tuple,
    classes: int,
    *,
    preprocessing: data.Statistics | None = None,
    width: float = 1.0,
    stem: int | None = None,
) -> keras.Model:
    """WRN-32-10: 45,901,914 parameters at (32, 32, 3) and ten classes. stem: as wrn_34_10."""
    options = {"activation": "leaky", "project": False, "stem": stem}
    return _wide("wrn_32_10", input_shape, classes, 5, preprocessing, width, **options)


def _wide(name, input_shape, classes, blocks, preprocessing, width, *, activation, project, stem):
    scaled = scaler(width)
    inputs = keras.Input(input_shape, name="image")
    first = scaled(16) if stem is None else stem
    x = convolution(standardised(inputs, preprocessing), first, name="conv1", initializer=fan_out())
    for stage, filters in enumerate((160, 320, 640), start=2):
        for step in range(1, blocks + 1):
            stride = 2 if step == 1 and stage > 2 else 1
            x = _block(
                x, scaled(filters), stride, f"{stage}_{step}", activation, project, first=(stage, step) == (2, 1)
            )
    x = normalised(x, name="bn_last", activation=activation)
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(inputs, logits(x, classes), name=name)


def _block(x, filters, stride, name, activation, project, *, first):
    active = normalised(x, name=f"bn{name}a", activation=activation)
    shortcut = active if first and not project else x
    if stride > 1 or x.shape[-1] != filters:
        shortcut = (
            convolution(active, filters, 1, stride, name=f"project{name}", initializer=fan_out())
            if project
            else _padded(shortcut, filters, stride, name)
        )
    inner = convolution(active, filters, 3, stride, name=f"conv{name}a", initializer=fan_out())
    inner = normalised(inner, name=f"bn{name}b", activation=activation)
    inner = convolution(inner, filters, name=f"conv{name}b", initializer=fan_out())
    return keras.layers.Add(name=f"add{name}")([inner, shortcut])


def _padded(x, filters, stride, name):
    """The input averaged over stride x stride, with channels of zeros on both sides.

    At the edge of an odd size the mean is over the pixels that exist [D].
    """
    if stride > 1:
        x = keras.layers.AveragePooling2D(stride, stride, padding="same", name=f"mean{name}")(x)
    before = (filters - x.shape[-1]) // 2
    after = filters - x.shape[-1] - before
    x = keras.layers.Permute((1, 3, 2), name=f"turn{name}")(x)
    x = keras.layers.ZeroPadding2D(((0, 0), (before, after)), name=f"zeros{name}")(x)
    return keras.layers.Permute((1, 3, 2), name=f"back{name}")(x)
