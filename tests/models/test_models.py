"""Parameter counts, logits, foreign models, batch-size invariance."""

import keras
import numpy
import pytest

import data
import models
from dare import transform
from models import compute


@pytest.mark.parametrize(("shape", "count"), [((32, 32, 3), 9_639_178), ((28, 28, 1), 8_064_586)])
def test_alexnet_has_the_published_number_of_parameters(shape, count):
    assert models.build("alexnet", shape, 10).count_params() == count


@pytest.mark.parametrize(
    ("name", "shape", "count", "trainable", "regression"),
    [
        ("vgg16", (32, 32, 3), 33_650_890, 33_642_442, (2, 2, 512)),
        ("vgg19", (32, 32, 3), 38_964_426, 38_953_418, (2, 2, 512)),
        ("vgg16", (28, 28, 1), 26_557_642, 26_557_642, (3, 3, 512)),
        ("vgg19", (28, 28, 1), 33_637_066, 33_637_066, (2, 2, 512)),
    ],
)
def test_vgg_has_the_published_numbers_of_parameters(name, shape, count, trainable, regression):
    model = models.build(name, shape, 10)
    assert model.count_params() == count
    assert sum(int(numpy.prod(variable.shape)) for variable in model.trainable_weights) == trainable
    assert transform.transform(model).output_shape[1:] == regression


def test_the_vgg_preprocessing_standardises_the_channels():
    x = numpy.random.default_rng(0).integers(0, 256, (20, 32, 32, 3), dtype="uint8")
    model = models.build("vgg16", (32, 32, 3), 10, preprocessing=data.statistics(x), width=0.02)
    inner = keras.Model(model.input, model.get_layer("standardise").output)
    scaled = compute.predict(compute.forward(inner), data.to_unit(x)).astype("float64")
    numpy.testing.assert_allclose(scaled.mean((0, 1, 2)), 0, atol=1e-4)
    numpy.testing.assert_allclose(scaled.std((0, 1, 2)), 1, atol=1e-4)


def test_the_preprocessing_layer_subtracts_the_mean_image_and_adds_no_parameters():
    x = numpy.random.default_rng(0).integers(0, 256, (20, 28, 28, 1), dtype="uint8")
    statistics = data.statistics(x)
    plain = models.build("alexnet", (28, 28, 1), 10, width=0.05)
    model = models.build("alexnet", (28, 28, 1), 10, preprocessing=statistics, width=0.05)
    model.set_weights(plain.get_weights())
    shifted = compute.predict(lambda x: plain(x, training=False), data.to_unit(x) - statistics.mean_image)
    numpy.testing.assert_allclose(compute.predict(compute.forward(model), data.to_unit(x)), shifted, atol=1e-5)


def test_inference_does_not_depend_on_the_batch_size():
    model = models.build("alexnet", (28, 28, 1), 10, width=0.1)
    x = numpy.random.default_rng(0).random((37, 28, 28, 1), "float32")
    whole = compute.predict(compute.forward(model), x, batch_size=37)
    for size in (1, 5, 32):
        numpy.testing.assert_allclose(compute.predict(compute.forward(model), x, batch_size=size), whole, atol=1e-5)


def test_an_unknown_model_names_the_nearest():
    with pytest.raises(ValueError, match="did you mean alexnet.*valid names"):
        models.build("alexnett", (28, 28, 1), 10)


def test_too_small_an_image_is_refused():
    with pytest.raises(ValueError, match="at least 23x23"):
        models.build("alexnet", (8, 8, 1), 10)


def foreign(final):
    inputs = keras.Input((6, 6, 1))
    x = keras.layers.Flatten()(inputs)
    if final == "activation":
        return keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(x))
    return keras.Model(inputs, keras.layers.Softmax()(keras.layers.Dense(3)(x)))


@pytest.mark.parametrize("final", ["activation", "layer"])
@pytest.mark.parametrize("ending", [".keras", ".h5"])
def test_a_foreign_softmax_model_becomes_logits(tmp_path, final, ending):
    model = foreign(final)
    model.save(tmp_path / f"model{ending}")
    x = numpy.random.default_rng(0).random((5, 6, 6, 1), "float32")
    logits = compute.predict(compute.forward(models.load(tmp_path / f"model{ending}")), x)
    numpy.testing.assert_allclose(
        numpy.asarray(keras.ops.softmax(logits)), compute.predict(compute.forward(model), x), atol=1e-6
    )
    assert abs(logits.sum(1) - 1).min() > 1e-3


def test_a_sequential_model_is_made_functional(tmp_path):
    model = keras.Sequential(
        [keras.Input((6, 6, 1)), keras.layers.Flatten(), keras.layers.Dense(3, activation="softmax")]
    )
    model.save(tmp_path / "model.keras")
    loaded = models.load(tmp_path / "model.keras")
    assert loaded.output_shape == (None, 3)
    assert loaded.layers[-1].activation is keras.activations.linear


@pytest.mark.parametrize("content", [b"", b"no model at all", b"PK\x03\x04 cut"])
@pytest.mark.parametrize("ending", [".keras", ".h5"])
def test_a_damaged_model_file_is_named(tmp_path, content, ending):
    path = tmp_path / f"model{ending}"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="not a whole Keras model"):
        models.load(path)


def test_a_missing_model_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such model"):
        models.load(tmp_path / "absent.keras")


def test_the_fingerprint_follows_the_weights(small_net):
    before = models.fingerprint(small_net)
    weights = small_net.get_weights()
    weights[0] = weights[0] + 1e-6
    small_net.set_weights(weights)
    assert models.fingerprint(small_net) != before


def test_the_input_gradient_is_that_of_finite_differences():
    inputs = keras.Input((3, 3, 1))
    model = keras.Model(inputs, keras.layers.Dense(2)(keras.layers.Flatten()(inputs)))
    x = numpy.random.default_rng(0).random((2, 3, 3, 1), "float32")
    weight = numpy.asarray(model.layers[-1].kernel)
    gradient = numpy.asarray(
        compute.input_gradient(model, lambda logits, y: logits[:, 0] * y)(x, numpy.float32([1, 2]))
    )
    expected = numpy.stack([weight[:, 0], 2 * weight[:, 0]]).reshape(2, 3, 3, 1)
    numpy.testing.assert_allclose(gradient, expected, rtol=1e-6)


def test_forward_passes_leave_batch_norm_statistics_alone(small_net, images):
    before = [numpy.array(weight) for weight in small_net.get_weights()]
    compute.predict(compute.forward(small_net), data.to_unit(images[0]))
    for old, new in zip(before, small_net.get_weights(), strict=True):
        numpy.testing.assert_array_equal(old, new)
