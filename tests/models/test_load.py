"""Classifiers as people save them: read as one flat model of logits, or refused in one sentence."""

import json
import zipfile

import keras
import numpy
import pytest

import models
from dare import nnslicer, transform
from models import compute, contract, flat

L, ops = keras.layers, keras.ops
SHAPE, CLASSES = (6, 6, 1), 4


def start():
    return keras.Input(SHAPE)


def body(x, **options):
    """A convolution and a last dense layer."""
    x = L.Conv2D(3, 3, activation="relu")(x)
    return L.Dense(options.pop("units", CLASSES), **options)(L.Flatten()(x))


def functional(*layers, activation=None, units=CLASSES):
    """body, then layers or functions of its output."""
    inputs = start()
    x = body(inputs, activation=activation, units=units)
    for layer in layers:
        x = layer(x)
    return keras.Model(inputs, x)


def sequential(*layers, activation=None):
    return keras.Sequential(
        [start(), L.Conv2D(3, 3, activation="relu"), L.Flatten(), L.Dense(CLASSES, activation=activation), *layers]
    )


def nested(activation="softmax", wrap=lambda x: x):
    inputs = start()
    inner = keras.Model(inputs, body(inputs, activation=activation), name="inner")
    outer = start()
    return keras.Model(outer, wrap(inner(L.Rescaling(1.0)(outer))))


def of_base(base):
    """A base of its own with batch norm and dropout, and a head, as after transfer learning; `base` wraps it."""
    features = base([start(), L.Conv2D(3, 3, name="conv"), L.BatchNormalization(name="bn"), L.ReLU()], name="base")
    features.trainable = False
    return keras.Sequential(
        [start(), features, L.Flatten(), L.Dropout(0.5), L.Dense(CLASSES, activation="softmax", name="conv")]
    )


def as_functional(layers, name):
    x = inputs = layers[0]
    for layer in layers[1:]:
        x = layer(x)
    return keras.Model(inputs, x, name=name)


def twice():
    """Nested twice, and one submodel used at two places."""
    inputs = start()
    leg = keras.Model(inputs, L.Conv2D(2, 3, activation="relu")(inputs), name="leg")
    middle = start()
    both = keras.Model(middle, L.Add()([leg(middle), leg(L.Rescaling(0.5)(middle))]), name="both")
    outer = start()
    return keras.Model(outer, L.Dense(CLASSES, activation="softmax")(L.Flatten()(both(outer))))


def adapted():
    """Normalization that looked at images: it computes with constants that follow its weights."""
    layer = L.Normalization()
    layer.adapt(numpy.random.default_rng(1).random((20, *SHAPE), "float32"))
    return keras.Sequential([start(), layer, nested()])


def one_by_one():
    """Fully convolutional: the softmax is of maps of 1x1."""
    inputs = start()
    x = L.Conv2D(CLASSES, SHAPE[:2], activation="softmax")(inputs)
    return keras.Model(inputs, L.Reshape((CLASSES,))(x))


