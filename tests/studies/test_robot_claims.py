"""RobOT's selections beside DeepGini's and a random choice: the contrast by hand, what decides it, what is missing."""

import math

import pytest
import scipy.stats

from studies.guided_retraining import robot_claims as robot

COUNT = 400  # attacked test images


def row(metric, *seeds, original=0.1, anew=True):
    """A row whose seeds have these accuracies, one for each number of selected inputs; anew it is half of that."""
    curves = [
        [
            {"inputs": place, "adversarial": {"accuracy": value}, **({"anew": value / 2} if anew else {})}
            for place, value in enumerate(values)
        ]
        for values in seeds
    ]
    return {
        "metric": metric, "curves": curves, "seeds": list(range(len(seeds))),
        "originals": [{"adversarial": {"accuracy": original}}] * len(seeds), "measures": {"best": {"n": 2 * COUNT}},
        "hyperparameters": {"epochs": 10},
    }  # fmt: skip


def verdicts(*rows):
    return [claim.verdict for claim in robot.robot_claims(rows)]


def test_the_contrast_and_its_interval_by_hand():
    first, second = row("be-st", (0.5, 0.7), (0.6, 0.9), (0.4, 0.6)), row("gini", (0.2, 0.4), (0.3, 0.3), (0.1, 0.3))
    assert robot.improvements(first, "old").tolist() == pytest.approx([50, 65, 40])
    assert robot.improvements(first, "anew").tolist() == pytest.approx([20, 27.5, 15])
    differences = [50 - 1.5 * 20, 65 - 1.5 * 20, 40 - 1.5 * 10]
    mean, squares = sum(differences) / 3, sum((each - sum(differences) / 3) ** 2 for each in differences)
    effect = robot.beyond(first, second, 1.5, "old", 0.95)
    half = scipy.stats.t.ppf(0.975, 2) * math.sqrt(squares / 2 / 3)
    assert (effect.interval.value, effect.freedom) == (pytest.approx(mean), 2)
    assert effect.interval.high - mean == pytest.approx(half) and effect.what == (
        "be-st minus 1.5 times gini, made on the original"
    )


def test_seeds_that_agree_by_chance_do_not_hide_the_images():
    first, second = row("km-st", (0.5,), (0.5,)), row("gini", (0.25,), (0.25,))
    variance = 1e4 * (0.25 + 1.5**2 * 0.25 * 0.75 + 0.5**2 * 0.1 * 0.9) / (2 * COUNT)
    half = scipy.stats.t.ppf(0.975, 1) * math.sqrt(variance)
    effect = robot.beyond(first, second, 1.5, "old", 0.95)
    assert effect.interval.high - effect.interval.value == pytest.approx(half)


def test_one_seed_decides_nothing_and_four_do():
    once = [row("be-st", (0.9,)), row("km-st", (0.9,)), row("gini", (0.2,)), row("random", (0.2,))]
    assert verdicts(*once) == ["undecided"] * 3
    none, less, more = ([(accuracy + step,) for step in (0.0, 0.01, 0.0, 0.01)] for accuracy in (0.1, 0.2, 0.9))
    decided = [row("be-st", *more), row("km-st", *more), row("gini", *less), row("random", *less)]
    assert verdicts(*decided) == ["holds"] * 3
    assert verdicts(row("be-st", *none), *decided[1:]) == ["does not hold", "undecided", "does not hold"]


def test_a_rival_that_does_harm_is_no_lower_bar():
    harmed = [row("be-st", *[(0.4,)] * 3, original=0.5), row("km-st", *[(0.4,)] * 3, original=0.5)]
    harmed += [row(name, *[(accuracy,)] * 3, original=0.5) for name, accuracy in (("gini", 0.25), ("random", 0.3))]
    assert robot.beyond(harmed[0], harmed[2], 1.5, "old", 0.95).interval.value == pytest.approx(-10)
    assert "holds" not in verdicts(*harmed)


def test_what_was_not_run_or_otherwise_is_not_measured():
    assert robot.robot_claims([]) == []
    rivals = row("gini", (0.5,)), row("random", (0.5,))
    assert verdicts(row("be-st", (0.5,)), *rivals) == ["not measured"] * 3, "half of the selectors"
    own = row("be-st", (0.5,)), row("km-st", (0.5,))
    assert verdicts(*own, *rivals) == ["undecided"] * 3
    older = [row(name, (0.5,), anew=False) for name in ("be-st", "km-st", "gini", "random")]
    assert verdicts(*older) == ["undecided", "not measured", "undecided"]
    for change in ({"seeds": [1]}, {"hyperparameters": {"epochs": 20}}):
        assert verdicts(*own, rivals[0] | change, rivals[1]) == ["not measured", "not measured", "undecided"]
    assert verdicts(*own, row("gini", (0.5, 0.6)), rivals[1])[0] == "not measured", "other numbers of inputs"
