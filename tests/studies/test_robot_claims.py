"""RobOT's selections beside DeepGini's and a random choice: the contrast by hand, what decides it, what is missing."""

import math

import pytest
import scipy.stats

from studies.guided_retraining import robot_claims as robot

COUNT = 400  # attacked test images


def row(metric, *seeds, original=0.1, anew=True, numbers=None):
    """A row whose seeds have these accuracies, one for each number of selected inputs; anew it is half of that."""
    curves = [
        [{"adversarial": {"accuracy": value}, **({"anew": value / 2} if anew else {})} for value in values]
        for values in seeds
    ]
    return {
        "metric": metric, "curves": curves, "seeds": numbers or list(range(len(seeds))),
        "originals": [{"adversarial": {"accuracy": original}}] * len(seeds), "measures": {"best": {"n": COUNT}},
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
    variance = 1e4 * (0.25 + 1.5**2 * 0.25 * 0.75) / (2 * COUNT)
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


def test_what_was_not_run_is_not_measured():
    assert robot.robot_claims([]) == []
    assert verdicts(row("gini", (0.5,)), row("random", (0.5,))) == ["not measured"] * 3
    older = row("be-st", (0.5,), anew=False), row("gini", (0.5,), anew=False), row("random", (0.5,), anew=False)
    assert verdicts(*older) == ["undecided", "not measured", "undecided"]
    with pytest.raises(ValueError, match=r"seeds \[0\] of be-st, \[1\] of gini"):
        robot.robot_claims([row("be-st", (0.5,)), row("gini", (0.5,), numbers=[1])])
