"""The two searches and the stepping attacks against one image at a time in NumPy, a linear model in closed form, and
what `minimal` refuses."""

import dataclasses

import keras
import numpy
import pytest

from adv import attacks, pgd, search
from adv.attack import noise
from models import compute


def sequential_grid(adversarial, epsilons=1000):
    """foolbox 2.3.0's loop over epsilon for one image; None where nothing is adversarial."""
    sizes = numpy.linspace(0, 1, epsilons + 1)[1:]
    found = None
    for attempt in range(2):
        for index, size in enumerate(sizes):
            if adversarial(size):
                found = size
                if attempt == 0 and index >= 20:
                    return found
                break
        if found is not None:
            sizes = numpy.linspace(0, found, 21)[1:]
    return found


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

    def slope(image, label):
        return numpy.asarray(gradient(image[None], numpy.asarray([label], numpy.int32)))[0]

    return predict, slope


@pytest.mark.parametrize("seed", range(5))
def test_grid_equals_one_image_at_a_time(seed):
    success = numpy.random.default_rng(seed).random((40, 1021)) < 10.0 ** -numpy.arange(40)[:, None].clip(1, 4)

    def adversarial(row, size):
        return success[row, int(size * 99991) % 1021]  # any rule that is not monotone in size

    expected = [sequential_grid(lambda size, row=row: adversarial(row, size)) for row in range(40)]
    asked = []

    def trial(rows, epsilon):
        asked.extend(rows)
        return numpy.array([[adversarial(r, e) for e in line] for r, line in zip(rows, epsilon, strict=True)])

    found = search.grid(trial, 40)
    numpy.testing.assert_array_equal(found, [numpy.nan if value is None else value for value in expected])
    assert asked.count(0) < 100  # found early, tried no more


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
    predict, slope = eager(net)
    result = search.minimal(net, x, y, attacks.FGSM(), batch_size=6)
    for image, label, found, success in zip(x, y, result.images, result.success, strict=True):
        if predict(image) != label:
            assert success and (found == image).all()
            continue
        direction = numpy.sign(slope(image, label))

        def moved(size, image=image, direction=direction):
            return numpy.clip(image + numpy.float32(size) * direction, 0, 1)

        size = sequential_grid(lambda size, label=label, moved=moved: predict(moved(size)) != label)
        assert success == (size is not None)
        numpy.testing.assert_array_equal(found, image if size is None else moved(size))


def naive_trial(model, image, label, attack, size):
    """One trial of PGD or BIM on one image: (iterate, is it wrong). size: epsilon, in "l1" the mean change [P]."""
    predict, slope = eager(model)
    size, step = numpy.float32(size), numpy.float32(attack.rel_stepsize * float(size))
    for draw in range(attack.restarts):
        current = image
        if attack.random_start:
            current = numpy.clip(image + size * noise(image[None], seed=attack.seed, draw=draw)[0], 0, 1)
        for _ in range(attack.steps):
            if attack.random_start and predict(current) != label:  # a random start is judged, the image is right
                break
            gradient = slope(current, label)
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
    for image, label, found, success in zip(x[:6], y[:6], result.images, result.success, strict=False):
        if search.classes(net, image[None])[0] != label:
            assert success and (found == image).all()
            continue

        def attempt(size, image=image, label=label):
            return naive_trial(net, image, label, attack, size)

        expected = sequential_bisection(attempt, image, bisections=8)
        assert success == (expected is not None)
        numpy.testing.assert_allclose(found, image if expected is None else expected, atol=1e-6)


@pytest.mark.parametrize("norm", ["linf", "l1"])
def test_a_trial_in_one_call_equals_a_trial_in_steps(norm, net, images):
    x = images[0]
    labels = search.classes(net, x).astype(numpy.int32)
    attack = attacks.PGD(norm=norm, steps=7)
    epsilon = numpy.full(len(x), 0.05 if norm == "linf" else 3, numpy.float32)
    whole = compute.compiled(net, pgd._until_wrong(norm, 7))
    for count in (len(x), 6):  # of the whole some withstand; at ten times the size none of the six does
        scale = numpy.float32(1 if count == len(x) else 20)
        arrays = [part[:count] for part in (x, x, labels, scale * epsilon, scale * epsilon / 7)]
        one, wrong = (numpy.asarray(part) for part in whole(*arrays))
        steps, wrong_too = (numpy.asarray(part) for part in attack._stepwise(net)(*arrays))
        numpy.testing.assert_allclose(one, steps, atol=1e-6)
        numpy.testing.assert_array_equal(wrong, wrong_too)
        assert wrong.any() and wrong.all() == (count == 6)