def mixed():
    """bfloat16 inside, and a softmax in float32 on top, as Keras's guide to mixed precision has it."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        return functional(L.Activation("softmax", dtype="float32"))
    finally:
        keras.config.set_dtype_policy(before)


SOFTMAX = {
    "activation": lambda: functional(activation="softmax"),
    "layer": lambda: functional(L.Softmax()),
    "activation layer": lambda: functional(L.Activation("softmax")),
    "op": lambda: functional(ops.softmax),
    "activation of Keras": lambda: functional(keras.activations.softmax),
    "reshape after": lambda: functional(L.Reshape((1, CLASSES)), L.Softmax(), L.Reshape((CLASSES,))),
    "dropout after": lambda: functional(L.Dropout(0.5), activation="softmax"),
    "linear after": lambda: functional(L.Activation("linear"), activation="softmax"),
    "identity after": lambda: functional(L.Softmax(), L.Identity(), L.Flatten()),
    "rescaling by 1 after": lambda: functional(L.Softmax(), L.Rescaling(1.0)),
    "cast after": lambda: functional(L.Softmax(), lambda x: ops.cast(x, "float32")),
    "sequential": lambda: sequential(activation="softmax"),
    "sequential layer": lambda: sequential(L.Softmax()),
    "nested functional": nested,
    "nested in sequential": lambda: keras.Sequential([start(), L.Rescaling(1.0), nested()]),
    "softmax around nested": lambda: nested(activation=None, wrap=L.Softmax()),
    "base of sequential": lambda: of_base(keras.Sequential),
    "base of functional": lambda: of_base(as_functional),
    "nested twice": twice,
    "adapted": adapted,
    "1x1 maps": one_by_one,
    "mixed precision": mixed,
    "fixed batch": lambda: keras.Model(
        inputs := keras.Input(batch_shape=(5, *SHAPE)), body(inputs, activation="softmax")
    ),
}


def images(count=5):
    return numpy.random.default_rng(0).random((count, *SHAPE), "float32")


def shaken(model):
    """The model with weights that are no defaults: batch norm's and biases too."""
    generator = numpy.random.default_rng(2)
    for variable in model.variables:
        if "normalization" not in variable.path and "seed" not in variable.path:
            variable.assign(generator.uniform(0.2, 1.0, variable.shape) * generator.choice([-1, 1], variable.shape))
    for layer in flat.calls(model)[0]:
        if isinstance(layer.operation, L.BatchNormalization):
            layer.operation.moving_variance.assign(generator.uniform(0.5, 2, layer.operation.moving_variance.shape))
    return model


def of(model, x):
    return compute.predict(lambda batch: model(batch, training=False), x)


OPS = ("cast after", "by 255 as an op")  # which an .h5 file does not keep


@pytest.mark.parametrize(
    ("form", "ending"), [(f, e) for f in SOFTMAX for e in (".keras", ".h5") if not (f in OPS and e == ".h5")]
)
@pytest.mark.filterwarnings("ignore")
def test_a_softmax_wherever_it_stands_is_taken_off(tmp_path, form, ending):
    model = shaken(SOFTMAX[form]())
    path = tmp_path / f"model{ending}"
    model.save(path)
    loaded = models.load(path)
    x = images()
    logits, outputs = of(loaded, x), of(model, x)
    numpy.testing.assert_allclose(of(keras.Sequential([L.Softmax()]), logits), outputs, atol=2e-6)
    assert abs(logits.sum(axis=1) - 1).min() > 1e-3
    assert (loaded.input_shape, loaded.output_shape) == ((None, *SHAPE), (None, CLASSES))
    assert not [layer for layer in loaded.layers if flat.function(layer)]
    names = [layer.name for layer in loaded.layers]
    assert len({*names}) == len(names)
    contract.check(loaded, x, numpy.arange(5) % CLASSES)


def test_a_model_that_ends_in_logits_comes_back_as_it_is():
    for make in (functional, sequential):
        model = make()
        found = models.to_logits(model)
        assert [*found.layers] == [*flat.function(model).layers]
        assert flat.function(found) is found


def test_an_opened_model_keeps_what_is_frozen_and_names_that_meet():
    loaded = models.to_logits(of_base(keras.Sequential))
    assert [layer.name for layer in loaded.layers if layer.weights] == ["conv", "bn", "conv_1"]
    assert [layer.trainable for layer in loaded.layers if layer.weights] == [False, False, True]
    assert loaded.get_layer("conv_1").activation is keras.activations.linear


