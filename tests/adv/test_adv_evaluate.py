"""Flags under attack against definitions, on every attack; worst case, interval, pushed adversarials."""

import numpy
import pytest

from adv import attacks, evaluate, search


@pytest.mark.parametrize("name", attacks.ATTACKS)
def test_no_epsilon_gives_the_clean_flags_and_a_large_one_fools(name, net, images):
    x, y = images
    attack = attacks.get(name)
    clean = evaluate.robust_flags(net, x, y, attack, epsilon=0)
    assert clean.dtype == bool
    numpy.testing.assert_array_equal(clean, search.classes(net, x) == y)
    numpy.testing.assert_array_equal(clean, evaluate.correct(net, x, y, batch_size=3))
    small = evaluate.robust_flags(net, x, y, attack, epsilon=1e-6)
    large = evaluate.robust_flags(net, x, y, attack, epsilon=0.4 if attack.norm == "linf" else 5)
    numpy.testing.assert_array_equal(small, clean)
    assert not (large & ~clean).any()
    assert large.sum() < 5


@pytest.mark.parametrize("name", attacks.ATTACKS)
def test_perturbations_stay_in_the_ball_and_in_range(name, net, images):
    x = images[0]
    labels = search.classes(net, x).astype(numpy.int32)
    attack = attacks.get(name)
    epsilon = 0.1 if attack.norm == "linf" else 1
    attacked = attack.within(net, x, labels, epsilon=epsilon, batch_size=5)
    assert attacked.dtype == numpy.float32 and attacked.shape == x.shape
    assert attacked.min() >= 0 and attacked.max() <= 1
    size = search.norm(attacked - x, attack.norm)
    assert size.max() <= epsilon + 1e-6 and size.max() > 0


@pytest.mark.parametrize("name", attacks.ATTACKS)
def test_linear_model_is_robust_up_to_its_margin(name, linear):
    model, weights, bias = linear
    x = (0.4 + 0.2 * numpy.random.default_rng(9).random((12, 8, 8, 1))).astype(numpy.float32)
    score = (x.astype(float) * weights).sum(axis=(1, 2, 3)) + bias
    attack = attacks.get(name)
    dual = numpy.abs(weights).sum() if attack.norm == "linf" else numpy.linalg.norm(weights)
    margin = numpy.abs(score) / dual
    epsilon = float(numpy.median(margin))
    if "deepfool" in name:  # it needs 5 % and 1e-4 more than the margin
        margin = 1.05 * (margin + 1e-4)
    flags = evaluate.robust_flags(model, x, (score > 0).astype(int), attack, epsilon=epsilon, batch_size=5)
    numpy.testing.assert_array_equal(flags, margin > epsilon)


def test_random_start_stays_in_the_ball_and_repeats(net, images):
    x = images[0]
    labels = search.classes(net, x).astype(numpy.int32)
    attack = attacks.PGD(steps=3, random_start=True)
    first = attack.within(net, x, labels, epsilon=0.01)
    numpy.testing.assert_array_equal(first, attack.within(net, x, labels, epsilon=0.01))
    assert numpy.abs(first - x).max() <= 0.01 + 1e-7
    assert (first != attacks.PGD(steps=3).within(net, x, labels, epsilon=0.01)).any()


def test_negative_epsilon_is_refused(net, images):
    with pytest.raises(ValueError, match="epsilon is -1"):
        evaluate.robust_flags(net, *images, attacks.FGSM(), epsilon=-1)


def test_worst_case_is_correct_under_every_attack():
    flags = {"a": numpy.array([True, True, False]), "b": numpy.array([True, False, False])}
    assert evaluate.worst_case(flags).tolist() == [True, False, False]
    for wrong in ({}, {"a": flags["a"], "b": flags["b"][:2]}):
        with pytest.raises(ValueError, match="flags have lengths"):
            evaluate.worst_case(wrong)


@pytest.mark.parametrize("count", [0, 3, 10])
def test_share_has_the_wilson_interval(count):
    share = evaluate.share(numpy.arange(10) < count)
    z, p = 1.959963984540054, count / 10
    centre, half = (p + z**2 / 20) / (1 + z**2 / 10), z / (1 + z**2 / 10) * (p * (1 - p) / 10 + z**2 / 400) ** 0.5
    assert (share.count, share.total, share.value) == (count, 10, p)
    numpy.testing.assert_allclose([share.low, share.high], [centre - half, centre + half], atol=1e-12)


def test_share_of_anything_but_flags_is_refused():
    for wrong in (numpy.zeros(0, bool), numpy.zeros(3), numpy.zeros((2, 2), bool)):
        with pytest.raises(ValueError, match="expected bool"):
            evaluate.share(wrong)


def test_push_moves_along_the_perturbation_and_clips():
    x = numpy.full((1, 2, 2, 1), 51, numpy.uint8)
    adversarial = numpy.full((1, 2, 2, 1), 0.4, numpy.float32)
    adversarial[0, 0, 0] = 1
    pushed = evaluate.push(x, adversarial, 1.5)
    assert pushed.dtype == numpy.float32
    numpy.testing.assert_allclose(pushed.ravel(), [1, 0.5, 0.5, 0.5], atol=1e-7)
    numpy.testing.assert_allclose(evaluate.push(x, adversarial, 1), adversarial, atol=1e-7)
    with pytest.raises(ValueError, match="adversarials have shape"):
        evaluate.push(x, adversarial[:, :1], 1.5)
