"""RobOT's attacks against a plain loop; its numbers and settings."""

import keras
import numpy
import pytest

from adv import base
from adv.guided import inputs, robot, selection


def test_all_steps_are_taken_inside_the_ball(linear):
    model, weights, _ = linear
    x = numpy.random.default_rng(0).random((5, 8, 8, 1), dtype="float32")
    y, sign = numpy.array([0, 1, 0, 1, 0]), numpy.sign(weights)
    for name, (steps, relative) in robot.ATTACKS.items():
        expected = x + numpy.float32(0.1) * base.noise(x, seed=3)
        expected = expected.clip(0, 1)
        for _ in range(steps):
            expected = expected + 0.1 * relative * numpy.where(y == 0, 1, -1)[:, None, None, None] * sign
            expected = expected.clip(x - 0.1, x + 0.1).clip(0, 1)
        adversarials = robot.attack(model, x, y, name, epsilon=0.1, seed=3, batch_size=2)
        assert adversarials.dtype == numpy.float32
        numpy.testing.assert_allclose(adversarials, expected, atol=1e-6)


def test_every_data_set_of_the_study_has_settings():
    assert set(robot.EPSILONS) == set(robot.PERCENT) == set(robot.RECIPES)
    assert [round(600 * share) for share in robot.PERCENT["mnist"]] == [
        *(600, 1200, 1800, 2400, 3600, 4800, 6000, 7200, 9600, 12000)
    ]
    assert [round(500 * share) for share in robot.PERCENT["cifar10"]] == list(range(1000, 10001, 1000))
    assert inputs.EPSILON == 0.05 and selection.SECTIONS == 1000


def test_probabilities_are_refused():
    x = keras.Input((8, 8, 1))
    model = keras.Model(x, keras.layers.Dense(2, activation="softmax")(keras.layers.Flatten()(x)))
    with pytest.raises(ValueError, match="probabilities"):
        robot.attack(model, numpy.zeros((1, 8, 8, 1), "float32"), [0], "pgd", epsilon=0.1, seed=0)