def test_the_original_is_left_alone():
    model = shaken(nested())
    x = images()
    before, weights = of(model, x), model.get_weights()
    found = models.to_logits(model)
    found.set_weights([0 * weight for weight in found.get_weights()])
    numpy.testing.assert_array_equal(of(model, x), before)
    for one, other in zip(model.get_weights(), weights, strict=True):
        numpy.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    "make",
    [
        lambda: functional(activation="sigmoid"),
        lambda: functional(L.Activation("sigmoid")),
        lambda: functional(ops.sigmoid, L.Dropout(0.1)),
        lambda: keras.Sequential([start(), nested("sigmoid")]),
    ],
)
def test_a_sigmoid_a_class_is_taken_off(tmp_path, make):
    model = shaken(make())
    model.save(tmp_path / "model.keras")
    logits = of(models.load(tmp_path / "model.keras"), images())
    numpy.testing.assert_allclose(1 / (1 + numpy.exp(-logits.astype("float64"))), of(model, images()), atol=2e-6)
    assert (numpy.abs(logits) > 1).any()


def two(join):
    inputs = start()
    return keras.Model(inputs, join([body(inputs, activation="softmax"), body(inputs, activation="softmax")]))


PROBABILITIES = {
    "mean of two": lambda: two(L.Average()),
    "mean of two by hand": lambda: two(lambda pair: (pair[0] + pair[1]) / 2),
    "mean of a stack": lambda: two(lambda pair: ops.mean(ops.stack(pair), axis=0)),
    "sum of two": lambda: two(L.Add()),
    "weighted": lambda: two(lambda pair: 0.7 * pair[0] + 0.3 * pair[1]),
    "clipped": lambda: functional(lambda x: ops.clip(x, 1e-7, 1), activation="softmax"),
    "two softmaxes": lambda: functional(L.Softmax(), activation="softmax"),
    "softmax of a sigmoid": lambda: functional(L.Softmax(), activation="sigmoid"),
    "mean over places": lambda: keras.Model(
        i := start(), L.GlobalAveragePooling2D()(L.Conv2D(CLASSES, 3, activation="softmax")(i))
    ),
    "two groups": lambda: functional(L.Reshape((2, 2)), L.Softmax(), L.Flatten()),
    "hard sigmoid": lambda: functional(activation="hard_sigmoid"),
}


@pytest.mark.parametrize("form", PROBABILITIES)
def test_probabilities_that_stay_are_refused_at_both_doors(form):
    model = PROBABILITIES[form]()
    with pytest.raises(ValueError, match="functional.* puts out probabilities, .*(softmax|sigmoid) of '") as caught:
        models.to_logits(model)
    assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match="outputs are probabilities"):
        contract.check(model, images())


@pytest.mark.parametrize(
    "layer",
    [
        lambda x: ops.log(x),
        lambda x: L.Multiply()([x, L.Dense(CLASSES)(x)]),
        lambda x: L.Dense(CLASSES)(x),
        lambda x: 10 * x - 5,
        L.BatchNormalization(),
    ],
)
def test_logits_made_of_probabilities_are_logits(layer):
    model = functional(layer, activation="softmax")
    assert models.to_logits(model).outputs[0] is model.outputs[0]
    contract.check(model, images())


@keras.saving.register_keras_serializable("tests")
class Subclassed(keras.Model):
    def __init__(self, **options):
        super().__init__(**options)
        self.dense = L.Dense(CLASSES)

    def call(self, x):
        return self.dense(ops.reshape(x, (-1, 36)))


def subclassed():
    model = Subclassed()
    model(images())
    return model


def inputs_and_outputs():
    one, other = start(), start()
    x = body(L.Add()([one, other]))
    return keras.Model([one, other], x)


REFUSED = {
    "subclassed": (subclassed, "is a subclassed model .Subclassed., whose layers cannot be read off"),
    "not built": (lambda: keras.Sequential([L.Flatten(), L.Dense(3)]), "that is not built: begin it with keras.Input"),
    "two inputs": (inputs_and_outputs, "has 2 inputs and 1 outputs, expected one of each"),
    "one output": (lambda: functional(activation="sigmoid", units=1), r"puts out \(N, 1\), expected logits \(N, K\)"),
    "maps": (lambda: keras.Model(i := start(), L.Conv2D(3, 3)(i)), r"puts out \(N, 4, 4, 3\), expected logits"),
    "vectors": (lambda: keras.Model(i := keras.Input((784,)), L.Dense(3)(i)), r"takes \(N, 784\), expected images"),
    "no model": (lambda: 3, "the model is a int, expected a Keras model"),
}


