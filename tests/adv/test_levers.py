"""Reachable classes against a linear net's closed form, and changes of the last layer on a net that favours a class."""

import keras
import numpy
import pytest

from adv import attacks, evaluate, levers, reachable

ATTACK = attacks.PGD(steps=5, rel_stepsize=0.4)


@pytest.fixture
def net():
    """Logits are 6 times the means of three thirds of the image; the bias of class 0 is too low by .6."""
    inputs = keras.Input((3, 3, 1))
    model = keras.Model(inputs, keras.layers.Dense(3)(keras.layers.Flatten()(inputs)))
    kernel = numpy.kron(numpy.eye(3), numpy.ones((3, 1))).astype("float32") * 2
    model.set_weights([kernel, numpy.float32([-0.6, 0, 0])])
    return model


@pytest.fixture
def images():
    generator = numpy.random.default_rng(0)
    y = numpy.arange(90) % 3
    x = 0.4 + 0.1 * generator.random((90, 3, 3, 1), dtype="float32")
    x[numpy.arange(90), y] += 0.15 * generator.random((90, 1, 1), dtype="float32")
    return x.astype("float32"), y


def test_a_class_is_reachable_where_it_can_be_made_the_largest(net, images):
    """Towards t the third of t rises by epsilon and all others fall: the logits move by 6 epsilon."""
    x, y = images
    logits = numpy.asarray(net(x), float)
    for epsilon in (0.01, 0.05):
        reached = reachable.reachable(net, x, y, epsilon=epsilon)
        moved = logits[:, None] + 6 * epsilon * numpy.where(numpy.eye(3, dtype=bool), 1, -1)  # (n, target, class)
        gap = numpy.array([[z[t] - numpy.delete(z, t).max() for t, z in enumerate(row)] for row in moved])
        clear = abs(gap) > 0.02
        other = numpy.arange(3) != y[:, None]
        numpy.testing.assert_array_equal(reached[clear & other], (gap > 0)[clear & other])
        assert 0.1 < reached[other].mean() < 0.9 and clear.mean() > 0.8
        numpy.testing.assert_array_equal(reached[~other], logits.argmax(axis=1) == y)


def test_an_epsilon_of_0_reaches_nothing(net, images):
    with pytest.raises(ValueError, match="epsilon is 0, expected a number above 0"):
        reachable.reachable(net, *images, epsilon=0)


def test_the_bias_of_the_weakest_class_rises(net, images):
    x, y = images
    before = evaluate.class_wise(evaluate.robust_flags(net, x, y, ATTACK, epsilon=0.01), y, classes=3)
    assert before.worst == 0
    choice = levers.choose_bias(net, x, y, ATTACK, epsilon=0.01, rate=1.0, rounds=6)
    after = evaluate.class_wise(evaluate.robust_flags(net, x, y, ATTACK, epsilon=0.01), y, classes=3)
    assert after.share.min() > before.share.min() and choice.value[0] > 0
    assert choice.tried[0] == ((0.0, 0.0, 0.0), before.share.min(), before.mean) and len(choice.tried) == 6
    assert (after.share.min(), after.mean) == max(trial[1:] for trial in choice.tried)


def test_tau_is_chosen_where_the_worst_class_is_best(net, images):
    kernel, bias = net.get_weights()
    kernel[:, 0] *= 0.8
    net.set_weights([kernel, 0 * bias])
    choice = levers.choose_tau(net, *images, ATTACK, epsilon=0.01)
    assert choice.value > 0 and choice.value == max(choice.tried, key=lambda trial: trial[1:])[0]
    assert net.get_weights()[0][:3, 0].mean() > kernel[:3, 0].mean()  # and the model has it


def test_nothing_is_attacked_where_a_class_has_no_image_or_nothing_is_tried(net, images, monkeypatch):
    x, y = images
    for settings in ({"rounds": 0}, {"taus": ()}):
        choose = levers.choose_bias if "rounds" in settings else levers.choose_tau
        with pytest.raises(ValueError, match="no value to try, expected at least one"):
            choose(net, x, y, ATTACK, epsilon=0.01, **settings)
    monkeypatch.setattr(evaluate, "robust_flags", None)
    for choose in (levers.choose_bias, levers.choose_tau):
        with pytest.raises(ValueError, match="no image of class 2 of 3"):
            choose(net, x[y != 2], y[y != 2], ATTACK, epsilon=0.01)
