"""Contributions between the weighted layers: layers that pass them back, split them, or are refused by name."""

import functools

import keras
import numpy
import pytest

from dare import graph

layers = keras.layers
conv = functools.partial(layers.Conv2D, kernel_initializer="zeros")
dense = functools.partial(layers.Dense, kernel_initializer="zeros")
depthwise = functools.partial(layers.DepthwiseConv2D, depthwise_initializer="zeros")
PASSING = [
    lambda: layers.Normalization(mean=0.5, variance=0.25),
    lambda: layers.Rescaling(2.0),
    layers.BatchNormalization,
    lambda: layers.GroupNormalization(groups=-1),
    lambda: layers.Activation("tanh"),
    layers.ReLU,
    layers.LeakyReLU,
    layers.PReLU,
    layers.ELU,
    layers.Identity,
    lambda: layers.Dropout(0.5),
    lambda: layers.SpatialDropout2D(0.5),
    lambda: layers.AlphaDropout(0.5),
    lambda: layers.GaussianDropout(0.5),
    lambda: layers.GaussianNoise(0.5),
    lambda: layers.ZeroPadding2D(1),
    lambda: layers.Cropping2D(1),
    lambda: layers.UpSampling2D(2, interpolation="bilinear"),
    layers.MaxPooling2D,
    lambda: layers.AveragePooling2D(2),
    lambda: layers.AdaptiveMaxPooling2D(2),
    lambda: layers.AdaptiveAveragePooling2D(2),
    layers.GlobalMaxPooling2D,
    lambda: layers.GlobalAveragePooling2D(keepdims=True),
]


def walked(model, contribution):
    """name -> contribution of the layer's outputs, where every weighted layer passes back numbers (class, input)."""
    seen = {}
    table = graph.read(model)

    def at_layer(name, item, of_outputs):
        seen[name] = of_outputs
        return numpy.arange(2 * item.input.shape[-1], dtype=float).reshape(2, -1) + 1

    graph.walk_back(table, contribution, at_layer)
    return table, seen


def test_a_layer_that_passes_a_contribution_on_keeps_channels_apart():
    """An input channel changes the same output channel only, and the walk passes its contribution back there."""
    random = numpy.random.default_rng(0)
    x = numpy.repeat(random.random((1, 8, 8, 3), "float32"), 4, axis=0)
    for channel in range(3):
        x[1 + channel, ..., channel] = random.random((8, 8))
    assert {type(make()) for make in PASSING} | {layers.InputLayer} == set(graph.PASSING)
    for make in PASSING:
        inputs = keras.Input((8, 8, 3))
        layer = make()
        output = layer(conv(3, 1, name="made")(inputs))
        values = numpy.asarray(layer(x)).reshape(4, -1, 3)
        changed = numpy.abs(values[1:] - values[0]).max(axis=1) > 1e-6
        assert (changed == numpy.eye(3, dtype=bool)).all(), layer.name
        flat = output if len(output.shape) == 2 else layers.GlobalMaxPooling2D()(output)
        _, seen = walked(keras.Model(inputs, dense(2, name="end")(flat)), numpy.eye(2))
        assert seen["made"].tolist() == [[1, 2, 3], [4, 5, 6]], layer.name


def test_flatten_sums_concatenate_splits_and_add_hands_to_both():
    inputs = keras.Input((1, 2, 2))
    left = conv(3, 1, name="left")(inputs)
    right = conv(1, 1, name="right")(left)
    joined = layers.Concatenate()([left, right])
    x = layers.Add()([conv(4, 1, name="projection")(joined), joined])
    model = keras.Model(inputs, dense(2, name="end")(layers.Flatten()(x)))
    table, seen = walked(model, numpy.eye(2))
    assert table.output == "end" and set(table.weighted) == {"left", "right", "projection", "end"}
    total = numpy.array([[1 + 5, 2 + 6, 3 + 7, 4 + 8], [9 + 13, 10 + 14, 11 + 15, 12 + 16]])
    contribution = numpy.array([[1, 2, 3, 4], [5, 6, 7, 8]])
    numpy.testing.assert_array_equal(seen["projection"], total)
    numpy.testing.assert_array_equal(seen["right"], (total + contribution)[:, 3:])
    numpy.testing.assert_array_equal(seen["left"], (total + contribution)[:, :3] + [[1, 2, 3], [4, 5, 6]])


