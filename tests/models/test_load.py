"""Classifiers as people save them, loaded as flat models of logits."""

import json

import keras
import numpy
import pytest

import models
from dare import nnslicer, transform
from models import contract, flat

L, ops = keras.layers, keras.ops


def sequential(nets, *layers, activation=None):
    last = L.Dense(nets.classes, activation=activation)
    return keras.Sequential([nets.start(), L.Conv2D(3, 3, activation="relu"), L.Flatten(), last, *layers])


def nested(nets, activation="softmax", wrap=lambda x: x):
    inputs = nets.start()
    inner = keras.Model(inputs, nets.body(inputs, activation=activation), name="inner")
    outer = nets.start()
    return keras.Model(outer, wrap(inner(L.Rescaling(1.0)(outer))))


def of_base(nets, base):
    """A base of its own with batch norm and dropout, and a head, as after transfer learning; `base` wraps it."""
    features = base([nets.start(), L.Conv2D(3, 3, name="conv"), L.BatchNormalization(name="bn"), L.ReLU()], name="base")
    features.trainable = False
    return keras.Sequential(
        [nets.start(), features, L.Flatten(), L.Dropout(0.5), L.Dense(nets.classes, activation="softmax", name="conv")]
    )


def as_functional(layers, name):
    x = inputs = layers[0]
    for layer in layers[1:]:
        x = layer(x)
    return keras.Model(inputs, x, name=name)


def twice(nets):
    """Nested twice, and one submodel used at two places."""
    inputs = nets.start()
    leg = keras.Model(inputs, L.Conv2D(2, 3, activation="relu")(inputs), name="leg")
    middle = nets.start()
    both = keras.Model(middle, L.Add()([leg(middle), leg(L.Rescaling(0.5)(middle))]), name="both")
    outer = nets.start()
    return keras.Model(outer, L.Dense(nets.classes, activation="softmax")(L.Flatten()(both(outer))))


def adapted(nets):
    """An adapted Normalization layer: it computes with constants that follow from its weights."""
    layer = L.Normalization()
    layer.adapt(numpy.random.default_rng(1).random((20, *nets.shape), "float32"))
    return keras.Sequential([nets.start(), layer, nested(nets)])


def one_by_one(nets):
    """Fully convolutional: the softmax is of maps of 1x1."""
    inputs = nets.start()
    x = L.Conv2D(nets.classes, nets.shape[:2], activation="softmax")(inputs)
    return keras.Model(inputs, L.Reshape((nets.classes,))(x))


