"""The two searches against one image at a time, a linear model in closed form, and what `minimal` refuses."""

import keras
import numpy
import pytest

from adv import attacks, pgd, search
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


def sequential_bisection(attempt, image, epsilon=0.3):
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
    for _ in range(20):
        epsilon = (good + bad) / 2
        if fooled(epsilon):
            good = epsilon
        else:
            bad = epsilon
    return closest


def cross_entropy(logits, labels):
    return keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True)


def eager(model):
    """Prediction and sign of the gradient of one image, without the code under test."""
    gradient = compute.input_gradient(model, cross_entropy)

    def predict(image):
        return numpy.asarray(model(image[None], training=False))[0].argmax()

    def sign(image, label):
        return numpy.sign(numpy.asarray(gradient(image[None], numpy.asarray([label], numpy.int32)))[0])

    return predict, sign


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
    predict, sign = eager(net)
    result = search.minimal(net, x, y, attacks.FGSM(), batch_size=6)
    for image, label, found, success in zip(x, y, result.images, result.success, strict=True):
        if predict(image) != label:
            assert success and (found == image).all()
            continue
        direction = sign(image, label)

        def moved(size, image=image, direction=direction):
            return numpy.clip(image + numpy.float32(size) * direction, 0, 1)

        size = sequential_grid(lambda size, label=label, moved=moved: predict(moved(size)) != label)
        assert success == (size is not None)
        numpy.testing.assert_array_equal(found, image if size is None else moved(size))


def test_pgd_equals_the_naive_loop(net, images):
    x, y = images
    predict, sign = eager(net)
    attack = attacks.PGD(steps=6, rel_stepsize=0.25)
    result = search.minimal(net, x, y, attack, batch_size=6)
    for image, label, found, success in zip(x, y, result.images, result.success, strict=True):
        if predict(image) != label:
            assert success and (found == image).all()
            continue

        def attempt(size, image=image, label=label):
            size, current = numpy.float32(size), image
            step = numpy.float32(0.25 * float(size))
            for _ in range(6):
                current = current + step * sign(current, label)
                current = numpy.clip(image + numpy.clip(current - image, -size, size), 0, 1)
                if predict(current) != label:
                    return current, True
            return current, False

        expected = sequential_bisection(attempt, image)
        assert success == (expected is not None)
        numpy.testing.assert_allclose(found, image if expected is None else expected, atol=1e-6)


def test_a_trial_in_one_call_equals_a_trial_in_steps(net, images):
    x = images[0]
    labels = search.classes(net, x).astype(numpy.int32)
    attack = attacks.PGD(steps=7)
    epsilon = numpy.full(len(x), 0.05, numpy.float32)
    whole = compute.compiled(net, pgd._until_wrong(7))
    for count in (len(x), 6):  # of the whole some withstand; at ten times the size none of the six does
        scale = numpy.float32(1 if count == len(x) else 20)
        arrays = [part[:count] for part in (x, x, labels, scale * epsilon, scale * epsilon / 7)]
        one, wrong = (numpy.asarray(part) for part in whole(*arrays))
        steps, wrong_too = (numpy.asarray(part) for part in attack._stepwise(net)(*arrays))
        numpy.testing.assert_allclose(one, steps, atol=1e-6)
        numpy.testing.assert_array_equal(wrong, wrong_too)
        assert wrong.any() and wrong.all() == (count == 6)


def margins(linear, count=12):
    model, weights, bias = linear
    generator = numpy.random.default_rng(2)
    x = (0.2 + 0.6 * generator.random((count, 8, 8, 1))).astype(numpy.float32)
    score = (x.astype(float) * weights).sum(axis=(1, 2, 3)) + bias
    return model, weights.astype(float), x, (score > 0).astype(int), numpy.abs(score)


def test_linear_model_in_closed_form(linear):
    model, weights, x, y, margin = margins(linear)
    exact = margin / numpy.abs(weights).sum()
    size = {
        name: search.norm(search.minimal(model, x, y, attack).images - x, attack.norm)
        for name, attack in attacks.ATTACKS.items()
    }
    coarse = numpy.ceil(exact * 1000) / 1000
    assert (coarse <= 0.02).any() and (coarse > 0.02).any()
    grid = numpy.where(coarse <= 0.02, numpy.ceil(exact / coarse * 20) * coarse / 20, coarse)
    numpy.testing.assert_allclose(size["fgsm"], grid, atol=1e-6)
    numpy.testing.assert_allclose(size["pgd"], exact, atol=2e-6)
    # DeepFool adds 1e-4 to the distance and overshoots by 5 %
    numpy.testing.assert_allclose(size["deepfool-linf"], 1.05 * (exact + 1e-4), rtol=1e-3)
    numpy.testing.assert_allclose(size["deepfool"], 1.05 * (margin / numpy.linalg.norm(weights) + 1e-4), rtol=1e-3)


def always_zero():
    """A model that calls every image class 0, whatever an attack does: the mean of an image is below 2."""
    inputs = keras.Input((8, 8, 1))
    mean = keras.layers.GlobalAveragePooling2D()(inputs)
    model = keras.Model(inputs, keras.layers.Dense(2)(mean))
    model.layers[-1].set_weights([numpy.float32([[0, 1]]), numpy.float32([2, 0])])
    return model


@pytest.mark.parametrize("name", attacks.ATTACKS)
def test_an_image_that_cannot_be_fooled_stays_as_it_is(name):
    model = always_zero()
    x = numpy.random.default_rng(0).random((5, 8, 8, 1), dtype=numpy.float32)
    result = search.minimal(model, x, numpy.array([0, 1, 0, 1, 0]), attacks.get(name))
    assert result.success.tolist() == [False, True, False, True, False]
    numpy.testing.assert_array_equal(result.images, x)


@pytest.mark.parametrize("name", attacks.ATTACKS)
def test_every_attack_finds_float32_adversarials_in_range(name, net, images):
    x, y = images
    before = x.copy()
    done = []
    result = search.minimal(net, x, y, attacks.get(name), batch_size=5, progress=lambda *pair: done.append(pair))
    assert result.images.dtype == numpy.float32 and result.images.shape == x.shape
    assert result.images.min() >= 0 and result.images.max() <= 1
    numpy.testing.assert_array_equal(search.classes(net, result.images) != y, result.success)
    assert result.success[[2, 7, 13]].all() and (result.images[[2, 7, 13]] == x[[2, 7, 13]]).all()
    assert (result.images[~result.success] == x[~result.success]).all()
    assert result.success.sum() > 10
    assert done == [(5, 11), (10, 11), (11, 11)]
    numpy.testing.assert_array_equal(x, before)


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