def test_weights_are_kernels_summed_over_positions():
    inputs = keras.Input((4, 4, 2))
    x = conv(5, 3, name="conv")(depthwise(2, depth_multiplier=3, name="depthwise")(inputs))
    model = keras.Model(inputs, dense(3, name="dense")(layers.Flatten()(x)))
    random = numpy.random.default_rng(0)
    model.set_weights([random.standard_normal(value.shape) for value in model.get_weights()])
    weighted = graph.read(model).weighted
    assert {name: (item.depthwise, item.weights().shape) for name, item in weighted.items()} == {
        "depthwise": (True, (2, 3)),
        "conv": (False, (6, 5)),
        "dense": (False, (5, 3)),
    }
    for name, item in weighted.items():
        kernel = model.get_layer(name).get_weights()[0]
        for place in numpy.ndindex(*item.weights().shape):
            assert item.weights()[place] == pytest.approx(kernel[(..., *place)].sum(), rel=1e-5)
    # an output channel i * M + m of a depthwise layer reads input channel i through kernel[..., i, m]
    image = random.random((1, 4, 4, 2), "float32")
    image[..., 1] = 0
    output = numpy.asarray(model.get_layer("depthwise")(image))
    bias = model.get_layer("depthwise").get_weights()[1]
    assert (numpy.abs(output - bias).max(axis=(0, 1, 2)) > 0).tolist() == [True] * 3 + [False] * 3


def test_models_that_cannot_be_sliced_are_named():
    inputs = keras.Input((8, 8, 2))
    shared = conv(2, 3, padding="same", name="shared")
    logits = dense(4)(layers.Flatten()(inputs))

    def ended(value):
        return keras.Model(inputs, dense(4)(layers.Flatten()(value)))

    for model, message in [
        (ended(layers.LayerNormalization(name="norm")(inputs)), r"'norm' \(LayerNorm.*Conv2D, Dense, Depthwise"),
        (ended(layers.UnitNormalization(name="unit")(inputs)), "'unit'"),
        (ended(layers.GroupNormalization(1, name="group")(inputs)), "'group' normalizes 1 groups.*groups=-1"),
        (ended(layers.GroupNormalization(8, axis=1, name="rows")(inputs)), "'rows' normalizes 8 groups of axis 1"),
        (ended(layers.SeparableConv2D(3, 3, name="sep")(inputs)), r"'sep' \(Sep.*write it as DepthwiseConv2D and"),
        (ended(layers.Conv2DTranspose(3, 3, name="up")(inputs)), r"'up' \(Conv2DTranspose\) cannot"),
        (ended(layers.Multiply(name="gate")([inputs, inputs])), "'gate'"),
        (ended(layers.Reshape((4, 16, 2), name="shape")(inputs)), "'shape'"),
        (ended(layers.Softmax(name="soft")(inputs)), "'soft'"),
        (ended(keras.ops.tanh(inputs)), "cannot be sliced"),
        (ended(inputs + inputs), "cannot be sliced"),
        (ended(conv(2, 3, groups=2, name="grouped")(inputs)), "'grouped' convolves in 2"),
        (ended(depthwise(1, data_format="channels_first", name="first")(inputs)), "'first' has its channels first"),
        (ended(shared(shared(inputs))), "'shared' is used 2 times"),
        (ended(layers.Concatenate(axis=1, name="rows")([inputs, inputs])), "'rows' joins axis 1"),
        (ended(layers.Add(name="sum")([inputs, layers.MaxPooling2D(8)(inputs)])), "'sum' adds shapes"),
        (keras.Model(inputs, layers.Add(name="end")([logits] * 2)), "comes from 'end'"),
        (keras.Model(inputs, layers.GlobalMaxPooling2D()(depthwise(3, name="last")(inputs))), "comes from 'last'"),
        (keras.Model(inputs, conv(4, 3, name="map")(inputs)), "logits"),
        (keras.Model(inputs, [inputs, ended(inputs).output]), "inputs and 2 outputs: slicing needs one of each"),
        (keras.Sequential([layers.Dense(4)]), "not built: begin it with keras.Input"),
    ]:
        with pytest.raises(ValueError, match=message):
            graph.read(model)
