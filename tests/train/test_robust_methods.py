"""Every method of the catalogue on a tiny net: balls, robustness, passes, magnitudes, what is refused."""

import dataclasses
import functools

import keras
import numpy
import pytest

from models import compute, perturb
from train.robust import METHODS, SETUPS
from train.robust.adversarial import Adversarial
from train.robust.fit import _recorded
from train.robust.nuclear import Nuclear
from train.robust.perturbation import StepSize
from train.robust.replay import Replay
from train.robust.yopo import Yopo

pytestmark = pytest.mark.backends


def kind(strategy):
    """A strategy without its numbers: methods that differ only in those or in the controller run the same code."""
    if isinstance(strategy, Adversarial):
        losses = strategy.loss, strategy.attack_loss
        parts = [getattr(strategy, name) is None for name in ("friendly", "awp", "targets", "distil", "noise")]
        recorded = getattr(strategy.targets, "of", None)
        return Adversarial, *losses, strategy.attack_mode, *parts, recorded, strategy.update_order
    if isinstance(strategy, Nuclear):
        return Nuclear, strategy.decay
    return type(strategy), strategy.start, getattr(strategy, "persistent", None)


# One name a kind, and the control; under jax, where every one takes seconds to compile, fewer.
STRATEGIES = ["standard", *{kind(METHODS[name].strategy): name for name in METHODS if name != "standard"}.values()]
if compute.BACKEND == "jax":
    STRATEGIES = ["m+mart", "f+trades", "free-8-persistent", "yopo-5-3", "awp", "sat", "nuat2-wa"]


@pytest.mark.parametrize("name", STRATEGIES)
def test_perturbations_stay_in_the_ball_and_the_box(tiny, name, batch, seen):
    images, labels = batch
    strategy, _ = METHODS[name].tailored(SETUPS["standard"])
    passed = seen(1 if isinstance(strategy, Yopo) else 0)
    radius = tiny.epsilon * (5 if name == "n-fgsm" else 1)  # a start of two epsilons, and the three steps below
    run = tiny.prepared(strategy, tiny.build(), measure=not isinstance(strategy, Yopo | Nuclear))
    carried, generator = None, numpy.random.default_rng(0)
    for _ in range(2):
        outcome = run(images, labels, 3, generator, carried)
        carried = outcome.carried
    passed = [passed_images for passed_images in passed if passed_images.shape == images.shape]
    assert passed
    starts = passed[::3] if isinstance(strategy, Yopo) else []  # of each batch the start, which is not clipped
    for passed_images in passed:
        assert abs(passed_images - images).max() <= radius + 1e-6
        assert any(passed_images is start for start in starts) or (
            passed_images.min() >= 0 and passed_images.max() <= 1
        )
    moved = max(abs(batch - images).max() for batch in passed)
    assert moved > 0.02 * tiny.epsilon
    assert numpy.isfinite(float(outcome.loss)) and numpy.asarray(outcome.correct).shape == (12,)


def attacked(call, images, labels):
    return perturb.pgd(call, images, labels, epsilon=0.01, step_size=0.0025, steps=10)


@pytest.fixture(scope="module")
def update(tiny):
    """``update(name)``: a net and its update by a method within a radius of 0.01, compiled once."""

    @functools.cache
    def controller(name):
        model, (strategy, _) = tiny.build(), METHODS[name].tailored(SETUPS["standard"])
        return model, tiny.prepared(strategy, model, epsilon=0.01)

    return controller


@pytest.mark.parametrize("name", [name for name in STRATEGIES if name != "kd"])  # whose teachers here know nothing
def test_every_method_overfits_one_batch_robustly(name, batch, update):
    images, labels = batch
    model, run = update(name)
    steps = 0 if name == "standard" else 2
    carried, generator = None, numpy.random.default_rng(0)
    for _ in range(60):
        carried = run(images, labels, steps, generator, carried).carried
    attack = compute.compiled(model, attacked)
    assert (numpy.argmax(compute.forward(model)(attack(images, labels)), -1) == labels).all()