@pytest.mark.parametrize("form", REFUSED)
def test_what_is_no_classifier_of_images_is_refused_everywhere(form):
    make, sentence = REFUSED[form]
    for door in (models.to_logits, lambda model: contract.check(model, images())):
        with pytest.raises(ValueError, match=sentence) as caught:
            door(make())
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("ending", [".keras", ".h5"])
def test_a_subclassed_model_in_a_file_is_named_with_the_file(tmp_path, ending):
    model = subclassed() if ending == ".keras" else keras.Sequential([L.Flatten(), L.Dense(3)])
    model.save(tmp_path / f"model{ending}")
    with pytest.raises(ValueError, match=rf"model{ending}: .*(subclassed|not built)"):
        models.load(tmp_path / f"model{ending}")


BY_255 = {
    "rescaling": lambda x: L.Rescaling(1 / 255)(x),
    "to -1 .. 1": lambda x: L.Rescaling(1 / 127.5, offset=-1)(x),
    "by 255 as an op": lambda x: x / 255.0,
    "times as an op": lambda x: x * (1 / 255),
    "normalization": lambda x: L.Normalization(mean=[120.0], variance=[3000.0])(x),
    "after a flip": lambda x: L.Rescaling(1 / 255)(L.RandomFlip()(L.ZeroPadding2D()(x))),
    "centred as an op": lambda x: (x - 127.5) / 127.5,
}


@pytest.mark.parametrize("form", BY_255)
def test_a_net_of_pixels_to_255_needs_its_scale(tmp_path, form):
    inputs = start()
    model = shaken(keras.Model(inputs, body(BY_255[form](inputs), activation="softmax")))
    path = tmp_path / "model.keras"
    model.save(path)
    for door in (models.load, lambda _: contract.check(model, images())):
        with pytest.raises(ValueError, match=r"in '.*', as if trained on pixels up to 255.*scale=255"):
            door(path)
    x = images()
    logits = of(models.load(path, scale=255), x)
    numpy.testing.assert_allclose(of(keras.Sequential([L.Softmax()]), logits), of(model, 255 * x), atol=1e-5)
    contract.check(models.load(path, scale=255), x)
    contract.check(models.load(path, scale=1), x)  # its owner knows better
    numpy.testing.assert_allclose(
        of(keras.Sequential([L.Softmax()]), of(models.load(path, scale=1), x)), of(model, x), atol=1e-5
    )


def test_batch_norm_of_large_pixels_and_whole_numbers_need_the_scale_too():
    inputs = start()
    model = keras.Model(inputs, body(L.BatchNormalization(name="first")(inputs)))
    contract.check(model, images())
    model.get_layer("first").moving_mean.assign([118.0])
    with pytest.raises(ValueError, match="subtracts means of up to 118 in 'first'"):
        contract.check(model, images())
    inputs = keras.Input(SHAPE, dtype="uint8")
    model = shaken(keras.Model(inputs, body(L.Rescaling(1 / 255)(inputs))))
    with pytest.raises(ValueError, match="takes uint8 pixels, as if trained on pixels up to 255"):
        models.to_logits(model)
    x = numpy.arange(72, dtype="uint8").reshape(2, *SHAPE)
    numpy.testing.assert_allclose(
        of(models.to_logits(model, scale=255), x / numpy.float32(255)), of(model, x), rtol=1e-5
    )


@pytest.mark.parametrize("scale", [0, -1, float("nan"), float("inf")])
def test_a_scale_that_is_none_is_refused(scale):
    with pytest.raises(ValueError, match="expected the largest pixel"):
        models.to_logits(functional(), scale=scale)


