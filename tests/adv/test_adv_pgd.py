"""PGD beyond its search: one call or many, zero gradients, the noise of its starts, restarts, and bad settings."""

import dataclasses

import keras
import numpy
import pytest

from adv import attacks, pgd, search
from adv.base import noise
from models import compute

pytestmark = pytest.mark.backends


@pytest.mark.parametrize(
    "attack",
    [
        *(
            attacks.PGD(norm=norm, steps=7, rel_stepsize=1 / 7, loss=loss)
            for norm, loss in (("linf", "ce"), ("l1", "ce"), ("linf", "margin"))
        ),
        attacks.TemperaturePGD(steps=7, rel_stepsize=1 / 7, random_start=False),
    ],
    ids=["linf-ce", "l1-ce", "linf-margin", "tempered"],
)
def test_a_trial_in_one_call_equals_a_trial_in_steps(attack, net, images, monkeypatch):
    x = images[0]
    labels = search.classes(net, x).astype(numpy.int32)
    epsilon = numpy.full(len(x), 0.05 if attack.norm == "linf" else 3, numpy.float32)
    for count in (len(x), 6):  # of the whole some withstand; at ten times the size none of the six does
        scale = numpy.float32(1 if count == len(x) else 20)
        arrays = [part[:count] for part in (x, labels, scale * epsilon)]
        trials = []
        for one_call in (False, True):
            monkeypatch.setattr(compute, "ON_ACCELERATOR", one_call)
            trials.append(attack._restart(net, *arrays, 0, 256))
        (steps, fooled), (whole, fooled_too) = trials
        numpy.testing.assert_allclose(whole, steps, atol=1e-6)
        numpy.testing.assert_array_equal(fooled_too, fooled)
        assert fooled.any() and fooled.all() == (count == 6)


def test_temperature_1_is_pgd_and_a_low_one_the_margin(net, images):
    x, labels = images[0], search.classes(net, images[0]).astype(numpy.int32)
    for temperature, other in ((1.0, "pgd-20"), (1e-4, "cw-linf-20")):
        attack = attacks.TemperaturePGD(temperature=temperature)
        first, two = (each.within(net, x, labels, epsilon=0.02) for each in (attack, attacks.get(other)))
        assert (abs(first - two) < 1e-6).mean() > 0.98  # but for gradients whose sign is a matter of rounding


def test_a_gradient_of_zero_moves_nothing(linear):
    model, _, _ = linear
    flat = keras.models.clone_model(model)
    flat.set_weights([numpy.zeros((64, 2)), numpy.float32([0, 1])])
    x = numpy.random.default_rng(0).random((3, 8, 8, 1), dtype=numpy.float32)
    for norm in ("linf", "l1"):
        attacked = attacks.PGD(norm=norm, steps=3).within(flat, x, numpy.ones(3, numpy.int32), epsilon=0.1)
        numpy.testing.assert_array_equal(attacked, x)


def test_noise_depends_on_the_seed_the_draw_and_the_image_alone(images):
    x = images[0]
    whole = noise(x, seed=3, draw=1)
    assert whole.dtype == numpy.float32 and whole.shape == x.shape
    assert whole.min() < -0.99 and whole.max() > 0.99 and numpy.abs(whole).max() <= 1 and abs(whole.mean()) < 0.05
    numpy.testing.assert_array_equal(noise(x[[5, 2]], seed=3, draw=1), whole[[5, 2]])
    for other in (noise(x, seed=4, draw=1), noise(x, seed=3, draw=0), numpy.roll(whole, 1, axis=0)):
        assert (other != whole).mean() > 0.99


def test_later_restarts_are_for_images_that_are_still_right(net, images, monkeypatch):
    x = images[0]
    labels = search.classes(net, x).astype(numpy.int32)
    attack = attacks.PGD(steps=1, rel_stepsize=0.2, random_start=True)
    started_runs = []

    def spy(started, *, seed, draw):
        started_runs.append((draw, len(started)))
        return noise(started, seed=seed, draw=draw)

    monkeypatch.setattr(pgd, "noise", spy)
    once = attack.within(net, x, labels, epsilon=0.05, batch_size=5)
    fooled = search.classes(net, once) != labels
    started_runs.clear()
    often = dataclasses.replace(attack, restarts=4).within(net, x, labels, epsilon=0.05, batch_size=5)
    numpy.testing.assert_array_equal(often[fooled], once[fooled])
    assert started_runs[:2] == [(0, 14), (1, 14 - fooled.sum())] and 0 < fooled.sum() < 14
    assert (search.classes(net, often) != labels).sum() > fooled.sum()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: attacks.PGD(norm="l0"), "norm is 'l0', expected one of linf, l1, l2"),
        (lambda: attacks.PGD(restarts=2), "restarts is 2 with random_start=False"),
        (lambda: attacks.PGD(restarts=0, random_start=True), "restarts is 0"),
        (lambda: attacks.TemperaturePGD(temperature=0), "temperature is 0, expected a finite number above 0"),
        (lambda: attacks.TemperaturePGD(loss="ce"), "loss is 'ce', expected one of tempered"),
        (lambda: attacks.DeepFool(norm="l1"), "norm is 'l1', expected 'l2' or 'linf'"),
        (lambda: attacks.DeepFool(candidates=1), "candidates is 1, expected a whole number of at least 2"),
        (lambda: search.norm(numpy.zeros((1, 2, 2, 1)), "l3"), "norm is 'l3', expected one of l0, l1, l2, linf"),
    ],
)
def test_settings_that_make_no_sense_are_refused(make, words):
    with pytest.raises(ValueError, match=words):
        make()
