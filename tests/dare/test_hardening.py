"""Hardening: effort and weight change, trajectories from one start, and the model's weights afterwards."""

import numpy
import pytest

import models
from dare import controls
from dare.hardening import hardener, strategies
from dare.hardening.strategies import STRATEGIES


def test_passes_are_counted():
    passes = {name: strategy.passes(3) for name, strategy in STRATEGIES.items()}
    four = ("feature-adversarial", "feature-adversarial-own", "pgd-training", "soft-chosen", "soft-average")
    assert passes == dict.fromkeys(four, 4) | {"regression": 1, "fgsm-training": 2, "trades-6": 5.5, "trades-1": 5.5}
    assert STRATEGIES["pgd-training"].perturbation(5) == (5, 0.5)
    assert STRATEGIES["fgsm-training"].perturbation(5) == (1, 1.25)
    effort = {"passes": 4, "batch_size": 128, "samples": 1280}
    assert strategies.bp_epochs(10, **effort) == 4
    assert strategies.bp_epochs(3, passes=2, batch_size=128, samples=50) == 6, "a batch is at most all samples"


def test_updates_are_the_fewest_that_reach_the_effort():
    generator = numpy.random.default_rng(0)
    for _ in range(200):
        effort = {
            "passes": generator.choice([1, 2, 2.5, 4, 5.5]),
            "batch_size": int(generator.integers(1, 200)),
            "samples": int(generator.integers(1, 3000)),
        }
        budget = float(generator.choice([0.25, 0.5, 1, 3, 4]))
        updates = strategies.updates_for(budget, **effort)
        assert updates >= 1 and strategies.bp_epochs(updates, **effort) >= budget - 1e-6
        assert updates == 1 or strategies.bp_epochs(updates - 1, **effort) < budget


def test_weight_change_equals_numpy(small_net):
    generator = numpy.random.default_rng(0)
    before = strategies.weights(small_net)
    after = [array + generator.normal(scale=0.1, size=array.shape).astype("float32") for array in before]
    flat, moved = (
        numpy.concatenate([array.ravel() for array in weights]).astype("float64") for weights in (before, after)
    )
    expected = numpy.linalg.norm(moved - flat) / numpy.linalg.norm(flat)
    assert controls.relative_change(before, after) == pytest.approx(expected, rel=1e-6)
    assert controls.relative_change(before, before) == 0
    assert len(before) == len(small_net.trainable_variables)


@pytest.fixture
def counting(source):
    """A Hardener whose accuracies count the measurements."""
    counted = iter(range(100))
    return hardener.Hardener(source, lambda: {"clean": float(next(counted))}, epsilon=0.02)


FEW = {"steps": 1, "batch_size": 2, "bp_epochs": 4.0, "points": 3, "seed": 0}


def test_a_trajectory_is_measured_at_doubling_effort_and_leaves_the_model_as_it_was(counting):
    before = counting.model.get_weights()
    points, seconds = counting.trajectory(STRATEGIES["pgd-training"], learning_rate=1e-3, **FEW)
    assert seconds > 0 and [point["clean"] for point in points] == [0, 1, 2]
    for budget, point in zip((1, 2, 4), points, strict=True):
        assert budget <= point["bp_epochs"] < budget + 2 * 2 / len(counting.samples.rows)
    assert 0 < points[0]["weight_change"] < points[2]["weight_change"]
    regression, _ = counting.trajectory(STRATEGIES["regression"], learning_rate=1e-3, **FEW)
    assert regression[0]["weight_change_regression"] > regression[0]["weight_change"], "the head stays"
    again, _ = counting.trajectory(STRATEGIES["pgd-training"], learning_rate=1e-3, **FEW)
    assert [each["weight_change"] for each in again] == [each["weight_change"] for each in points], (
        "from the same start"
    )
    for old, new in zip(before, counting.model.get_weights(), strict=True):
        numpy.testing.assert_array_equal(old, new)


def test_other_weights_are_measured_and_given_back(counting):
    assert counting.standing()["weight_change"] == 0
    noisy = [weight + numpy.float32(0.1) for weight in counting.original]
    measured = counting.standing(noisy)
    assert measured["weight_change"] > 0.1 and measured["updates"] == 0 and measured["clean"] == 1
    numpy.testing.assert_array_equal(counting.model.get_weights()[0], counting.original[0])


def test_a_trajectory_ends_where_weights_or_logits_are_no_longer_finite(counting):
    points, _ = counting.trajectory(STRATEGIES["regression"], learning_rate=1e30, **FEW)
    assert len(points) < 3
    measured = iter([{"clean": 50.0}])

    def measure():
        try:
            return next(measured)
        except StopIteration:
            raise models.NonFiniteLogits("the model's logits are NaN or infinite") from None

    counting.measure = measure
    points, _ = counting.trajectory(STRATEGIES["regression"], learning_rate=1e-3, **FEW)
    assert [point["clean"] for point in points] == [50]
    numpy.testing.assert_array_equal(counting.model.get_weights()[0], counting.original[0])
    counting.measure = lambda: {"clean": 1 // 0}
    with pytest.raises(ZeroDivisionError):  # a fault of the code is not a divergence
        counting.trajectory(STRATEGIES["regression"], learning_rate=1e-3, **FEW)


def test_any_other_error_of_a_measurement_is_not_taken_for_divergence(counting):
    def measure():
        raise ValueError("images have shape (0,)")

    counting.measure = measure
    for call in (
        counting.standing,
        lambda: counting.trajectory(STRATEGIES["regression"], learning_rate=1e-3, **FEW),
    ):
        with pytest.raises(ValueError, match="images have shape"):
            call()
    numpy.testing.assert_array_equal(counting.model.get_weights()[0], counting.original[0])


def test_targets_are_made_once(counting, monkeypatch):
    targets = counting.targets("own")
    monkeypatch.setattr(hardener.hardening_targets, "TARGETS", {})
    assert counting.targets("own") is targets
