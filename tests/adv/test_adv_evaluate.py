"""Flags under attack against definitions, on every attack; interval, pushed adversarials."""

import numpy
import pytest

from adv import attacks, evaluate, search


def test_random_start_stays_in_the_ball_and_repeats(net, images):
    x = images[0]
    labels = search.classes(net, x).astype(numpy.int32)
    attack = attacks.PGD(steps=3, random_start=True)
    first = attack.within(net, x, labels, epsilon=0.01)
    numpy.testing.assert_array_equal(first, attack.within(net, x, labels, epsilon=0.01))
    assert numpy.abs(first - x).max() <= 0.01 + 1e-7
    assert (first != attacks.PGD(steps=3).within(net, x, labels, epsilon=0.01)).any()


def test_known_flags_are_attacked_alone_and_the_others_stay_false(net, images):
    x, y = images
    attack, clean = attacks.FGSM(), evaluate.correct(net, x, y)
    whole = evaluate.robust_flags(net, x, y, attack, epsilon=0.01)
    numpy.testing.assert_array_equal(
        evaluate.robust_flags(net, x, y, attack, epsilon=0.01, correct=clean, batch_size=3), whole
    )
    some = clean & (numpy.arange(len(y)) % 2 == 0)
    flags = evaluate.robust_flags(net, (255 * x).round().astype("uint8"), y, attack, epsilon=0, correct=some)
    numpy.testing.assert_array_equal(flags, some)
    assert flags is not some
    for refused in (clean[:3], clean.astype(int)):
        with pytest.raises(ValueError, match="correct is"):
            evaluate.robust_flags(net, x, y, attack, epsilon=0.01, correct=refused)


@pytest.mark.parametrize("name", ["fgsm", "deepfool"])
def test_distances_are_the_norms_of_minimal_perturbations(name, net, images):
    x, y = images
    attack = attacks.get(name)
    minimal = search.minimal(net, x, y, attack)
    naive = [numpy.linalg.norm((image - other).ravel(), {"linf": numpy.inf, "l2": 2}[attack.norm])
             for image, other in zip(minimal.images, x, strict=True)]  # fmt: skip
    assert minimal.success.all()
    distances = evaluate.distances(net, x, y, attack)
    assert distances.dtype == numpy.float32
    numpy.testing.assert_allclose(distances, naive, rtol=1e-3)
    clean = evaluate.correct(net, x, y)
    numpy.testing.assert_array_equal(distances == 0, ~clean)
    numpy.testing.assert_allclose(evaluate.distances(net, x, y, attack, correct=clean), naive, rtol=1e-3)


def test_a_failed_attack_has_no_distance(net, images):
    class Failing:
        norm = "linf"

        def closest(self, model, images, labels, *, batch_size):
            return images, numpy.zeros(len(images), bool)

    clean = evaluate.correct(net, *images)
    distances = evaluate.distances(net, *images, Failing())
    numpy.testing.assert_array_equal(numpy.isnan(distances), clean)
    assert not evaluate.distances(net, *images, Failing(), correct=numpy.zeros(len(clean), bool)).any()


def test_negative_epsilon_is_refused(net, images):
    with pytest.raises(ValueError, match="epsilon is -1"):
        evaluate.robust_flags(net, *images, attacks.FGSM(), epsilon=-1)


@pytest.mark.parametrize("count", [0, 3, 10])
def test_share_has_the_wilson_interval(count):
    share = evaluate.share(numpy.arange(10) < count)
    z, p = 1.959963984540054, count / 10
    centre, half = (p + z**2 / 20) / (1 + z**2 / 10), z / (1 + z**2 / 10) * (p * (1 - p) / 10 + z**2 / 400) ** 0.5
    assert (share.count, share.total, share.value) == (count, 10, p)
    numpy.testing.assert_allclose([share.low, share.high], [centre - half, centre + half], atol=1e-12)


def test_share_of_anything_but_flags_is_refused():
    for refused in (numpy.zeros(0, bool), numpy.zeros(3), numpy.zeros((2, 2), bool)):
        with pytest.raises(ValueError, match="expected bool"):
            evaluate.share(refused)


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
