"""The controllers on synthetic sequences of magnitudes and accuracies."""

import dataclasses
import json

import pytest

from train.robust import METHODS, SETUPS
from train.robust.controller import AccuracyThreshold, Delayed, Fixed, Linear, MagnitudeGuided


def run(controller, magnitudes):
    return [controller.update(epoch, magnitude) for epoch, magnitude in enumerate(magnitudes)]


def test_the_first_increase_is_unconditional_and_the_next_ones_need_a_larger_magnitude():
    guided = MagnitudeGuided(gamma=1.0, maximum=8, start=1)
    assert run(guided, [100.0, 10.0, 10.0, 10.1, 10.05, 11.0]) == [2, 2, 2, 3, 3, 4]


def test_the_threshold_moves_with_an_increase_alone():
    guided = MagnitudeGuided(gamma=1.1, maximum=8, start=1)
    run(guided, [1.0, 10.0])
    assert guided.threshold == pytest.approx(11.0)
    assert guided.update(2, 10.9) == 2 and guided.threshold == pytest.approx(11.0)
    assert guided.update(3, 12.0) == 3 and guided.threshold == pytest.approx(13.2)


def test_the_maximum_holds_and_holds_the_threshold_too():
    guided = MagnitudeGuided(gamma=1.0, maximum=3, start=1)
    assert run(guided, [1.0, 1.0, 2.0, 3.0, 4.0]) == [2, 2, 3, 3, 3]
    assert guided.threshold == 2.0


def test_the_rule_of_2021_forces_steps_until_they_cross_the_radius():
    guided = MagnitudeGuided(gamma=1.01, maximum=7, start=0, rule="2021", step_share=0.25)
    assert run(guided, [0.0, 5.0, 0.1, 0.1, 0.1, 0.1, 0.05]) == [1, 1, 2, 3, 4, 4, 4]
    assert guided.threshold == pytest.approx(0.101)  # forced growth moved it down with it


def test_the_rule_of_2022_stays_where_the_magnitude_does():
    guided = MagnitudeGuided(gamma=1.01, maximum=7, start=0)
    assert run(guided, [0.0, 5.0, 0.1, 0.1, 0.1]) == [1, 1, 1, 1, 1]


@pytest.mark.parametrize(
    "settings",
    [
        {"gamma": 0.0, "maximum": 8},
        {"gamma": 1.0, "maximum": 1, "start": 2},
        {"gamma": 1.0, "maximum": 8, "rule": "2021"},
        {"gamma": 1.0, "maximum": 8, "rule": "1999"},
    ],
)
def test_bad_settings_are_refused(settings):
    with pytest.raises(ValueError, match="expected"):
        MagnitudeGuided(**settings)


def test_delayed_steps():
    delayed = Delayed(delay=3, maximum=4)
    steps = [delayed.steps, *(delayed.update(epoch) for epoch in range(13))]
    assert steps == [min(epoch // 3 + 1, 4) for epoch in range(14)]


def test_accuracy_threshold():
    controller = AccuracyThreshold(threshold=0.4, maximum=3)
    assert [controller.update(e, accuracy=a) for e, a in enumerate([0.4, 0.41, 0.1, 0.9, 0.9])] == [1, 2, 2, 3, 3]


def test_linear():
    controller = Linear(first=2, last=10)
    assert controller.steps == 2
    assert [controller.update(0, progress=share) for share in (0.25, 0.5, 1.0, 1.2)] == [4, 6, 10, 10]
    down = Linear(first=2, last=10, down=True)
    steps = [down.steps, *(down.update(epoch, over=(epoch + 1) / 50) for epoch in range(49))]
    assert steps == [2 + int(8 * (epoch / 50)) for epoch in range(50)] and max(steps) == 9


def test_a_set_up_fills_in_what_a_controller_leaves_open_whatever_makes_it():
    method = dataclasses.replace(METHODS["m+deat"], controller=lambda: MagnitudeGuided(None, 8))
    assert method.tailored(SETUPS["imagenet"])[1].state() == METHODS["m+deat"].tailored(SETUPS["imagenet"])[1].state()
    own = dataclasses.replace(METHODS["m+deat"], controller=lambda: MagnitudeGuided(2.0, 3))
    controller = own.tailored(SETUPS["imagenet"])[1]
    assert (controller.gamma, controller.maximum, own.passes) == (2.0, 3, 3)
    own = dataclasses.replace(METHODS["pgd-7"], controller=lambda: Fixed(steps=2))
    assert own.tailored(SETUPS["fast"])[1].steps == 2 and own.epochs(SETUPS["fast"]) == 10
    with pytest.raises(ValueError, match="gamma None, expected a number"):
        MagnitudeGuided(None, 8).update(0, 1.0)


@pytest.mark.parametrize("name", METHODS)
def test_a_controller_goes_on_from_its_state(name):
    controllers = [METHODS[name].tailored(SETUPS["standard"])[1] for _ in range(2)]

    def update(controller, epoch):
        return controller.update(epoch, 1.0 + epoch % 3, accuracy=epoch / 10, progress=epoch / 8, over=epoch / 9)

    for epoch in range(4):
        update(controllers[0], epoch)
    controllers[1].restore(json.loads(json.dumps(controllers[0].state())))
    assert controllers[0].steps == controllers[1].steps
    assert [update(controllers[0], epoch) for epoch in range(4, 9)] == [
        update(controllers[1], epoch) for epoch in range(4, 9)
    ]
