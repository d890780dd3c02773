"""The catalogue of robust training against the published hyper-parameters, written out."""

import pytest

from train.robust import METHODS, SETUPS, setup_of

PUBLISHED = {  # at 8/255: (step size in 255ths for n steps, n), start, attack mode, beta
    "pgd-7": ((2, 7), "uniform", "train", 0),
    "fgsm-rs": ((10, 1), "uniform", "train", 0),
    "trades": ((8 * 0.007 / 0.031, 10), "gaussian", "eval", 6),
    "mart": ((8 * 0.007 / 0.031, 10), "gaussian", "eval", 5),
    "amata-2-10": ((2, 10), "uniform", "train", 0),
    "free-8": ((8, 8), "zero", None, None),
    "m+deat": ((10, 4), "uniform", None, None),
    "m+pgd": ((8, 1), "uniform", "train", 0),
    "m+pgd-2021": ((2, 1), "uniform", "train", 0),
    "m+trades": ((2, 4), "gaussian", "eval", 6),
    "yopo-5-3": ((2, 5), "uniform", None, None),
    "fat-5": ((8 * 0.007 / 0.031, 5), "uniform", "eval", 0),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_published_hyper_parameters(name):
    (size, steps), start, mode, beta = PUBLISHED[name]
    strategy, _ = METHODS[name].tailored(SETUPS["standard"])
    assert 8 * strategy.step.of(steps) == pytest.approx(size)
    assert strategy.start == start
    assert (getattr(strategy, "attack_mode", None), getattr(strategy, "beta", None)) == (mode, beta)


def test_the_published_controllers():
    made = {name: method.tailored(SETUPS["standard"])[1] for name, method in METHODS.items()}
    guided = {
        name: (one.gamma, one.maximum, one.start, one.rule) for name, one in made.items() if hasattr(one, "gamma")
    }
    assert guided == {
        "m+deat": (1.01, 8, 1, "2022"),
        **{f"m+{name}": (1.01, most, 0, "2022") for name, most in (("pgd", 7), ("trades", 10), ("mart", 10))},
        **{f"m+{name}-2021": (1.01, most, 0, "2021") for name, most in (("pgd", 7), ("trades", 10), ("mart", 10))},
    }
    assert METHODS["m+deat"].tailored(SETUPS["fast"])[1].gamma == 1.0
    large = METHODS["m+deat"].tailored(SETUPS["imagenet"])
    assert (large[1].gamma, large[1].maximum, 4 * large[0].step.of(4)) == (1.1, 4, 6)
    assert 8 * METHODS["m+deat"].tailored(SETUPS["fast"])[0].step.of(8) == pytest.approx(12)
    assert (made["deat-d"].delay, made["deat-d"].maximum) == (3, 5)
    assert (made["deat-p"].threshold, made["deat-p"].maximum) == (0.4, 4)
    fixed = {name: one.steps for name, one in made.items() if type(one).__name__ == "Fixed"}
    assert fixed == {
        "standard": 0, "pgd-7": 7, "pgd-10": 10, "t-pgd-7": 7, "fgsm-rs": 1, "free-4": 4, "free-6": 6, "free-8": 8,
        "free-8-persistent": 8, "trades": 10, "mart": 10, "fat-5": 5, "fat": 10, "fat-dynamic": 10, "f+trades": 10,
        "f+mart": 10, "yopo-5-3": 5,
    }  # fmt: skip
    assert {METHODS[name].strategy.friendly.tau for name in ("fat", "fat-5", "f+trades", "f+mart")} == {3}
    dynamic = METHODS["fat-dynamic"].strategy.friendly
    assert [dynamic.patience(epoch / 120) for epoch in (0, 49, 50, 89, 90, 119)] == [0, 0, 1, 1, 2, 2]


SCHEDULES = {
    "standard": [(0.0, 0.05), (0.49, 0.05), (0.5, 0.005), (0.8, 0.0005), (0.99, 0.0005)],
    "fast": [(0.0, 0.0), (0.25, 0.05), (0.5, 0.1), (0.75, 0.05), (1.0, 0.0)],
    "fgsm-rs": [(0.5, 0.2)],
    "trades": [(73.9 / 76, 0.1), (74 / 76, 0.01)],
    "mart": [(0.0, 0.01), (74 / 120, 0.001), (89 / 120, 1e-4), (99 / 120, 1e-5)],
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_the_published_schedules(name):
    for progress, rate in SCHEDULES[name]:
        assert SETUPS[name].rate(progress) == pytest.approx(rate)


def test_the_baseline_counts_its_epochs_whatever_the_length_of_the_run():
    for epoch, rate in [(0, 0.1), (99.9, 0.1), (100, 0.01), (149.9, 0.01), (150, 0.001), (199, 0.001)]:
        assert SETUPS["pgd-baseline"].rate(epoch / 200, epoch) == pytest.approx(rate)
        assert SETUPS["pgd-baseline"].rate(min(epoch / 50, 1), epoch) == pytest.approx(rate)
    assert SETUPS["standard"].rate(0.5, 5) == pytest.approx(0.005)


def test_set_ups_of_other_nets():
    assert robust_setup("vgg16@0.5").learning_rate == robust_setup("vgg16_bn").learning_rate == 0.01
    assert (robust_setup("wrn_34_10").learning_rate, robust_setup("wrn_34_10").epochs) == (0.1, 100)
    assert robust_setup("preact_resnet18") == SETUPS["standard"]
    assert not SETUPS["pgd-baseline"].standardised and SETUPS["pgd-baseline"].epsilon == 0.0314


def robust_setup(model):
    return setup_of("standard", model)


def test_deat_d_has_twelve_epochs_of_the_fast_set_up():
    assert METHODS["deat-d"].epochs(SETUPS["fast"]) == 12 and METHODS["deat-p"].epochs(SETUPS["fast"]) == 10
    assert METHODS["deat-d"].epochs(SETUPS["standard"]) == 50


def test_perturbations_that_persist_divide_the_epochs():
    assert METHODS["free-8-persistent"].epochs(SETUPS["standard"]) == 7
    assert METHODS["free-8"].epochs(SETUPS["standard"]) == 50
