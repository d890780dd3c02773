"""Slices equal plain loops over single connections, on small nets whose walk back is written out by hand.

Weights are small integers and pixels quarters, so that floats are exact and ties are many.
"""

import functools

import keras
import numpy
import pytest

from dare import graph, nnslicer
from models import compute

layers = keras.layers
conv = functools.partial(layers.Conv2D, kernel_initializer="zeros")
depthwise = functools.partial(layers.DepthwiseConv2D, depthwise_initializer="zeros")
dense = functools.partial(layers.Dense, kernel_initializer="zeros")
CLASSES = 4
RULES = [("dare", None), ("nnslicer", 0.5)]


def images_and_labels(seed):
    """Sixteen 8x8 images of exact binary fractions, four a class: every mean is exact as well."""
    random = numpy.random.default_rng(seed)
    y = random.permutation(numpy.repeat(numpy.arange(CLASSES), 4))
    return random.choice([0, 0.25, 0.5, 1], (16, 8, 8, 2)).astype("float32"), y


def with_integer_weights(inputs, x, seed):
    """The model from `inputs` to logits made of `x`, with weights in {-1, 0, 1} and integer batch norm."""
    model, random = keras.Model(inputs, dense(CLASSES, name="logits")(x)), numpy.random.default_rng(seed)
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            width = layer.gamma.shape
            layer.epsilon = 0.25
            beta, mean = random.integers(-3, 4, (2, *width))
            layer.set_weights([random.choice([-1, 1, 2], width), beta, mean, numpy.full(width, 0.75)])
        elif isinstance(layer, graph.WEIGHTED):
            layer.set_weights([random.integers(-1, 2, value.shape) for value in layer.get_weights()])
    return model


def chain(seed):
    inputs = keras.Input((8, 8, 2))
    x = layers.Normalization(mean=0.5, variance=0.25)(inputs)
    x = layers.Flatten()(x)
    x = dense(12, activation="relu", name="dense1")(x)
    x = layers.Dropout(0.5)(x)
    return with_integer_weights(inputs, dense(10, activation="relu", name="dense2")(x), seed)


def walk_chain(layer):
    layer("dense1", layer("dense2", layer("logits")))


def vgg(seed):
    x = inputs = keras.Input((8, 8, 2))
    for name, filters, pool in (("conv1_1", 3, None), ("conv1_2", 4, 2), ("conv2_1", 5, (1, 2)), ("conv2_2", 6, 2)):
        x = conv(filters, 3, padding="same", use_bias=False, name=name)(x)
        x = layers.BatchNormalization()(x)
        x = layers.ReLU()(x)
        x = layers.MaxPooling2D(pool)(x) if pool else x
    x = layers.Flatten()(x)
    return with_integer_weights(inputs, dense(7, activation="relu", name="dense")(x), seed)


def walk_vgg(layer):
    flat = layer("dense", layer("logits"))
    back = [sum(flat[position * 6 + channel] for position in range(2)) for channel in range(6)]
    for name in ("conv2_2", "conv2_1", "conv1_2", "conv1_1"):
        back = layer(name, back)


def branching(seed):
    """A residual block with an identity, one with a projection, then parallel branches that are concatenated."""
    inputs = keras.Input((8, 8, 2))
    x = conv(4, 3, padding="same", use_bias=False, name="stem")(inputs)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    inner = conv(4, 3, padding="same", activation="relu", name="inner")(x)
    x = layers.ReLU()(layers.Add()([conv(4, 3, padding="same", name="outer")(inner), x]))
    strided = conv(6, 3, strides=2, padding="same", name="strided")(x)
    x = layers.ReLU()(layers.Add()([strided, conv(6, 1, strides=2, name="projection")(x)]))
    x = layers.Concatenate()([conv(3, 1, name="left")(x), layers.MaxPooling2D(3, 1, "same")(x)])
    return with_integer_weights(inputs, layers.GlobalAveragePooling2D()(x), seed)


def walk_branching(layer):
    joined = layer("logits")
    second = added(layer("left", joined[:3]), joined[3:])
    first = added(layer("strided", second), layer("projection", second))
    layer("stem", added(layer("inner", layer("outer", first)), first))


def depthwise_net(seed):
    """Depthwise layers of multiplier 2 and 1, between them layers that move positions only."""
    inputs = keras.Input((8, 8, 2))
    x = conv(3, 3, name="conv")(inputs)
    x = depthwise(3, padding="same", depth_multiplier=2, use_bias=False, name="double")(x)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    x = layers.UpSampling2D(2)(layers.Cropping2D(1)(layers.ZeroPadding2D(((0, 1), (0, 1)))(x)))
    x = conv(5, 1, name="pointwise")(layers.AveragePooling2D(2)(x))
    x = depthwise(3, activation="relu", name="single")(x)
    return with_integer_weights(inputs, layers.GlobalMaxPooling2D()(x), seed)


def walk_depthwise(layer):
    layer("conv", layer("double", layer("pointwise", layer("single", layer("logits")))))


def added(*parts):
    return [sum(values) for values in zip(*parts, strict=True)]


