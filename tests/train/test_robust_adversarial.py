"""Adversarial training against plain loops: its attack, its order of passes, its early stop (FAT)."""

import dataclasses

import keras
import numpy
import pytest

from models import compute, perturb
from train import batch_norm
from train.robust import METHODS, SETUPS
from train.robust.adversarial import Adversarial
from train.robust.friendly import Friendly
from train.robust.perturbation import StepSize, begin


def naive_pgd(model, images, labels, start, *, steps, size, epsilon, loss):
    """Projected sign steps, in NumPy around the gradient of the input."""
    gradient, current = compute.input_gradient(model, loss), start
    for _ in range(steps):
        moved = current + numpy.float32(size) * numpy.sign(numpy.asarray(gradient(current, labels)))
        current = (images + (moved - images).clip(-epsilon, epsilon)).clip(0, 1)
    return current


@pytest.mark.parametrize("name", ["pgd-7", "trades", "mart"])
def test_the_attack_in_eval_mode_equals_the_loop_written_out(tiny, name, batch, seen):
    images, labels = batch
    model = tiny.build()
    strategy = dataclasses.replace(METHODS[name].strategy, attack_mode="eval")
    passed = seen(0)
    run = tiny.prepared(strategy, model)
    targets, loss = labels, perturb.cross_entropy
    if name == "trades":
        clean = numpy.asarray(compute.forward(model)(images))
        targets = numpy.exp(clean) / numpy.exp(clean).sum(-1, keepdims=True)

        def loss(logits, p):
            return keras.ops.sum(p * (keras.ops.log(p) - keras.ops.log_softmax(logits)), axis=-1)

    start = begin(images, tiny.epsilon, strategy.start, numpy.random.default_rng(7), clip=strategy.clip_start)
    size = tiny.epsilon * strategy.step.share
    expected = naive_pgd(model, images, targets, start, steps=4, size=size, epsilon=tiny.epsilon, loss=loss)
    run(images, labels, 4, numpy.random.default_rng(7))
    different = abs(passed[0] - expected) > 1e-6  # a gradient of zero has no sign worth comparing
    assert different.mean() < 0.01


def test_a_start_is_clipped_to_the_box_where_the_set_up_says_so(tiny, batch, seen):
    images, labels = batch
    passed = seen(0)
    for setup in ("fast", "standard"):
        strategy, _ = METHODS["m+deat"].tailored(SETUPS[setup])
        tiny.prepared(strategy, tiny.build())(images, labels, 1, numpy.random.default_rng(5))
    noise = tiny.epsilon * (2 * numpy.random.default_rng(5).random(images.shape, "float32") - 1)
    assert passed[0].min() < 0 and passed[0].max() > 1
    numpy.testing.assert_allclose(passed[0], images + noise, atol=1e-6)
    numpy.testing.assert_allclose(passed[1], (images + noise).clip(0, 1), atol=1e-6)


def test_n_fgsm_steps_from_its_noise_and_is_not_clipped_to_the_ball(tiny, batch, seen):
    images, labels = batch
    strategy = dataclasses.replace(METHODS["n-fgsm"].strategy, attack_mode="eval")
    model, passed = tiny.build(), seen(0)
    run = tiny.prepared(strategy, model)
    noise = 2 * tiny.epsilon * (2 * numpy.random.default_rng(5).random(images.shape, "float32") - 1)
    start = (images + noise).clip(0, 1)
    gradient = numpy.asarray(compute.input_gradient(model, perturb.cross_entropy)(start, labels))
    expected = (start + tiny.epsilon * numpy.sign(gradient)).clip(0, 1)
    run(images, labels, 1, numpy.random.default_rng(5))
    assert (abs(passed[0] - expected) > 1e-6).mean() < 0.01
    assert 2 * tiny.epsilon < abs(passed[0] - images).max() <= 3 * tiny.epsilon + 1e-6


@pytest.mark.parametrize("name", ["trades", "mart", "f+trades", "f+mart", "trades-deat"])
def test_images_pass_through_the_net_in_the_order_of_the_authors_code(tiny, name, batch, seen):
    """Batch norm's moving mean after an update of one attack step, passed through in float64."""
    images, labels = batch
    model, updated = tiny.build(), seen(0)
    strategy = METHODS[name].strategy
    convolution = keras.Model(model.input, model.get_layer("conv1").output)
    kernel = [numpy.array(part) for part in convolution.get_weights()]
    tiny.prepared(strategy, model)(images, labels, 1, numpy.random.default_rng(2))
    convolution.set_weights(kernel)
    start = begin(images, tiny.epsilon, strategy.start, numpy.random.default_rng(2), clip=strategy.clip_start)
    passed = [start, images] if name == "trades-deat" else []  # at every step, the perturbed images and the clean ones
    passed += [images if images_seen == "clean" else updated[0] for images_seen in strategy.update_order]
    moving = numpy.zeros(6)
    for images_seen in passed:
        moving = 0.9 * moving + 0.1 * numpy.asarray(convolution(images_seen), "float64").mean((0, 1, 2))
    assert abs(updated[0] - images).max() > 0.01
    numpy.testing.assert_allclose(numpy.array(model.get_layer("bn1").moving_mean), moving, atol=2e-6)


