"""The two searches and their attacks against one image at a time in NumPy."""

import dataclasses

import keras
import numpy
import pytest

from adv import attacks, search
from adv.base import noise
from models import compute

pytestmark = pytest.mark.backends


def sequential_grid(adversarial, epsilons=1000):
    """foolbox 2.3.0's loop over epsilon for one image; None where nothing is adversarial."""
    sizes = numpy.linspace(0, 1, epsilons + 1)[1:]
    smallest = None
    for attempt in range(2):
        for index, size in enumerate(sizes):
            if adversarial(size):
                smallest = size
                if attempt == 0 and index >= 20:
                    return smallest
                break
        if smallest is not None:
            sizes = numpy.linspace(0, smallest, 21)[1:]
    return smallest


def sequential_bisection(attempt, image, epsilon=0.3, bisections=20):
    """foolbox 2.3.0's `_run_binary_search` for one image with its memory of the closest: image or None."""
    closest, nearest = None, numpy.inf

    def fooled(size):
        nonlocal closest, nearest
        candidate, success = attempt(size)
        distance = float(numpy.square(candidate.astype(float) - image).sum())
        if success and distance < nearest:
            closest, nearest = candidate, distance
        return success

    for _ in range(20):
        if fooled(epsilon):
            break
        epsilon *= 1.5
    else:
        return None
    bad, good = 0, epsilon
    for _ in range(bisections):
        epsilon = (good + bad) / 2
        if fooled(epsilon):
            good = epsilon
        else:
            bad = epsilon
    return closest


def cross_entropy(logits, labels):
    return keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True)


def eager(model):
    """Prediction and gradient of one image, without the searches under test."""
    gradient, forward = compute.input_gradient(model, cross_entropy), compute.forward(model)

    def predict(image):
        return numpy.asarray(forward(image[None]))[0].argmax()

    def gradient_of(image, label):
        return numpy.asarray(gradient(image[None], numpy.asarray([label], numpy.int32)))[0]

    return predict, gradient_of


@pytest.mark.parametrize("seed", range(5))
def test_grid_equals_one_image_at_a_time(seed):
    success = numpy.random.default_rng(seed).random((40, 1021)) < 10.0 ** -numpy.arange(40)[:, None].clip(1, 4)

    def adversarial(row, size):
        return success[row, int(size * 99991) % 1021]  # any rule that is not monotone in size

    expected = [sequential_grid(lambda size, row=row: adversarial(row, size)) for row in range(40)]
    tried = []

    def trial(rows, epsilon):
        tried.extend(rows)
        return numpy.array([[adversarial(r, e) for e in line] for r, line in zip(rows, epsilon, strict=True)])

    smallest = search.grid(trial, 40)
    numpy.testing.assert_array_equal(smallest, [numpy.nan if value is None else value for value in expected])
    assert tried.count(0) < 100  # found early, tried no more


@pytest.mark.parametrize("seed", range(5))
def test_bisection_equals_one_image_at_a_time(seed):
    generator = numpy.random.default_rng(seed)
    images = generator.random((30, 3, 3, 1), dtype=numpy.float32)
    border = 10 ** generator.uniform(-3, 4, 30)  # some beyond .3 * 1.5 ** 19 = 665: never reached
    holes = generator.random((30, 1021)) < 0.2

    def attempt(row, size):
        candidate = images[row] + numpy.float32(size) * (1 if size * 1e6 % 2 < 1 else numpy.float32(0.5))
        return candidate, size > border[row] and not holes[row, int(size * 99991) % 1021]

    def trial(rows, epsilon):
        pairs = [attempt(row, size) for row, size in zip(rows, epsilon, strict=True)]
        return numpy.stack([pair[0] for pair in pairs]), numpy.array([pair[1] for pair in pairs])

    candidates, success = search.bisection(trial, images)
    expected = [sequential_bisection(lambda size, row=row: attempt(row, size), images[row]) for row in range(30)]
    assert success.tolist() == [value is not None for value in expected]
    assert 0 < success.sum() < 30
    for row, value in enumerate(expected):
        numpy.testing.assert_array_equal(candidates[row], images[row] if value is None else value)


