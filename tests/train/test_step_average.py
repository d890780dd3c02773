"""The average after every training step: its numbers, that it changes nothing else, and that it resumes to the bit."""

import keras
import numpy
import pytest

import models
from train import checkpoints, step_average
from train.fit import fit
from train.history import History, confidence
from train.params import Recipe
from train.robust.average import Ema

RECIPE = Recipe(learning_rates=(0.05, 0.01), milestones=(0.5,), batch_size=8, shift=0.1, fill="constant")


def trained(model, split, path, **settings):
    return fit(model, split, recipe=RECIPE, history=path, seed=3, epochs=2, **settings)


def test_it_equals_a_loop_over_steps_and_leaves_the_training_as_it_was(tmp_path, small_net, split):
    start, seen = small_net.get_weights(), []
    whole = trained(
        small_net, split, tmp_path / "whole", average=Ema(), progress=lambda *_: seen.append(small_net.get_weights())
    )
    mean = [array.astype("float64") for array in start]
    for t, weights in enumerate(seen):
        tau = min(0.999, (t + 1) / (t + 10))
        mean = [tau * average + (1 - tau) * weight for average, weight in zip(mean, weights, strict=True)]
    averaged, steps = step_average.of_history(whole, len(start))
    assert steps == len(seen) == 6
    for average, expected in zip(averaged, mean, strict=True):
        numpy.testing.assert_allclose(average, expected, rtol=1e-5, atol=1e-6)
    final = models.fingerprint(small_net)

    class Killed(Exception):
        pass

    def kill(done, total, note):
        if done == 40:  # images: after two of the three steps of the second epoch
            raise Killed

    other = keras.models.clone_model(small_net)
    other.set_weights(start)
    with pytest.raises(Killed):
        trained(other, split, tmp_path / "cut", average=Ema(), progress=kill)
    cut = trained(keras.models.clone_model(small_net), split, tmp_path / "cut", average=Ema())
    resumed, steps = step_average.of_history(cut, len(start))
    assert steps == 6
    for average, expected in zip(resumed, averaged, strict=True):
        numpy.testing.assert_array_equal(average, expected)
    plain = keras.models.clone_model(small_net)
    plain.set_weights(start)
    history = trained(plain, split, tmp_path / "plain")
    assert models.fingerprint(plain) == final
    with pytest.raises(ValueError, match="kept no average .* train with 1_train.py --ema-step"):
        step_average.of_history(history, len(start))


def test_a_history_without_it_and_one_of_another_net_are_refused(tmp_path, small_net, images):
    x, y = images
    history, names = History(tmp_path / "history"), step_average.names(range(2))
    state = {"steps": numpy.int64(3), **dict.fromkeys(names, numpy.zeros(2, "float32"))}
    history.save(small_net, 1, *confidence(small_net, x, y), state=state)
    assert step_average.of_history(history, 2)[1] == 3
    with pytest.raises(ValueError, match="average-0002"):
        step_average.of_history(history, 3)
    folder = tmp_path / "own"
    folder.mkdir()
    small_net.save_weights(folder / "epoch-0001.weights.h5")
    with pytest.raises(ValueError, match="--ema-step"):
        step_average.of_history(checkpoints.opened(folder), 2)