@pytest.mark.parametrize(("loss", "order"), [("mart", ("clean",)), ("cross-entropy", ("clean", "adversarial"))])
def test_another_order_is_refused(loss, order):
    with pytest.raises(ValueError, match=f"order of {loss} is .*expected one of"):
        Adversarial(loss=loss, order=order, step=StepSize(share=0.25))


@pytest.mark.backends
def test_pgd_in_train_mode_moves_the_statistics_at_every_step(tiny, batch):
    moved = {}
    for mode in ("train", "eval"):
        model = tiny.build()
        before = numpy.array(model.get_layer("bn1").moving_mean)
        strategy = dataclasses.replace(METHODS["pgd-7"].strategy, attack_mode=mode, start="zero")
        tiny.prepared(strategy, model, rate=1e-9)(*batch, 5, numpy.random.default_rng(0))
        moved[mode] = abs(numpy.array(model.get_layer("bn1").moving_mean) - before).max()
    assert moved["train"] > 3 * moved["eval"] > 0


@pytest.mark.backends
@pytest.mark.parametrize("name", ["rice", "awp", "n-fgsm", "history-at"])
def test_only_the_update_moves_the_statistics(name, tiny, batch, seen):
    """As often as without an attack: by a tenth of the way to the moments of the images that the update sees."""
    passed, model = seen(0), tiny.build()
    variables = [getattr(model.get_layer("bn1"), which) for which in ("moving_mean", "moving_variance")]
    before = [numpy.array(variable) for variable in variables]
    strategy = dataclasses.replace(METHODS[name].strategy, awp=None)
    tiny.prepared(strategy, model, rate=1e-9)(*batch, 10, numpy.random.default_rng(0))
    convolution = compute.forward(keras.Model(model.inputs, model.get_layer("bn1").input))
    mean = numpy.asarray(convolution(passed[-1]), "float64").mean((0, 1, 2))
    numpy.testing.assert_allclose(numpy.array(variables[0]), 0.9 * before[0] + 0.1 * mean, atol=2e-6)
    assert abs(numpy.array(variables[1]) - before[1]).max() > 0


def test_statistics_are_kept_after_an_error_too(tiny):
    model = tiny.build()
    before = numpy.array(model.get_layer("bn1").moving_mean)
    with pytest.raises(KeyboardInterrupt), batch_norm.keeping_statistics(model):
        model.get_layer("bn1").moving_mean.assign(before + 1)
        raise KeyboardInterrupt
    numpy.testing.assert_array_equal(numpy.array(model.get_layer("bn1").moving_mean), before)


def test_fat_with_all_its_patience_and_no_noise_is_pgd(tiny, batch, seen):
    passed = seen(0)
    plain = dataclasses.replace(METHODS["fat"].strategy, friendly=None)
    patient = dataclasses.replace(plain, friendly=Friendly(tau=6, omega=0.0))
    outcomes = [
        tiny.prepared(strategy, tiny.build())(*batch, 6, numpy.random.default_rng(5)) for strategy in (plain, patient)
    ]
    numpy.testing.assert_allclose(passed[0], passed[1], atol=1e-6)
    assert outcomes[0].passes == outcomes[1].passes == 7


def test_fat_keeps_an_image_where_its_patience_ends(tiny, batch, seen):
    images, labels = batch
    model = tiny.build()
    passed = seen(0)
    strategy = dataclasses.replace(METHODS["fat"].strategy, friendly=Friendly(tau=0, omega=0.0), start="zero")
    outcome = tiny.prepared(strategy, model)(images, labels, 10, numpy.random.default_rng(0))
    later = dataclasses.replace(strategy, friendly=Friendly(tau=0, rises=(0.5,), omega=0.0))
    assert tiny.prepared(later, tiny.build())(images, labels, 10, numpy.random.default_rng(0)).passes == outcome.passes
    grown = tiny.prepared(later, tiny.build())(images, labels, 10, numpy.random.default_rng(0), progress=0.5)
    assert grown.passes > outcome.passes
    misclassified = numpy.argmax(compute.forward(tiny.build())(images), -1) != labels
    assert misclassified.any()
    numpy.testing.assert_array_equal(
        passed[0][misclassified], images[misclassified]
    )  # wrong from the start: not moved at all
    assert 1 < outcome.passes < 11


@pytest.mark.parametrize("tau", [0, 1, 2])
def test_fat_takes_tau_steps_with_what_is_misclassified_from_the_start(tau, tiny, batch):
    images, _ = batch
    model = tiny.build()
    others = ((numpy.argmax(compute.forward(model)(images), -1) + 1) % 3).astype("int32")
    strategy = dataclasses.replace(METHODS["fat"].strategy, friendly=Friendly(tau=tau, omega=0.0), start="zero")
    outcome = tiny.prepared(strategy, model)(images, others, 10, numpy.random.default_rng(0))
    assert outcome.passes == tau + 1 + 1  # the pass that ends it, and the update's


def test_friendly_steps_are_compiled_for_few_sizes(tiny, batch, monkeypatch):
    sizes, original = set(), compute.predict

    def counted(run, *arrays, batch_size):
        sizes.add(batch_size)
        return original(run, *arrays, batch_size=batch_size)

    monkeypatch.setattr(compute, "predict", counted)
    tiny.prepared(METHODS["fat"].strategy, tiny.build())(*batch, 10, numpy.random.default_rng(0))
    assert sizes == {12}  # predict pads a shorter batch to a power of two where a new shape is a new compilation
