"""Wide residual networks (Zagoruyko, Komodakis, BMVC 2016), as studies of adversarial training use them.

wrn_34_10   as released with TRADES: ReLU, projections by 1x1 convolutions of the activated input [P]
wrn_32_10   as released by Madry et al. and used by FREE: leaky ReLU of .1, shortcuts without parameters (a 2x2 mean
            and channels of zeros), of which the very first takes the activated input [P]
"""

import keras

from models.layers import convolution, fan_out, logits, normalised, scaler, standardised


def wrn_34_10(input_shape, classes, *, preprocessing=None, width=1.0):
    """WRN-34-10: 46,160,474 parameters at (32, 32, 3) and ten classes."""
    return _wide("wrn_34_10", input_shape, classes, 5, preprocessing, width, activation="relu", project=True)


def wrn_32_10(input_shape, classes, *, preprocessing=None, width=1.0):
    """WRN-32-10: 45,901,914 parameters at (32, 32, 3) and ten classes."""
    return _wide("wrn_32_10", input_shape, classes, 5, preprocessing, width, activation="leaky", project=False)


def _wide(name, input_shape, classes, depth, preprocessing, width, *, activation, project):
    scaled = scaler(width)
    inputs = keras.Input(input_shape, name="image")
    x = convolution(standardised(inputs, preprocessing), scaled(16), name="conv1", initializer=fan_out())
    for stage, filters in enumerate((160, 320, 640), start=2):
        for step in range(1, depth + 1):
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
    if x.shape[-1] != filters:
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
    """The input, averaged over stride x stride, with channels of zeros on both sides."""
    if stride > 1:
        x = keras.layers.AveragePooling2D(stride, stride, name=f"mean{name}")(x)
    before = (filters - x.shape[-1]) // 2
    after = filters - x.shape[-1] - before
    x = keras.layers.Permute((1, 3, 2), name=f"turn{name}")(x)
    x = keras.layers.ZeroPadding2D(((0, 0), (before, after)), name=f"zeros{name}")(x)
    return keras.layers.Permute((1, 3, 2), name=f"back{name}")(x)