def test_fgsm_equals_the_naive_loop(net, images):
    x, y = (part[:9] for part in images)
    predict, gradient_of = eager(net)
    result = search.minimal(net, x, y, attacks.FGSM(), batch_size=6)
    for image, label, candidate, success in zip(x, y, result.images, result.success, strict=True):
        if predict(image) != label:
            assert success and (candidate == image).all()
            continue
        direction = numpy.sign(gradient_of(image, label))

        def moved(size, image=image, direction=direction):
            return numpy.clip(image + numpy.float32(size) * direction, 0, 1)

        size = sequential_grid(lambda size, label=label, moved=moved: predict(moved(size)) != label)
        assert success == (size is not None)
        numpy.testing.assert_array_equal(candidate, image if size is None else moved(size))


def naive_trial(model, image, label, attack, size):
    """A trial of PGD or BIM on an image: (iterate, misclassified). size: epsilon, in "l1" the mean change [P]."""
    predict, gradient_of = eager(model)
    size, step = numpy.float32(size), numpy.float32(attack.rel_stepsize * float(size))
    for draw in range(attack.restarts):
        current = image
        if attack.random_start:
            current = numpy.clip(image + size * noise(image[None], seed=attack.seed, draw=draw)[0], 0, 1)
        for _ in range(attack.steps):
            if attack.random_start and predict(current) != label:  # a random start is judged, the image is right
                break
            gradient = gradient_of(current, label)
            if attack.norm == "linf":
                change = numpy.clip(current + step * numpy.sign(gradient) - image, -size, size)
            else:
                change = current + step * gradient / numpy.mean(numpy.abs(gradient)) - image
                change = change * min(1, size / max(1e-12, numpy.mean(numpy.abs(change))))
            current = numpy.clip(image + change, 0, 1)
            if predict(current) != label:
                break
        if predict(current) != label:
            return current, True
    return current, False


STEPPING = {
    "pgd": attacks.PGD(steps=6, rel_stepsize=0.25),
    "restarts": attacks.PGD(steps=3, rel_stepsize=0.4, random_start=True, restarts=3, seed=4),
    "bim": attacks.BIM(),
    "bim-linf": attacks.BIM(norm="linf"),
}


@pytest.mark.parametrize("name", STEPPING)
def test_stepping_equals_the_naive_loop(name, net, images):
    x, y = images
    attack = dataclasses.replace(STEPPING[name], bisections=8)
    result = search.minimal(net, x, y, attack, batch_size=6)
    for image, label, candidate, success in zip(x[:6], y[:6], result.images, result.success, strict=False):
        if search.classes(net, image[None])[0] != label:
            assert success and (candidate == image).all()
            continue

        def attempt(size, image=image, label=label):
            return naive_trial(net, image, label, attack, size)

        expected = sequential_bisection(attempt, image, bisections=8)
        assert success == (expected is not None)
        numpy.testing.assert_allclose(candidate, image if expected is None else expected, atol=1e-6)


@pytest.mark.parametrize("name", ["linf", "l1", "l2"])
@pytest.mark.parametrize("epsilon", [0, 1e-9, 1e-6, 1e-3, 0.1, 1.0, 10.0])
def test_what_lies_outside_is_moved_just_inside_the_ball(name, epsilon):
    """Also where the radius is below the distance of neighbouring float32 values, and at the ends of [0, 1]."""
    generator = numpy.random.default_rng(0)
    images = generator.random((20, 6, 6, 3), dtype=numpy.float32)
    images[0], images[1] = 0, 1
    change = generator.normal(size=images.shape) * generator.choice([1e-8, 1e-4, 1], size=(20, 1, 1, 1))
    attacked = numpy.clip(images + change, 0, 1).astype(numpy.float32)
    moved = search.inside(attacked, images, epsilon, name)
    assert moved.dtype == numpy.float32 and moved.min() >= 0 and moved.max() <= 1
    before, after = (search.norm(each - images.astype(float), name) for each in (attacked, moved))
    assert (after <= epsilon).all()
    numpy.testing.assert_array_equal(moved[before <= epsilon], attacked[before <= epsilon])
    steps = {"linf": 1, "l1": images[0].size, "l2": images[0].size ** 0.5}[name]  # of 2^-24, one a value at most
    assert (after >= numpy.minimum(before, epsilon) - 2 * steps * 2.0**-24).all(), "no further than rounding takes it"
