"""The nets of adversarial training: published sizes, PyTorch's padding, batch norm and initialisers."""

import functools
import math

import keras
import numpy
import pytest

import models
from models import batch_norm, densenet, layers, resnet, updates, vgg, wide_resnet

COLOUR = (32, 32, 3)
WRN = wide_resnet.wrn_34_10


@pytest.mark.parametrize(
    ("builder", "shape", "classes", "count"),
    [
        (resnet.resnet18, COLOUR, 10, 11_173_962),
        (resnet.preact_resnet18, COLOUR, 10, 11_172_170),
        (functools.partial(resnet.preact_resnet18, last_norm=False), COLOUR, 10, 11_171_146),
        (resnet.resnet50, (224, 224, 3), 1000, 25_557_032),
        (models.small_cnn, (28, 28, 1), 10, 312_202),
        (vgg.vgg16_bn, COLOUR, 10, 14_728_266),
        pytest.param(resnet.resnet50, COLOUR, 10, 23_520_842, marks=pytest.mark.slow),
        pytest.param(densenet.densenet121, COLOUR, 10, 6_956_298, marks=pytest.mark.slow),
        pytest.param(wide_resnet.wrn_34_10, COLOUR, 10, 46_160_474, marks=pytest.mark.slow),
        pytest.param(wide_resnet.wrn_32_10, COLOUR, 10, 45_901_914, marks=pytest.mark.slow),
        pytest.param(functools.partial(WRN, depth=28), COLOUR, 10, 36_479_194, marks=pytest.mark.slow),
        pytest.param(functools.partial(WRN, width=1.5, stem=16), COLOUR, 10, 103_819_674, marks=pytest.mark.slow),
        pytest.param(functools.partial(WRN, width=2.0, stem=16), COLOUR, 10, 184_531_674, marks=pytest.mark.slow),
    ],
)
def test_published_sizes(builder, shape, classes, count):
    model = builder(shape, classes)
    assert sum(math.prod(variable.shape) for variable in model.trainable_variables) == count
    assert model.output_shape == (None, classes)


@pytest.mark.parametrize(("depth", "width", "stem"), [(34, 1, 16), (28, 1, 16), (10, 0.1, 16), (16, 0.1, None)])
def test_a_wide_net_has_the_parameters_of_its_depth_width_and_stem(depth, width, stem):
    """Counted layer by layer; the published sizes by the count alone."""
    stages, blocks = [round(width * filters) for filters in (160, 320, 640)], (depth - 4) // 6
    channels = first = stem or round(width * 16)
    count = 9 * 3 * first
    for filters in (stage for stage in stages for _ in range(blocks)):
        count += 2 * channels + 9 * channels * filters + 2 * filters + 9 * filters**2
        count += channels * filters if channels != filters else 0
        channels = filters
    count += 2 * channels + channels * 10 + 10
    if width < 1:
        model = WRN(COLOUR, 10, width=width, depth=depth, stem=stem)
        assert sum(math.prod(variable.shape) for variable in model.trainable_variables) == count
    else:
        assert count == {34: 46_160_474, 28: 36_479_194}[depth]
    with pytest.raises(ValueError, match="depth is 32, expected 6 n"):
        WRN(COLOUR, 10, depth=32)


@pytest.mark.backends
def test_moving_statistics_are_pytorchs():
    """Over three batches in training mode, the moving variance of the unbiased one, n / (n - 1)."""
    generator = numpy.random.default_rng(0)
    layer = batch_norm.BatchNormalization(momentum=0.9, epsilon=1e-5)
    mean, variance = numpy.zeros(4), numpy.ones(4)
    for shape in ((3, 2, 2, 4), (2, 1, 1, 4), (5, 4, 3, 4)):
        x = 3 + 2 * generator.normal(size=shape).astype("float32")
        values = x.astype("float64").reshape(-1, 4)
        outputs = keras.ops.convert_to_numpy(layer(x, training=True))
        numpy.testing.assert_allclose(
            outputs.reshape(-1, 4), (values - values.mean(0)) / numpy.sqrt(values.var(0) + 1e-5), rtol=1e-4, atol=1e-5
        )
        mean = 0.9 * mean + 0.1 * values.mean(0)
        variance = 0.9 * variance + 0.1 * values.var(0, ddof=1)
    for moving, expected in ((layer.moving_mean, mean), (layer.moving_variance, variance)):
        numpy.testing.assert_allclose(keras.ops.convert_to_numpy(moving), expected, rtol=1e-5)
    layer(numpy.ones((1, 1, 1, 4), "float32"), training=True)
    numpy.testing.assert_allclose(keras.ops.convert_to_numpy(layer.moving_variance), 0.9 * variance, rtol=1e-5)
    layer.trainable = False
    before = [numpy.array(weight) for weight in layer.get_weights()]
    layer(10 * generator.normal(size=(3, 2, 2, 4)), training=True)
    assert all(map(numpy.array_equal, before, layer.get_weights()))