def mixed(nets):
    """bfloat16 inside, and a softmax in float32 on top, as Keras's guide to mixed precision has it."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        return nets.functional(L.Activation("softmax", dtype="float32"))
    finally:
        keras.config.set_dtype_policy(before)


SOFTMAX = {
    "activation": lambda nets: nets.functional(activation="softmax"),
    "layer": lambda nets: nets.functional(L.Softmax()),
    "activation layer": lambda nets: nets.functional(L.Activation("softmax")),
    "op": lambda nets: nets.functional(ops.softmax),
    "activation of Keras": lambda nets: nets.functional(keras.activations.softmax),
    "reshape after": lambda nets: nets.functional(
        L.Reshape((1, nets.classes)), L.Softmax(), L.Reshape((nets.classes,))
    ),
    "dropout after": lambda nets: nets.functional(L.Dropout(0.5), activation="softmax"),
    "linear after": lambda nets: nets.functional(L.Activation("linear"), activation="softmax"),
    "identity after": lambda nets: nets.functional(L.Softmax(), L.Identity(), L.Flatten()),
    "rescaling by 1 after": lambda nets: nets.functional(L.Softmax(), L.Rescaling(1.0)),
    "cast after": lambda nets: nets.functional(L.Softmax(), lambda x: ops.cast(x, "float32")),
    "sequential": lambda nets: sequential(nets, activation="softmax"),
    "sequential layer": lambda nets: sequential(nets, L.Softmax()),
    "nested functional": nested,
    "nested in sequential": lambda nets: keras.Sequential([nets.start(), L.Rescaling(1.0), nested(nets)]),
    "softmax around nested": lambda nets: nested(nets, activation=None, wrap=L.Softmax()),
    "base of sequential": lambda nets: of_base(nets, keras.Sequential),
    "base of functional": lambda nets: of_base(nets, as_functional),
    "nested twice": twice,
    "adapted": adapted,
    "1x1 maps": one_by_one,
    "mixed precision": mixed,
    "fixed batch": lambda nets: keras.Model(
        inputs := keras.Input(batch_shape=(5, *nets.shape)), nets.body(inputs, activation="softmax")
    ),
}
OPS = ("cast after",)  # which an .h5 file does not keep


@pytest.mark.parametrize(
    ("form", "ending"), [(f, e) for f in SOFTMAX for e in (".keras", ".h5") if not (f in OPS and e == ".h5")]
)
@pytest.mark.filterwarnings("ignore")
def test_a_softmax_wherever_it_stands_is_taken_off(nets, tmp_path, form, ending):
    model = nets.shaken(SOFTMAX[form](nets))
    path = tmp_path / f"model{ending}"
    model.save(path)
    loaded = models.load(path)
    x = nets.images()
    logits, outputs = nets.of(loaded, x), nets.of(model, x)
    numpy.testing.assert_allclose(nets.of(keras.Sequential([L.Softmax()]), logits), outputs, atol=2e-6)
    assert abs(logits.sum(axis=1) - 1).min() > 1e-3
    assert (loaded.input_shape, loaded.output_shape) == ((None, *nets.shape), (None, nets.classes))
    assert not [layer for layer in loaded.layers if flat.function(layer)]
    names = [layer.name for layer in loaded.layers]
    assert len({*names}) == len(names)
    contract.check(loaded, x, numpy.arange(5) % nets.classes)


def test_a_model_that_ends_in_logits_comes_back_as_it_is(nets):
    for model in (nets.functional(), sequential(nets)):
        opened = models.to_logits(model)
        assert [*opened.layers] == [*flat.function(model).layers]
        assert flat.function(opened) is opened


def test_an_opened_model_keeps_what_is_frozen_and_names_that_meet(nets):
    loaded = models.to_logits(of_base(nets, keras.Sequential))
    assert [layer.name for layer in loaded.layers if layer.weights] == ["conv", "bn", "conv_1"]
    assert [layer.trainable for layer in loaded.layers if layer.weights] == [False, False, True]
    assert loaded.get_layer("conv_1").activation is keras.activations.linear


def test_the_original_is_left_alone(nets):
    model = nets.shaken(nested(nets))
    x = nets.images()
    before, weights = nets.of(model, x), model.get_weights()
    opened = models.to_logits(model)
    opened.set_weights([0 * weight for weight in opened.get_weights()])
    numpy.testing.assert_array_equal(nets.of(model, x), before)
    for copied, other in zip(model.get_weights(), weights, strict=True):
        numpy.testing.assert_array_equal(copied, other)


@pytest.mark.parametrize(
    "make",
    [
        lambda nets: nets.functional(activation="sigmoid"),
        lambda nets: nets.functional(L.Activation("sigmoid")),
        lambda nets: nets.functional(ops.sigmoid, L.Dropout(0.1)),
        lambda nets: keras.Sequential([nets.start(), nested(nets, "sigmoid")]),
    ],
)
def test_a_sigmoid_a_class_is_taken_off(nets, tmp_path, make):
    model = nets.shaken(make(nets))
    model.save(tmp_path / "model.keras")
    logits = nets.of(models.load(tmp_path / "model.keras"), nets.images())
    numpy.testing.assert_allclose(
        1 / (1 + numpy.exp(-logits.astype("float64"))), nets.of(model, nets.images()), atol=2e-6
    )
    assert (numpy.abs(logits) > 1).any()


def test_a_base_of_keras_is_opened(nets):
    """MobileNetV2 inside a Sequential: branches, batch norm, relu6, and one name that meets another."""
    base = keras.applications.MobileNetV2(input_shape=(32, 32, 3), alpha=0.35, include_top=False, weights=None)
    model = keras.Sequential(
        [keras.Input((32, 32, 3)), L.Rescaling(2.0, offset=-1.0), base, L.GlobalAveragePooling2D(), L.Dense(5)]
    )
    opened = models.to_logits(model)
    x = numpy.random.default_rng(0).random((3, 32, 32, 3), "float32")
    numpy.testing.assert_allclose(nets.of(opened, x), nets.of(model, x), atol=1e-5)
    assert transform.regression_layer(opened) == "out_relu"
    assert json.loads(opened.to_json())["config"]["name"] == model.name


def test_hidden_layers_are_named_by_who_needs_them(nets):
    model = nested(nets, activation=None)
    for reads in (transform.transform, lambda model: nnslicer.slice_model(model, nets.images(), numpy.zeros(5, int))):
        with pytest.raises(ValueError, match="holds the model 'inner', which hides its layers: models.to_logits"):
            reads(model)
    opened = models.to_logits(model)
    assert transform.regression_layer(opened) == opened.layers[2].name
    nnslicer.slice_model(opened, nets.images(8), numpy.arange(8) % nets.classes)