def test_a_gradient_of_zero_moves_nothing(linear):
    model, _, _ = linear
    flat = keras.models.clone_model(model)
    flat.set_weights([numpy.zeros((64, 2)), numpy.float32([0, 1])])
    x = numpy.random.default_rng(0).random((3, 8, 8, 1), dtype=numpy.float32)
    for norm in ("linf", "l1"):
        made = attacks.PGD(norm=norm, steps=3).within(flat, x, numpy.ones(3, numpy.int32), epsilon=0.1)
        numpy.testing.assert_array_equal(made, x)


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
    asked = []

    def spy(started, *, seed, draw):
        asked.append((draw, len(started)))
        return noise(started, seed=seed, draw=draw)

    monkeypatch.setattr(pgd, "noise", spy)
    once = attack.within(net, x, labels, epsilon=0.05, batch_size=5)
    fooled = search.classes(net, once) != labels
    asked.clear()
    often = dataclasses.replace(attack, restarts=4).within(net, x, labels, epsilon=0.05, batch_size=5)
    numpy.testing.assert_array_equal(often[fooled], once[fooled])
    assert asked[:2] == [(0, 14), (1, 14 - fooled.sum())] and 0 < fooled.sum() < 14
    assert (search.classes(net, often) != labels).sum() > fooled.sum()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: attacks.PGD(norm="l2"), "norm is 'l2', expected one of linf, l1"),
        (lambda: attacks.PGD(restarts=2), "restarts is 2 with random_start=False"),
        (lambda: attacks.PGD(restarts=0, random_start=True), "restarts is 0"),
        (lambda: attacks.DeepFool(norm="l1"), "norm is 'l1', expected 'l2' or 'linf'"),
        (lambda: attacks.DeepFool(candidates=1), "candidates is 1, expected at least 2"),
        (lambda: search.norm(numpy.zeros((1, 2, 2, 1)), "l3"), "norm is 'l3', expected one of l0, l1, l2, linf"),
    ],
)
def test_settings_that_make_no_sense_are_refused(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_norms_equal_those_of_numpy():
    change = numpy.random.default_rng(0).normal(size=(5, 3, 4, 2)).astype(numpy.float32)
    change[:, 0] = 0
    for name, order in (("l0", 0), ("l1", 1), ("l2", 2), ("linf", numpy.inf)):
        expected = [numpy.linalg.norm(one.astype(float).ravel(), order) for one in change]
        numpy.testing.assert_allclose(search.norm(change, name), expected, rtol=1e-12)


def margins(linear, count=12):
    model, weights, bias = linear
    generator = numpy.random.default_rng(2)
    x = (0.2 + 0.6 * generator.random((count, 8, 8, 1))).astype(numpy.float32)
    score = (x.astype(float) * weights).sum(axis=(1, 2, 3)) + bias
    return model, weights.astype(float), x, (score > 0).astype(int), numpy.abs(score)


def test_linear_model_in_closed_form(linear):
    model, weights, x, y, margin = margins(linear)
    l1, l2 = numpy.abs(weights).sum(), numpy.linalg.norm(weights)
    exact = margin / l1

    def size(name):
        return search.norm(search.minimal(model, x, y, attacks.get(name)).images - x, attacks.get(name).norm)

    coarse = numpy.ceil(exact * 1000) / 1000
    assert (coarse <= 0.02).any() and (coarse > 0.02).any()
    grid = numpy.where(coarse <= 0.02, numpy.ceil(exact / coarse * 20) * coarse / 20, coarse)
    numpy.testing.assert_allclose(size("fgsm"), grid, atol=1e-6)
    numpy.testing.assert_allclose(size("pgd"), exact, atol=2e-6)
    numpy.testing.assert_allclose(size("bim-linf"), exact, atol=2e-6)
    numpy.testing.assert_allclose(size("bim"), margin * l1 / l2**2, rtol=1e-3)  # along the gradient
    # DeepFool adds 1e-4 to the distance and overshoots by 5 %
    numpy.testing.assert_allclose(size("deepfool-linf"), 1.05 * (exact + 1e-4), rtol=1e-3)
    numpy.testing.assert_allclose(size("deepfool"), 1.05 * (margin / l2 + 1e-4), rtol=1e-3)
    found = search.minimal(model, x, y, attacks.CW(steps=100, initial_const=0.1)).images - x
    found = search.norm(found, "l2")
    assert (found > margin / l2 - 1e-6).all()
    numpy.testing.assert_allclose(found, margin / l2, rtol=0.02, atol=0.005)  # a first step of Adam is larger than some


def test_uint8_images_and_batches_give_the_same(net, images):
    x, y = images
    bytes_ = (x * 255).round().astype(numpy.uint8)
    y = search.classes(net, (bytes_ / 255).astype(numpy.float32))
    whole = search.minimal(net, bytes_, y, attacks.FGSM())
    parts = search.minimal(net, bytes_.astype(numpy.float32) / numpy.float32(255), y, attacks.FGSM(), batch_size=3)
    numpy.testing.assert_array_equal(whole.images, parts.images)
    numpy.testing.assert_array_equal(whole.success, parts.success)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x, y: (x[:0], y[:0]), "with N at least 1"),
        (lambda x, y: (x[..., :1], y), r"expected \(N, 8, 8, 2\)"),
        (lambda x, y: (x, y[:-1]), "labels are int64"),
        (lambda x, y: (x, y.astype(float)), "expected integers"),
        (lambda x, y: (x, y + 4), "labels range from 4 to 7, expected 0 to 3"),
        (lambda x, y: (x, y - 1), "labels range from -1"),
        (lambda x, y: (x + 1, y), r"expected \[0, 1\]"),
        (lambda x, y: (x.astype(float), y), "pixels are float64"),
    ],
)
def test_wrong_input_is_refused(change, message, net, images):
    y = numpy.arange(14) % 4
    with pytest.raises(ValueError, match=message):
        search.minimal(net, *change(images[0], y), attacks.FGSM())


def test_probabilities_are_refused(net, images):
    softmax = keras.Model(net.input, keras.layers.Softmax()(net.output))
    with pytest.raises(ValueError, match="probabilities"):
        search.minimal(softmax, *images, attacks.FGSM())


def test_nan_logits_are_refused(images):
    inputs = keras.Input((8, 8, 2))
    model = keras.Model(inputs, keras.layers.Dense(4)(keras.layers.Flatten()(inputs)))
    model.layers[-1].set_weights([numpy.full((128, 4), numpy.nan, numpy.float32), numpy.zeros(4, numpy.float32)])
    with pytest.raises(ValueError, match="NaN or infinite for 14 of 14 images"):
        search.minimal(model, *images, attacks.FGSM())


def test_unknown_attack_names_the_nearest():
    with pytest.raises(ValueError, match="did you mean 'fgsm'"):
        attacks.get("fgms")