@pytest.mark.backends
def test_a_compiled_update_moves_the_same_statistics():
    model = resnet.resnet18((8, 8, 3), 3, width=1 / 16)
    x = numpy.random.default_rng(3).random((6, 8, 8, 3), "float32")
    convolved = numpy.asarray(keras.Model(model.input, model.get_layer("conv1").output)(x), "float64")
    step = updates.supervised_step(model, keras.optimizers.SGD(0.0), lambda outputs, y: keras.ops.sum(outputs, -1) * y)
    step(x, numpy.ones(6, "float32"))
    expected = 0.9 + 0.1 * convolved.var((0, 1, 2), ddof=1)
    numpy.testing.assert_allclose(numpy.asarray(model.get_layer("bn1").moving_variance), expected, rtol=1e-5)


@pytest.mark.parametrize("ending", [".keras", ".h5"])
def test_a_saved_net_is_read_again_with_its_own_batch_norm(ending, tmp_path):
    model = resnet.preact_resnet18((8, 8, 1), 3, width=1 / 16)
    model.save(tmp_path / f"net{ending}")
    x = numpy.random.default_rng(4).random((2, 8, 8, 1), "float32")
    read = keras.models.load_model(tmp_path / f"net{ending}", compile=False)
    again = keras.models.model_from_json(model.to_json())
    again.set_weights(read.get_weights())
    for loaded in (read, again):
        assert type(loaded.get_layer("bn_last")) is batch_norm.BatchNormalization
        numpy.testing.assert_array_equal(*(keras.ops.convert_to_numpy(net(x)) for net in (loaded, model)))


def test_weights_saved_of_keras_own_batch_norm_are_read(tmp_path, monkeypatch):
    """Those of nets that were trained before the layer was ours."""
    monkeypatch.setattr(batch_norm, "BatchNormalization", keras.layers.BatchNormalization)
    before = resnet.preact_resnet18((8, 8, 1), 3, width=1 / 16)
    before.save_weights(tmp_path / "net.weights.h5")
    monkeypatch.undo()
    after = resnet.preact_resnet18((8, 8, 1), 3, width=1 / 16)
    after.load_weights(tmp_path / "net.weights.h5")
    assert all(map(numpy.array_equal, before.get_weights(), after.get_weights()))
    assert models.fingerprint(before) == models.fingerprint(after)


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
    outputs = keras.ops.convert_to_numpy(model(x))[0]
    expected = numpy.pad(x[0].reshape(2, 2, 2, 2, 2).mean((1, 3)), ((0, 0), (0, 0), (1, 2)))
    numpy.testing.assert_allclose(outputs, expected, rtol=1e-6)


def test_the_first_shortcut_of_wrn_32_10_takes_the_activated_input():
    model = wide_resnet.wrn_32_10((32, 32, 3), 10, width=0.1)
    fed = {name: model.get_layer(name).input._keras_history.operation.name for name in ("turn2_1", "mean3_1")}
    assert fed == {"turn2_1": "bn2_1a_relu", "mean3_1": "add2_5"}


@pytest.mark.parametrize(
    ("name", "size"),
    [
        *((name, (23, 18)) for name in ("preact_resnet18", "resnet50", "wrn_32_10", "wrn_34_10", "densenet121")),
        *(("wrn_32_10", size) for size in ((24, 20), (9, 33), (8, 8))),
    ],
)
def test_images_of_any_size_pass(name, size):
    model = models.build(f"{name}@0.05", (*size, 1), 3)
    assert keras.ops.convert_to_numpy(model(numpy.zeros((2, *size, 1), "float32"))).shape == (2, 3)


def test_a_shortcut_averages_over_what_there_is_at_the_edge_of_an_odd_size():
    inputs = keras.Input((3, 5, 2))
    model = keras.Model(inputs, wide_resnet._padded(inputs, 2, 2, "x"))
    x = numpy.random.default_rng(5).random((1, 3, 5, 2), "float32")
    expected = [[x[0, i : i + 2, j : j + 2].mean((0, 1)) for j in (0, 2, 4)] for i in (0, 2)]
    numpy.testing.assert_allclose(keras.ops.convert_to_numpy(model(x))[0], expected, rtol=1e-6)
