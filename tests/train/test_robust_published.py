"""The catalogue of robust training against the published hyper-parameters, written out."""

import dataclasses

import pytest

from train.robust import METHODS, SETUPS, setup_of

SEVEN = 8 * 0.007 / 0.031
PUBLISHED = {  # at 8/255: (step size in 255ths for n steps, n), start, whether clipped to [0, 1], attack mode, beta
    "pgd-7": ((2, 7), "uniform", False, "train", 0),
    "fgsm-rs": ((10, 1), "uniform", True, "train", 0),
    "trades": ((SEVEN, 10), "gaussian", False, "eval", 6),
    "mart": ((SEVEN, 10), "gaussian", False, "eval", 5),
    "f+trades": ((SEVEN, 10), "gaussian", True, "eval", 6),
    "f+mart": ((SEVEN, 10), "gaussian", True, "eval", 6),
    "amata-2-10": ((2, 10), "uniform", True, "train", 0),
    "free-8": ((8, 8), "zero", True, None, None),
    "m+deat": ((10, 4), "uniform", True, None, None),
    "deat-d": ((10, 5), "uniform", True, None, None),
    "m+pgd": ((8, 1), "uniform", True, "train", 0),
    "m+pgd-2021": ((2, 1), "uniform", True, "train", 0),
    "m+trades": ((2, 4), "gaussian", False, "eval", 6),
    "yopo-5-3": ((2, 5), "uniform", False, None, None),
    "fat-5": ((SEVEN, 5), "uniform", True, "eval", 0),
    "trades-deat": ((2, 10), "gaussian", False, "train", 6),
    "mart-deat": ((2, 10), "gaussian", True, "train", 6),
    "fat-5-deat": ((2, 5), "zero", True, "eval", 0),
    "f+trades-deat": ((2, 10), "gaussian", True, "eval", 6),
    "f+mart-deat": ((2, 10), "gaussian", True, "eval", 6),
    "amata-2-10-deat": ((10, 2), "zero", True, "train", 0),
    "m+trades-deat": ((2, 10), "gaussian", False, "train", 6),
    "m+mart-deat": ((2, 10), "gaussian", True, "train", 6),
    "rice": ((2, 10), "uniform", True, "batch", 0),
    "awp": ((2, 10), "uniform", True, "batch", 0),
    "trades-awp": ((2, 10), "gaussian", False, "eval", 6),
    "sat": ((SEVEN, 10), "gaussian", False, "eval", 6),
    "n-fgsm": ((8, 1), "uniform", True, "batch", 0),
    "history-at": ((2, 10), "uniform", True, "batch", 0),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_published_hyper_parameters(name):
    (size, steps), start, clip, mode, beta = PUBLISHED[name]
    strategy, _ = METHODS[name].tailored(SETUPS["standard"])
    assert 8 * strategy.step.of(steps) == pytest.approx(size)
    assert (strategy.start, start == "zero" or strategy.clip_start) == (start, clip)
    assert (getattr(strategy, "attack_mode", None), getattr(strategy, "beta", None)) == (mode, beta)


@pytest.mark.parametrize(("name", "size"), [("m+deat", 12), ("deat-d", 10), ("deat-p", 10)])
def test_the_fast_set_up_of_deat_starts_unclipped_and_steps_as_each_script_does(name, size):
    strategy, _ = METHODS[name].tailored(SETUPS["fast"])
    assert 8 * strategy.step.of(8) == pytest.approx(size) and not strategy.clip_start
    ours = dataclasses.replace(SETUPS["fast"], replay_clip=True)
    assert METHODS[name].tailored(ours)[0].clip_start


def test_the_momentum_of_every_cyclic_set_up_is_cycled():
    """All of them use PyTorch's CyclicLR, whose default it is: .8 at the peak of the rate."""
    assert {setup.momentum_at_peak for setup in SETUPS.values() if setup.cyclic} == {0.8}
    assert {setup.momentum_at_peak for setup in SETUPS.values() if not setup.cyclic} == {None}


def test_what_passes_through_the_net_in_an_update():
    orders = {name: getattr(method.strategy, "update_order", ("adversarial",)) for name, method in METHODS.items()}
    twice, paired = ("clean", "adversarial", "clean"), ("clean", "adversarial")
    assert {name for name, order in orders.items() if order == twice} == {
        "trades", "m+trades", "m+trades-2021", "trades-deat", "m+trades-deat", "sat",
    }  # fmt: skip
    assert {name for name, order in orders.items() if order == paired} == {
        "mart", "m+mart", "m+mart-2021", "mart-deat", "m+mart-deat", "f+trades", "f+trades-deat", "f+mart-deat",
        "trades-awp",
    }  # fmt: skip
    assert orders["f+mart"] == ("adversarial", "clean")
    assert {METHODS[name].strategy.guided_by for name in ("m+trades-deat", "m+mart-deat")} == {"last"}
    assert [METHODS[name].passes for name in ("pgd-7", "trades", "mart", "trades-deat")] == [8, 13.5, 12, 18]
    assert [METHODS[name].passes for name in ("awp", "trades-awp", "sat", "n-fgsm")] == [12, 14.5, 13.5, 2]
    assert [METHODS[name].passes for name in ("nuat2", "nuat2-wa", "history-at", "kd")] == [4.5, 4.5, 11, 12]


def test_the_published_controllers():
    controllers = {name: method.tailored(SETUPS["standard"])[1] for name, method in METHODS.items()}
    guided = {
        name: (controller.gamma, controller.maximum, controller.start, controller.rule)
        for name, controller in controllers.items()
        if hasattr(controller, "gamma")
    }
    assert guided == {
        "m+deat": (1.01, 8, 1, "2022"),
        **{f"m+{name}": (1.01, most, 0, "2022") for name, most in (("pgd", 7), ("trades", 10), ("mart", 10))},
        **{f"m+{name}-2021": (1.01, most, 0, "2021") for name, most in (("pgd", 7), ("trades", 10), ("mart", 10))},
        **{f"m+{name}-deat": (1.01, 10, 0, "2021") for name in ("trades", "mart")},
    }
    assert METHODS["m+deat"].tailored(SETUPS["fast"])[1].gamma == 1.0
    large = METHODS["m+deat"].tailored(SETUPS["imagenet"])
    assert (large[1].gamma, large[1].maximum, 4 * large[0].step.of(4)) == (1.1, 4, 6)
    assert (controllers["deat-d"].delay, controllers["deat-d"].maximum) == (3, 5)
    assert (controllers["deat-p"].threshold, controllers["deat-p"].maximum) == (0.4, 4)
    fixed = {name: controller.steps for name, controller in controllers.items() if type(controller).__name__ == "Fixed"}
    assert fixed == {
        "standard": 0, "pgd-7": 7, "pgd-10": 10, "t-pgd-7": 7, "fgsm-rs": 1, "free-4": 4, "free-6": 6, "free-8": 8,
        "free-8-persistent": 8, "trades": 10, "mart": 10, "fat-5": 5, "fat": 10, "fat-dynamic": 10, "f+trades": 10,
        "f+mart": 10, "yopo-5-3": 5, "trades-deat": 10, "mart-deat": 10, "fat-5-deat": 5, "f+trades-deat": 10,
        "f+mart-deat": 10, "rice": 10, "awp": 10, "trades-awp": 10, "kd": 10, "sat": 10, "n-fgsm": 1, "nuat2": 2,
        "nuat2-wa": 2, "history-at": 10, "history-at-early": 10, "history-at-mean": 10, "history-at-random": 10,
        "history-at-smoothed": 10, "history-at-r": 10, "history-at-r-random": 10, "history-at-held-out": 10,
        "history-at-held-out-random": 10, "seat": 10, "meat": 10,
    }  # fmt: skip
    friends = {name: getattr(METHODS[name].strategy, "friendly", None) for name in METHODS}
    settings = {
        name: (friendly.tau, friendly.omega) for name, friendly in friends.items() if friendly and name != "fat-dynamic"
    }
    assert {name for name, setting in settings.items() if setting == (3, 0.001)} == {"fat", "fat-5", "fat-5-deat"}
    assert {name for name, setting in settings.items() if setting == (3, 0.0)} == {
        "f+trades", "f+mart", "f+trades-deat", "f+mart-deat",
    }  # fmt: skip
    dynamic = METHODS["fat-dynamic"].strategy.friendly
    assert [dynamic.patience(epoch / 120) for epoch in (0, 49, 50, 89, 90, 119)] == [0, 0, 1, 1, 2, 2]


SCHEDULES = {
    "standard": [(0.0, 0.05), (0.49, 0.05), (0.5, 0.005), (0.8, 0.0005), (0.99, 0.0005)],
    "fast": [(0.0, 0.0), (0.25, 0.05), (0.5, 0.1), (0.75, 0.05), (1.0, 0.0)],
    "fgsm-rs": [(0.5, 0.2)],
    "trades": [(73.9 / 76, 0.1), (74 / 76, 0.01)],
    "rice": [(0.0, 0.1), (0.5, 0.01), (0.75, 0.001)],
    "sat": [(0.73, 0.1), (0.74, 0.01), (0.89, 0.001), (0.99, 1e-4)],
    "kd": [(0.24, 0.1), (0.25, 0.01), (0.75, 0.001)],
    "n-fgsm": [(0.25, 0.1), (0.5, 0.2), (1.0, 0.0)],
    "nuat2-wa": [(0.25, 0.1), (0.625, 0.05)],
    "nuat2": [
        (epoch / 55, rate)
        for epoch, rate in (
            (0, 0.0),
            (10, 0.05),
            (20, 0.1),
            (27.5, 0.0625),
            (35, 0.025),
            (40.9, 0.025),
            (41, 0.0025),
            (46, 2.5e-4),
            (54, 2.5e-4),
        )
    ],
    "seat": [(0.0, 0.01), (40 / 120, 0.01), (60 / 120, 0.0055), (80 / 120, 0.001), (100 / 120, 5.5e-4), (1.0, 1e-4)],
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
    other = dataclasses.replace(SETUPS["fast"], title="one of a user's own", epochs=20)
    assert METHODS["deat-d"].epochs(other) == 24, "by what the set-up says, whatever it is called"


def test_perturbations_that_persist_divide_the_epochs():
    assert METHODS["free-8-persistent"].epochs(SETUPS["standard"]) == 7
    assert METHODS["free-8"].epochs(SETUPS["standard"]) == 50
