"""Models that do not classify images, or return probabilities, are refused in a sentence."""

import keras
import pytest

import models
from models import contract

L, ops = keras.layers, keras.ops


def two(nets, join):
    inputs = nets.start()
    return keras.Model(inputs, join([nets.body(inputs, activation="softmax"), nets.body(inputs, activation="softmax")]))


PROBABILITIES = {
    "mean of two": lambda nets: two(nets, L.Average()),
    "mean of two by hand": lambda nets: two(nets, lambda pair: (pair[0] + pair[1]) / 2),
    "mean of a stack": lambda nets: two(nets, lambda pair: ops.mean(ops.stack(pair), axis=0)),
    "sum of two": lambda nets: two(nets, L.Add()),
    "weighted": lambda nets: two(nets, lambda pair: 0.7 * pair[0] + 0.3 * pair[1]),
    "clipped": lambda nets: nets.functional(lambda x: ops.clip(x, 1e-7, 1), activation="softmax"),
    "two softmaxes": lambda nets: nets.functional(L.Softmax(), activation="softmax"),
    "softmax of a sigmoid": lambda nets: nets.functional(L.Softmax(), activation="sigmoid"),
    "mean over places": lambda nets: keras.Model(
        i := nets.start(), L.GlobalAveragePooling2D()(L.Conv2D(nets.classes, 3, activation="softmax")(i))
    ),
    "two groups": lambda nets: nets.functional(L.Reshape((2, 2)), L.Softmax(), L.Flatten()),
    "hard sigmoid": lambda nets: nets.functional(activation="hard_sigmoid"),
}


@pytest.mark.parametrize("form", PROBABILITIES)
def test_probabilities_that_stay_are_refused_at_both_doors(nets, form):
    model = PROBABILITIES[form](nets)
    with pytest.raises(ValueError, match="functional.* puts out probabilities, .*(softmax|sigmoid) of '") as caught:
        models.to_logits(model)
    assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match="outputs are probabilities"):
        contract.check(model, nets.images())


@pytest.mark.parametrize(
    "layer",
    [
        lambda x: ops.log(x),
        lambda x: L.Multiply()([x, L.Dense(x.shape[-1])(x)]),
        lambda x: L.Dense(x.shape[-1])(x),
        lambda x: 10 * x - 5,
        L.BatchNormalization(),
    ],
)
def test_logits_made_of_probabilities_are_logits(nets, layer):
    model = nets.functional(layer, activation="softmax")
    assert models.to_logits(model).outputs[0] is model.outputs[0]
    contract.check(model, nets.images())


@keras.saving.register_keras_serializable("tests")
class Subclassed(keras.Model):
    def __init__(self, **options):
        super().__init__(**options)
        self.dense = L.Dense(3)

    def call(self, x):
        return self.dense(ops.reshape(x, (-1, 36)))


def subclassed(nets):
    model = Subclassed()
    model(nets.images())
    return model


def inputs_and_outputs(nets):
    first, other = nets.start(), nets.start()
    x = nets.body(L.Add()([first, other]))
    return keras.Model([first, other], x)


REFUSED = {
    "subclassed": (subclassed, "is a subclassed model .Subclassed., whose layers cannot be read off"),
    "not built": (
        lambda nets: keras.Sequential([L.Flatten(), L.Dense(3)]),
        "that is not built: begin it with keras.Input",
    ),
    "two inputs": (inputs_and_outputs, "has 2 inputs and 1 outputs, expected one of each"),
    "one output": (
        lambda nets: nets.functional(activation="sigmoid", units=1),
        r"puts out \(N, 1\), expected logits \(N, K\)",
    ),
    "maps": (
        lambda nets: keras.Model(i := nets.start(), L.Conv2D(3, 3)(i)),
        r"puts out \(N, 4, 4, 3\), expected logits",
    ),
    "vectors": (
        lambda nets: keras.Model(i := keras.Input((784,)), L.Dense(3)(i)),
        r"takes \(N, 784\), expected images",
    ),
    "no model": (lambda nets: 3, "the model is a int, expected a Keras model"),
}


@pytest.mark.parametrize("form", REFUSED)
def test_what_is_no_classifier_of_images_is_refused_everywhere(nets, form):
    make, sentence = REFUSED[form]
    for door in (models.to_logits, lambda model: contract.check(model, nets.images())):
        with pytest.raises(ValueError, match=sentence) as caught:
            door(make(nets))
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("ending", [".keras", ".h5"])
def test_a_subclassed_model_in_a_file_is_named_with_the_file(nets, tmp_path, ending):
    model = subclassed(nets) if ending == ".keras" else keras.Sequential([L.Flatten(), L.Dense(3)])
    model.save(tmp_path / f"model{ending}")
    with pytest.raises(ValueError, match=rf"model{ending}: .*(subclassed|not built)"):
        models.load(tmp_path / f"model{ending}")