@pytest.mark.parametrize(
    "layer", [L.Rescaling(2.0, offset=-1.0), L.Rescaling(255.0), L.Normalization(mean=[0.5], variance=[0.1])]
)
def test_a_net_of_pixels_to_1_needs_none(layer):
    inputs = start()
    contract.check(keras.Model(inputs, body(layer(inputs))), images())


class Foreign(L.Layer):
    """A layer of the user's own, which nobody registered."""

    def call(self, x):
        return x


@pytest.mark.parametrize("ending", [".keras", ".h5"])
def test_a_class_of_the_user_s_own_is_named(tmp_path, ending):
    functional(Foreign()).save(tmp_path / f"model{ending}")
    with pytest.raises(ValueError, match=r"model\.\w+: needs Foreign, which Keras does not know") as caught:
        models.load(tmp_path / f"model{ending}")
    assert "\n" not in str(caught.value)


def test_code_in_a_file_is_named_and_not_run(tmp_path):
    functional(L.Lambda(lambda x: 2 * x)).save(tmp_path / "model.keras")
    with pytest.raises(ValueError, match="holds a Lambda layer, and code in a file is not run"):
        models.load(tmp_path / "model.keras")


@pytest.mark.parametrize("ending", [".keras", ".h5"])
@pytest.mark.parametrize("keep", [0, 100, 0.5, 0.9, 0.999])
def test_a_file_that_is_cut_is_named(tmp_path, ending, keep):
    path = tmp_path / f"model{ending}"
    functional().save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(keep * len(whole)) if isinstance(keep, float) else keep])
    with pytest.raises(ValueError, match=rf"model{ending}: not a whole Keras model.* cut") as caught:
        models.load(path)
    assert "\n" not in str(caught.value)


def test_a_byte_that_changed_is_named(tmp_path):
    path = tmp_path / "model.keras"
    functional().save(path)
    with zipfile.ZipFile(path) as archive:
        place = archive.getinfo("config.json").header_offset + 200
    content = bytearray(path.read_bytes())
    content[place] ^= 255
    path.write_bytes(content)
    with pytest.raises(ValueError, match="model.keras: not a whole Keras model"):
        models.load(path)


def test_weights_alone_are_named(tmp_path):
    functional().save_weights(tmp_path / "model.weights.h5")
    with pytest.raises(ValueError, match="model.weights.h5: not a whole Keras model but weights alone"):
        models.load(tmp_path / "model.weights.h5")


def test_a_base_of_keras_is_opened():
    """MobileNetV2 inside a Sequential: branches, batch norm, relu6, and one name that meets another."""
    base = keras.applications.MobileNetV2(input_shape=(32, 32, 3), alpha=0.35, include_top=False, weights=None)
    model = keras.Sequential(
        [keras.Input((32, 32, 3)), L.Rescaling(2.0, offset=-1.0), base, L.GlobalAveragePooling2D(), L.Dense(5)]
    )
    found = models.to_logits(model)
    x = numpy.random.default_rng(0).random((3, 32, 32, 3), "float32")
    numpy.testing.assert_allclose(of(found, x), of(model, x), atol=1e-5)
    assert transform.regression_layer(found) == "out_relu"
    assert json.loads(found.to_json())["config"]["name"] == model.name


def test_hidden_layers_are_named_by_who_needs_them():
    model = nested(activation=None)
    for reads in (transform.transform, lambda model: nnslicer.slice_model(model, images(), numpy.zeros(5, int))):
        with pytest.raises(ValueError, match="holds the model 'inner', which hides its layers: models.to_logits"):
            reads(model)
    found = models.to_logits(model)
    assert transform.regression_layer(found) == found.layers[2].name
    nnslicer.slice_model(found, images(8), numpy.arange(8) % CLASSES)