@pytest.mark.parametrize("guide", ["training", "attack"])
def test_the_magnitude_is_that_of_the_gradient_where_it_was_taken(tiny, batch, guide):
    images, labels = batch
    model = tiny.build()
    strategy = Adversarial(step=StepSize(share=0.25), start="zero", attack_mode="eval", guide=guide)
    expected = numpy.asarray(compute.input_gradient(model, perturb.cross_entropy)(images, labels))
    run = tiny.prepared(strategy, model, measure=True)
    if guide == "attack":
        magnitude = run(images, labels, 1, numpy.random.default_rng(0)).magnitude
        size = (abs(expected) * tiny.scale).sum() / len(images)
        numpy.testing.assert_allclose(float(magnitude), size, rtol=1e-4)
    else:  # of the training loss at the last point, here the images themselves, in training mode
        magnitude = run(images, labels, 0, numpy.random.default_rng(0)).magnitude
        replayed = tiny.prepared(Replay(start="zero", step=StepSize(share=1.0)), tiny.build())
        again = replayed(images, labels, 1, numpy.random.default_rng(0)).magnitude
        numpy.testing.assert_allclose(float(magnitude), float(again), rtol=1e-4)


@pytest.mark.parametrize("name", STRATEGIES)
def test_passes_are_an_upper_bound_that_is_reached(name, batch, update):
    method = METHODS[name]
    strategy, controller = method.tailored(SETUPS["standard"])
    outcome = update(name)[1](*batch, controller.most, numpy.random.default_rng(0), progress=1.0)
    friendly = getattr(strategy, "friendly", None) is not None
    assert outcome.passes <= method.passes if friendly else outcome.passes == method.passes


def test_another_number_of_steps_covers_the_ball():
    method = METHODS["awp+ema"].of_steps(2)
    strategy, controller = method.tailored(SETUPS["standard"])
    assert (controller.steps, strategy.step.of(2), method.passes) == (2, 0.5, 4) and strategy.awp and method.average
    assert METHODS["trades"].of_steps(20).tailored(SETUPS["standard"])[0].step.of(20) == 0.007 / 0.031
    for name in ("m+pgd", "free-8", "nuat2", "amata-2-10"):
        with pytest.raises(ValueError, match="has a number of steps of its own"):
            METHODS[name].of_steps(2)


def test_a_controller_that_a_strategy_cannot_serve_is_refused(tiny, batch):
    with pytest.raises(ValueError, match="measures no gradient magnitude"):
        tiny.prepared(METHODS["yopo-5-3"].strategy, tiny.build(), measure=True)
    guided = dataclasses.replace(METHODS["fat"].strategy, guide="attack")
    with pytest.raises(ValueError, match="measures no gradient magnitude"):
        tiny.prepared(guided, tiny.build(), measure=True)
    for name in ("free-8", "yopo-5-3"):
        with pytest.raises(ValueError, match="expected at least 1"):
            tiny.prepared(METHODS[name].strategy, tiny.build())(*batch, 0, numpy.random.default_rng(0))


def test_a_history_knows_the_attack_loss_by_its_first_name():
    recorded = _recorded(METHODS["trades"].strategy)
    assert recorded["climbed"] == "kl" and "attack_loss" not in recorded
    assert [*recorded][:5] == ["loss", "beta", "order", "climbed", "start"]


def test_a_nets_own_weight_decay_is_left_out(tiny, batch):
    models = [tiny.build(), tiny.build()]
    models[1].get_layer("conv1").kernel_regularizer = keras.regularizers.L2(0.1)
    models[1].get_layer("conv1").kernel.regularizer = keras.regularizers.L2(0.1)
    assert float(sum(models[1].losses)) > 0
    for name in ("pgd-7", "free-8"):
        for model in models:
            tiny.prepared(METHODS[name].strategy, model)(*batch, 2, numpy.random.default_rng(0))
    assert all(map(numpy.array_equal, *map(tiny.weights, models)))
