"""The nets of adversarial training: published sizes, PyTorch's padding, batch norm and initialisers."""

import math

import keras
import numpy
import pytest

import models
from models import densenet, layers, resnet, vgg, wide_resnet

COLOUR = (32, 32, 3)


@pytest.mark.parametrize(
    ("builder", "shape", "classes", "count"),
    [
        (resnet.resnet18, COLOUR, 10, 11_173_962),
        (resnet.preact_resnet18, COLOUR, 10, 11_172_170),
        (resnet.resnet50, (224, 224, 3), 1000, 25_557_032),
        (models.small_cnn, (28, 28, 1), 10, 312_202),
        (vgg.vgg16_bn, COLOUR, 10, 14_728_266),
        pytest.param(resnet.resnet50, COLOUR, 10, 23_520_842, marks=pytest.mark.slow),
        pytest.param(densenet.densenet121, COLOUR, 10, 6_956_298, marks=pytest.mark.slow),
        pytest.param(wide_resnet.wrn_34_10, COLOUR, 10, 46_160_474, marks=pytest.mark.slow),
        pytest.param(wide_resnet.wrn_32_10, COLOUR, 10, 45_901_914, marks=pytest.mark.slow),
    ],
)
def test_published_sizes(builder, shape, classes, count):
    model = builder(shape, classes)
    assert sum(math.prod(variable.shape) for variable in model.trainable_variables) == count
    assert model.output_shape == (None, classes)


def naive_convolution(x, kernel, stride):
    """PyTorch's Conv2d(padding=k // 2): zeros on every side, then a window every `stride` pixels."""
    size = len(kernel)
    padded = numpy.pad(x, ((size // 2,) * 2, (size // 2,) * 2, (0, 0)))
    places = range(0, len(padded) - size + 1, stride)
    return numpy.array(
        [[numpy.tensordot(padded[i : i + size, j : j + size], kernel, 3) for j in places] for i in places]
    )


@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (3, 2), (1, 2), (7, 2)])
def test_padding_is_symmetric(kernel, stride):
    inputs = keras.Input((8, 8, 2))
    model = keras.Model(inputs, layers.convolution(inputs, 3, kernel, stride, name="conv"))
    x = numpy.random.default_rng(0).random((1, 8, 8, 2), "float32")
    weights = keras.ops.convert_to_numpy(model.get_layer("conv").kernel)
    expected = naive_convolution(x[0], weights, stride)
    numpy.testing.assert_allclose(keras.ops.convert_to_numpy(model(x))[0], expected, rtol=1e-4, atol=1e-5)


def test_initialisers_and_batch_norm_are_pytorchs():
    model = resnet.preact_resnet18(COLOUR, 10, width=0.25)
    kernel = keras.ops.convert_to_numpy(model.get_layer("conv5_2b").kernel)
    bound = 1 / math.sqrt(9 * 128)
    assert numpy.abs(kernel).max() <= bound and kernel.std() == pytest.approx(bound / math.sqrt(3), rel=0.02)
    head = model.get_layer("logits")
    assert numpy.abs(keras.ops.convert_to_numpy(head.bias)).max() <= 1 / math.sqrt(128)
    norm = model.get_layer("bn2_1a")
    assert (norm.epsilon, norm.momentum) == (1e-5, 0.9)
    wide = wide_resnet.wrn_34_10(COLOUR, 10, width=0.1)
    kernel = keras.ops.convert_to_numpy(wide.get_layer("conv4_5b").kernel)
    assert kernel.std() == pytest.approx(math.sqrt(2 / (9 * 64)), rel=0.02)


def test_a_preactivated_block_is_what_it_says():
    """conv(relu(bn(conv(relu(bn(x)))))) + projection of x itself, with batch norm at its initial statistics."""
    inputs = keras.Input((4, 4, 2))
    x = numpy.random.default_rng(1).normal(size=(1, 4, 4, 2)).astype("float32")
    for project in ("input", "activated"):
        model = keras.Model(inputs, resnet.preactivated(inputs, 3, 2, name=f"_{project}", project=project))
        kernels = [keras.ops.convert_to_numpy(layer.kernel) for layer in model.layers if hasattr(layer, "kernel")]
        first = next(kernel for kernel in kernels if kernel.shape == (3, 3, 2, 3))
        second = next(kernel for kernel in kernels if kernel.shape == (3, 3, 3, 3))
        shortcut = next(kernel for kernel in kernels if kernel.shape == (1, 1, 2, 3))
        scale = 1 / math.sqrt(1 + 1e-5)
        active = numpy.maximum(scale * x[0], 0)
        inner = numpy.maximum(scale * naive_convolution(active, first, 2), 0)
        joined = naive_convolution(x[0] if project == "input" else active, shortcut, 2)
        expected = naive_convolution(inner, second, 1) + joined
        numpy.testing.assert_allclose(keras.ops.convert_to_numpy(model(x))[0], expected, rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="project is 'nothing'"):
        resnet.preact_resnet18(COLOUR, 10, project="nothing")


def test_a_shortcut_without_parameters_averages_and_pads():
    inputs = keras.Input((4, 4, 2))
    model = keras.Model(inputs, wide_resnet._padded(inputs, 5, 2, "x"))
    x = numpy.random.default_rng(2).random((1, 4, 4, 2), "float32")
    found = keras.ops.convert_to_numpy(model(x))[0]
    expected = numpy.pad(x[0].reshape(2, 2, 2, 2, 2).mean((1, 3)), ((0, 0), (0, 0), (1, 2)))
    numpy.testing.assert_allclose(found, expected, rtol=1e-6)


def test_the_first_shortcut_of_wrn_32_10_takes_the_activated_input():
    model = wide_resnet.wrn_32_10((32, 32, 3), 10, width=0.1)
    fed = {name: model.get_layer(name).input._keras_history.operation.name for name in ("turn2_1", "mean3_1")}
    assert fed == {"turn2_1": "bn2_1a_relu", "mean3_1": "add2_5"}


@pytest.mark.parametrize("name", ["preact_resnet18", "resnet50", "wrn_32_10"])
def test_images_of_any_size_pass(name):
    model = models.build(f"{name}@0.05", (24, 20, 1), 3)
    assert keras.ops.convert_to_numpy(model(numpy.zeros((2, 24, 20, 1), "float32"))).shape == (2, 3)
