"""The fingerprint depends on architecture, constants and weights, and not on how a model was created."""

import os
import pathlib
import subprocess
import sys

import keras
import numpy
import pytest

import data
import models
from train.history import History

L = keras.layers
SHAPE = (6, 6, 2)


def build(seed=0, mean=0.4, activation="relu", rate=0.5, names=(None, None), layer=None, padding="valid"):
    """A net of seeded weights; names: of its two layers with weights."""
    inputs = keras.Input(SHAPE)
    x = L.Normalization(axis=(1, 2, 3), mean=numpy.full(SHAPE, mean, "float32"), variance=numpy.ones(SHAPE))(inputs)
    x = L.Conv2D(3, 3, activation=activation, padding=padding, name=names[0])(x)
    x = L.BatchNormalization()(x / 2.0)
    x = L.Dropout(rate)(L.Flatten()(x if layer is None else layer(x)))
    return seeded(keras.Model(inputs, L.Dense(4, name=names[1])(x)), seed)


def seeded(model, seed):
    generator = numpy.random.default_rng(seed)
    model.set_weights([generator.random(weight.shape, "float32") for weight in model.get_weights()])
    return model


def test_what_does_not_decide_an_answer_changes_nothing():
    first = models.fingerprint(build())
    inputs = keras.Input(SHAPE)
    L.Dense(1)(L.Flatten()(inputs))  # names count on
    same = build(names=("mine", "logits"))
    same.layers[2].trainable = False
    same.compile("adam", "mse")
    assert models.fingerprint(same) == models.fingerprint(build()) == first


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"mean": 0.40001},
        {"activation": "elu"},
        {"layer": L.ReLU()},
        {"layer": L.LeakyReLU(0.1)},
        {"rate": 0.25},
        {"layer": lambda x: x + 1e-3},
    ],
)
def test_what_decides_an_answer_changes_it(change):
    assert models.fingerprint(build(**change)) != models.fingerprint(build())


def test_one_weight_and_the_order_of_branches_change_it():
    model = build()
    before, weights = models.fingerprint(model), model.get_weights()
    weights[-1][2] = numpy.nextafter(weights[-1][2], 2)
    model.set_weights(weights)
    assert models.fingerprint(model) != before

    def branches(swap):
        inputs = keras.Input(SHAPE)
        linear, other = L.Conv2D(2, 3)(inputs), L.Conv2D(2, 3, activation="relu")(inputs)
        x = L.Subtract()([other, linear] if swap else [linear, other])
        return seeded(keras.Model(inputs, L.Dense(2)(L.Flatten()(x))), 0)

    assert models.fingerprint(branches(False)) == models.fingerprint(branches(False))
    assert models.fingerprint(branches(False)) != models.fingerprint(branches(True))


def test_two_mean_images_are_two_models():
    x = numpy.random.default_rng(0).integers(0, 256, (20, 28, 28, 1), dtype="uint8")
    nets = [models.build("alexnet@0.03", (28, 28, 1), 10, data.statistics(part)) for part in (x[:10], x[10:])]
    nets[1].set_weights(nets[0].get_weights())
    assert models.fingerprint(nets[0]) != models.fingerprint(nets[1])


def opened_base():
    inputs = keras.Input(SHAPE)
    base = keras.Sequential([keras.Input(SHAPE), L.Conv2D(3, 3), L.BatchNormalization()])
    return keras.Model(inputs, L.Dense(4)(L.Flatten()(L.Add()([base(inputs), base(inputs)]))))


@pytest.mark.parametrize(
    "make",
    [build, lambda: models.build("resnet18@0.05", (32, 32, 3), 5), lambda: seeded(opened_base(), 0)],
    ids=["constants", "branches", "a model inside"],
)
@pytest.mark.filterwarnings("ignore")
def test_files_keep_it(tmp_path, make):
    model = make()
    expected = models.fingerprint(model)
    for ending in (".keras", ".h5")[: 1 if make is build else 2]:  # an .h5 file keeps no op
        model.save(tmp_path / f"model{ending}")
        assert models.fingerprint(models.load(tmp_path / f"model{ending}")) == expected
    again = keras.models.model_from_json(model.to_json())
    again.set_weights(model.get_weights())
    assert models.fingerprint(again) == expected
    history = History(tmp_path / "history")
    history.save(model, 1, numpy.zeros(3), numpy.zeros(3))
    assert models.fingerprint(history.final_model()) == expected
    assert models.fingerprint(models.to_logits(model)) == expected  # models inside it opened


def test_another_process_and_the_other_backend_have_the_same():
    other = {"tensorflow": "jax", "jax": "tensorflow"}[keras.backend.backend()]
    root = pathlib.Path(__file__).resolve().parents[2]
    script = "import models; from tests.models.test_fingerprint import build; print(models.fingerprint(build()))"
    completed = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "KERAS_BACKEND": other, "PYTHONPATH": str(root)},
        cwd=root,
        capture_output=True,
        text=True,
    )
    assert completed.stdout.strip() == models.fingerprint(build()), completed.stderr


def test_a_subclassed_model_has_one_too():
    class Net(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = L.Dense(2)

        def call(self, x):
            return self.dense(x)

    nets = []
    for seed in (0, 0, 1):
        net = Net()
        net(numpy.zeros((1, 3), "float32"))
        nets.append(models.fingerprint(seeded(net, seed)))
    assert nets[0] == nets[1] != nets[2]