def every_activation(model, x):
    """Identity of a tensor -> its float64 values."""
    tensors = [model.input, *(layer.output for layer in model.layers[1:])]
    values = compute.forward(keras.Model(model.input, tensors))(x)
    return {id(tensor): numpy.asarray(value, "float64") for tensor, value in zip(tensors, values, strict=True)}


class Loops:
    """The method in loops for class c: `layer(name, contribution of its outputs)` -> contribution of its inputs."""

    def __init__(self, model, values, y, c, *, per, theta, representative):
        self.model, self.values, self.y, self.c, self.kept = model, values, y, c, {}
        self.per, self.theta, self.representative = per, theta, representative

    def difference(self, tensor):
        values = self.values[id(tensor)]
        while values.ndim > 2:
            values = values.sum(axis=1)
        mine = [value for value, label in zip(values, self.y, strict=True) if label == self.c]
        own = mine[0] if self.representative == "first" else sum(mine) / len(mine)
        return own - sum(values) / len(values)

    def __call__(self, name, contribution=None):
        layer = self.model.get_layer(name)
        d_in, d = self.difference(layer.input), self.difference(layer.output)
        is_output, self.kept[name], back = contribution is None, set(), [0.0] * len(d_in)
        for i in [self.c] if is_output else range(len(d)):
            criterion = 1 if self.theta is not None else d[i]
            connections = incoming(layer, i)
            local = [(criterion if is_output else contribution[i]) * d[i] * w * d_in[j] for j, w in connections]
            dropped = self.dropped(local, [w * d_in[j] for j, w in connections], d[i])
            self.kept[name] |= {(j, i) for k, (j, _) in enumerate(connections) if k not in dropped}
            for k, (j, _) in enumerate(connections):
                if is_output and self.theta is None:
                    back[j] += 0 if k in dropped else local[k]
                elif self.theta is None or k not in dropped:
                    back[j] += numpy.sign(local[k])
        return back

    def dropped(self, local, product, d):
        """The indices of the connections of one neuron that are cut."""
        if self.theta is None:
            return sorted(range(len(local)), key=lambda k: (local[k], k))[: int((1 - self.per) * len(local) + 1e-9)]
        order, total = sorted(range(len(product)), key=lambda k: (abs(product[k]), k)), 0.0
        for place, k in enumerate(order):
            total += product[k]
            if not abs(total) < self.theta * abs(d):
                return order[:place]
        return order


def incoming(layer, i):
    """(input neuron, weight) of every connection into neuron i."""
    kernel = numpy.asarray(layer.kernel, "float64")
    if isinstance(layer, layers.DepthwiseConv2D):
        multiplier = kernel.shape[-1]
        return [(i // multiplier, kernel[:, :, i // multiplier, i % multiplier].sum())]
    return [(j, kernel[..., j, i].sum()) for j in range(kernel.shape[-2])]


def pairs(layer, kept):
    """The kept connections as (input neuron, output neuron)."""
    indices = zip(*(place.tolist() for place in kept.nonzero()), strict=True)
    multiplier = kept.shape[1]
    return {(j, j * multiplier + i) if isinstance(layer, layers.DepthwiseConv2D) else (j, i) for j, i in indices}


def assert_equals_loops(model, walk, x, y, *, rule, theta, per=0.6, representative="mean"):
    options = {"per": per, "theta": theta, "representative": representative}
    slices = nnslicer.slice_model(model, x, y, rule=rule, batch_size=6, **options)
    values = every_activation(model, x)
    for c in range(CLASSES):
        loops = Loops(model, values, y, c, **options)
        walk(loops)
        assert set(slices.kept) == set(loops.kept)
        for name, kept in loops.kept.items():
            assert pairs(model.get_layer(name), slices.kept[name][c]) == kept, f"{name}, class {c}"
    return slices


@pytest.mark.backends
@pytest.mark.parametrize(
    ("net", "walk"),
    [(chain, walk_chain), (vgg, walk_vgg), (branching, walk_branching), (depthwise_net, walk_depthwise)],
    ids=["chain", "vgg", "branching", "depthwise"],
)
@pytest.mark.parametrize(("rule", "theta"), RULES)
@pytest.mark.parametrize("seed", [0, 1])
def test_a_net_equals_the_loops(net, walk, rule, theta, seed):
    model = net(seed)
    slices = assert_equals_loops(model, walk, *images_and_labels(seed), rule=rule, theta=theta)
    assert set(slices.kept) == {layer.name for layer in model.layers if isinstance(layer, graph.WEIGHTED)}
    assert all(kept.shape == (CLASSES, *model.get_layer(name).kernel.shape[-2:]) for name, kept in slices.kept.items())


@pytest.mark.parametrize(("representative", "share"), [("first", 0.1), ("first", 0.6), ("mean", 0.97)])
@pytest.mark.parametrize(("rule", "theta"), RULES)
def test_every_share_and_representative_equals_the_loops(rule, theta, share, representative):
    options = {"theta": None if theta is None else share, "per": share, "representative": representative}
    assert_equals_loops(chain(7), walk_chain, *images_and_labels(7), rule=rule, **options)
