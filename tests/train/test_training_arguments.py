"""Recipes, set-ups and arguments with which a training would fail in its middle: refused before it begins."""

import dataclasses

import keras
import numpy
import pytest

import data
from adv import adversarial_set, finetune_adv
from adv.guided import retraining
from train import params, robust
from train.fit import fit

RECIPE = params.Recipe(learning_rates=(0.05, 0.01), milestones=(0.5,), batch_size=8, shift=0.1, fill="constant")
SETUP = dataclasses.replace(robust.SETUPS["standard"], batch_size=16, learning_rate=0.02, epsilon=0.05)
PROBE = robust.Probe(images=4, steps=1)


def fit_robustly(model, split, path, **changes):
    settings = {"method": robust.METHODS["fgsm-rs"], "setup": SETUP, "probe": PROBE, "seed": 0, "epochs": 1}
    return robust.fit(model, split, history=path, **{**settings, **changes})


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"milestones": ()}, "2 learning_rates for 0 milestones, expected one more"),
        ({"learning_rates": (0.05,)}, "1 learning_rates for 1 milestones"),
        ({"learning_rates": (0.05, float("nan"))}, "learning_rates is .* expected finite"),
        ({"learning_rates": (0.05, -1)}, "learning_rates is .* expected finite, at least 0"),
        ({"momentum": 2}, "momentum is 2, expected a number from 0 to 1"),
        ({"shift": -0.1}, "shift is -0.1"),
        ({"fill": "reflect"}, "fill is 'reflect', expected one of constant, nearest"),
        ({"epochs": 2.5}, "epochs is 2.5, expected a whole number"),
    ],
)
def test_a_recipe_that_would_fail_later_is_refused(changes, sentence):
    with pytest.raises(ValueError, match=sentence):
        dataclasses.replace(RECIPE, **changes)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"epochs": 1.5}, "epochs is 1.5; expected a whole number"),
        ({"epochs": "2"}, "epochs is '2'; expected a whole number"),
        ({"seed": None}, "seed is None, expected a whole number"),
        ({"seed": 0.5}, "seed is 0.5"),
        ({"targets": numpy.zeros((3, 3))}, "3 targets for .* images of x_train"),
    ],
)
def test_arguments_of_a_training_are_refused_before_a_history_is_begun(changes, sentence, tmp_path, small_net, split):
    with pytest.raises(ValueError, match=sentence):
        fit(small_net, split, **{"recipe": RECIPE, "history": tmp_path, "seed": 0, "epochs": 1, **changes})
    assert not list(tmp_path.iterdir())


def test_a_seed_may_be_a_number_of_numpy(tmp_path, small_net, split):
    recorded = fit(small_net, split, recipe=RECIPE, history=tmp_path, seed=numpy.int64(3), epochs=numpy.int32(1))
    assert (recorded.origin["seed"], recorded.origin["epochs"]) == (3, 1)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"factors": (0.1,)}, "1 factors for 2 milestones, expected one for each"),
        ({"cyclic": True, "milestones": (1.0,)}, "milestones are .*, expected the peak"),
        ({"knots": ((0, 1), (0.5, 0.1))}, "the knots lie at .*, expected fractions of the run that rise from 0 to 1"),
        ({"cyclic": True, "milestones": ()}, "milestones are .*, expected the peak"),
        ({"epsilon": 8}, "epsilon is 8, expected a number from 0 to 1"),
        ({"epsilon": float("nan")}, "epsilon is nan"),
        ({"learning_rate": 0}, "learning_rate is 0, expected a number above 0"),
        ({"learning_rate": -1.0}, "learning_rate is -1.0"),
        ({"momentum": 1.5}, "momentum is 1.5"),
        ({"crop": -0.1}, "crop is -0.1"),
        ({"batch_size": 0}, "batch_size is 0, expected a whole number"),
    ],
)
def test_a_set_up_that_would_fail_later_is_refused(changes, sentence):
    with pytest.raises(ValueError, match=sentence):
        dataclasses.replace(SETUP, **changes)


@pytest.mark.parametrize("name", ["images", "steps", "batch_size"])
def test_a_probe_measures_something(name):
    for value in (0, 1.5):
        with pytest.raises(ValueError, match=f"{name} is {value}, expected a whole number of at least 1"):
            dataclasses.replace(PROBE, **{name: value})


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"epochs": 1.5}, "epochs=1.5 and budget=None: expected one of the two"),
        ({"epochs": None, "budget": float("inf")}, "budget=inf: expected one of the two"),
        ({"epochs": None, "budget": float("nan")}, "budget=nan: expected one of the two"),
        ({"seed": None}, "seed is None, expected a whole number"),
    ],
)
def test_arguments_are_refused_before_a_history_is_begun(changes, sentence, split, tmp_path, small_net):
    with pytest.raises(ValueError, match=sentence):
        fit_robustly(small_net, split, tmp_path, **changes)
    assert not list(tmp_path.iterdir())


def test_the_whole_range_may_be_the_radius(split, tmp_path, small_net):
    setup = dataclasses.replace(SETUP, epsilon=1)
    assert fit_robustly(small_net, split, tmp_path, setup=setup).last == 1


@pytest.mark.parametrize("train", ["standard", "robust"])
def test_probabilities_that_the_graph_does_not_show_are_refused_before_a_training(train, small_net, split, tmp_path):
    """As logits of another softmax they would train, with almost no gradient."""
    hidden = keras.Model(small_net.inputs, keras.layers.Lambda(keras.ops.softmax)(small_net.outputs[0]))
    with pytest.raises(ValueError, match="outputs are probabilities .rows of numbers"):
        if train == "standard":
            fit(hidden, split, recipe=RECIPE, history=tmp_path, seed=0, epochs=1)
        else:
            fit_robustly(hidden, split, tmp_path)
    assert not list(tmp_path.iterdir())


def test_fine_tuning_refuses_what_a_training_refuses(small_net, split):
    x, y = data.to_unit(split.x_train), split.y_train
    softmax = keras.Model(small_net.inputs, keras.layers.Softmax()(small_net.outputs[0]))
    for model, images, labels, sentence in (
        (small_net, x, y + 3, "labels range from 3"),
        (small_net, 255 * x, y, "pixels range from"),
        (small_net, x[:0], y[:0], "with N at least 1"),
        (softmax, x, y, "outputs are probabilities"),
    ):
        part = adversarial_set.Part(images, labels, numpy.arange(len(labels)))
        with pytest.raises(ValueError, match=sentence):
            finetune_adv.finetune_adv(model, part, settings=finetune_adv.AdversarialFineTuning(epochs=1), seed=0)
        with pytest.raises(ValueError, match=sentence):
            recipe = retraining.Recipe(epochs=1)
            retraining.fit(model, model.get_weights(), images, labels, recipe=recipe, seed=0)
