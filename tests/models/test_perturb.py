"""pgd against a loop written out in NumPy, and its step that holds what is wrong."""

import keras
import numpy
import pytest
import scipy.special

from models import compute, perturb


def pieces(small_net, images):
    x = (images[0][:16] / numpy.float32(255)).astype("float32")
    y = compute.predict(compute.forward(small_net), x).argmax(1).astype("int32")
    gradient = compute.input_gradient(small_net, perturb.cross_entropy)
    return x, y, lambda z: numpy.asarray(gradient(z, y))


def attack(call, x, y, epsilon):
    return perturb.pgd(call, x, y, epsilon=epsilon, step_size=epsilon / 4, steps=7)


def attack_until(call, x, y, epsilon):
    current = x
    for _ in range(7):
        current, _ = perturb.step_until_wrong(call, x, current, y, epsilon=epsilon, step_size=epsilon / 4)
    return current, perturb.is_wrong(call(current), y)


def reference(small_net, x, y, gradient, epsilon, until):
    """Seven projected sign steps; `until`: an image stays where it was first wrong."""
    current, wrong = x.copy(), numpy.zeros(len(x), bool)
    bound = epsilon.reshape(-1, 1, 1, 1)
    for _ in range(7):
        if until:
            wrong |= compute.predict(compute.forward(small_net), current).argmax(1) != y
        moved = current + bound / numpy.float32(4) * numpy.sign(gradient(current))
        moved = (x + (moved - x).clip(-bound, bound)).clip(0, 1)
        current = numpy.where(wrong[:, None, None, None], current, moved)
    return current


def test_pgd_equals_the_loop_written_out(small_net, images):
    x, y, gradient = pieces(small_net, images)
    epsilon = numpy.linspace(0.01, 0.2, 16, dtype="float32")
    found = numpy.asarray(compute.compiled(small_net, attack)(x, y, epsilon))
    numpy.testing.assert_allclose(found, reference(small_net, x, y, gradient, epsilon, False), atol=1e-6)


def test_stopping_holds_each_image_at_its_first_wrong_iterate(small_net, images):
    x, y, gradient = pieces(small_net, images)
    epsilon = numpy.linspace(0.001, 0.3, 16, dtype="float32")
    found, wrong = (numpy.asarray(part) for part in compute.compiled(small_net, attack_until)(x, y, epsilon))
    expected = reference(small_net, x, y, gradient, epsilon, True)
    numpy.testing.assert_allclose(found, expected, atol=1e-6)
    numpy.testing.assert_array_equal(wrong, compute.predict(compute.forward(small_net), expected).argmax(1) != y)
    assert 0 < wrong.sum() < 16


def test_cross_entropy_is_keras_own():
    logits = numpy.random.default_rng(0).normal(size=(6, 4)).astype("float32")
    labels = numpy.array([0, 1, 2, 3, 0, 1])
    expected = keras.ops.sparse_categorical_crossentropy(labels, logits, from_logits=True)
    numpy.testing.assert_allclose(
        numpy.asarray(perturb.cross_entropy(keras.ops.convert_to_tensor(logits), labels)),
        numpy.asarray(expected),
        rtol=1e-5,
    )


@pytest.mark.parametrize("classes", [2, 3, 4, 10])
def test_margin_losses_equal_their_definitions(classes):
    generator = numpy.random.default_rng(classes)
    logits = generator.normal(size=(40, classes)).astype("float32")
    labels = generator.integers(0, classes, 40).astype("int32")
    targets = ((labels + generator.integers(1, classes, 40)) % classes).astype("int32")
    margin, dlr, targeted = [], [], []
    for z, y, t in zip(logits.astype(float), labels, targets, strict=True):
        ordered = sorted(z, reverse=True)
        margin.append(max(z[i] for i in range(classes) if i != y) - z[y])
        dlr.append(margin[-1] / (ordered[0] - ordered[2] if classes > 2 else 1))
        targeted.append((z[t] - z[y]) / (ordered[0] - (ordered[2] + ordered[3]) / 2 if classes > 3 else 1))
    for loss, expected, extra in (
        (perturb.margin, margin, ()),
        (perturb.dlr, dlr, ()),
        (perturb.targeted_dlr, targeted, (targets,)),
    ):
        found = loss(keras.ops.convert_to_tensor(logits), labels, *extra)
        numpy.testing.assert_allclose(numpy.asarray(found), expected, rtol=1e-4, atol=1e-6)
    wrong = numpy.asarray(perturb.is_wrong(keras.ops.convert_to_tensor(logits), labels))
    numpy.testing.assert_array_equal(wrong, numpy.array(margin) > 0)


def test_dlr_does_not_change_with_shift_or_scale():
    logits = numpy.random.default_rng(1).normal(size=(20, 6)).astype("float32")
    labels, targets = numpy.arange(20) % 6, numpy.arange(1, 21) % 6
    for loss, extra in ((perturb.dlr, ()), (perturb.targeted_dlr, (targets,))):
        one, other = (numpy.asarray(loss(z, labels, *extra)) for z in (logits, 50 * logits - 7))
        numpy.testing.assert_allclose(one, other, rtol=1e-3)


def test_margin_of_a_tie_is_zero_with_the_first_class_right():
    logits = numpy.float32([[1, 1, 0], [1, 1, 0], [0, 2, 2]])
    labels = numpy.array([0, 1, 2])
    numpy.testing.assert_array_equal(numpy.asarray(perturb.margin(logits, labels)), [0, 0, 0])
    numpy.testing.assert_array_equal(numpy.asarray(perturb.is_wrong(logits, labels)), [False, True, True])


def slopes_of(loss, logits, labels):
    """d loss / d logits through the backend."""
    identity = keras.Sequential([keras.Input(logits.shape[1:]), keras.layers.Identity(dtype=logits.dtype.name)])
    run = compute.compiled(identity, lambda call, z, y: compute.gradient(lambda x: (loss(x, y), ()), z)[1])
    return numpy.asarray(run(logits, labels))


@pytest.mark.parametrize("temperature", [10.0, 1.0, 0.5, 0.2, 0.1, 0.02])
def test_the_tempered_surrogate_and_its_sign(temperature):
    generator = numpy.random.default_rng(2)
    logits, labels = 8 * generator.normal(size=(60, 10)), generator.integers(0, 10, 60).astype("int32")
    weights = generator.normal(size=(10, 30))  # of a linear net: d loss / d x = weights.T @ d loss / d z
    rows = numpy.arange(60)
    others = logits.copy()
    others[rows, labels] = -numpy.inf
    expected = temperature * scipy.special.logsumexp(others / temperature, axis=1) - logits[rows, labels]
    found = perturb.surrogate_tempered(logits.astype("float32"), labels, temperature)
    numpy.testing.assert_allclose(numpy.asarray(found), expected, rtol=1e-5, atol=1e-4)
    exact = scipy.special.softmax(logits / temperature, axis=1)
    exact[rows, labels] = -(exact * (numpy.arange(10) != labels[:, None])).sum(axis=1)
    slope = slopes_of(perturb.tempered(temperature), logits.astype("float32"), labels)
    ours, theirs = slope.astype(float) @ weights, exact @ weights
    sure = abs(theirs) > 1e-4 * abs(exact).sum(axis=1, keepdims=True)
    numpy.testing.assert_array_equal(numpy.sign(ours)[sure], numpy.sign(theirs)[sure])
    assert sure.mean() > 0.99


def test_temperature_1_is_cross_entropy_wherever_that_has_a_gradient():
    generator = numpy.random.default_rng(3)
    logits = (30 * generator.normal(size=(200, 5))).astype("float32")
    labels = generator.integers(0, 5, 200).astype("int32")
    ours, plain = (slopes_of(loss, logits, labels) for loss in (perturb.tempered(1.0), perturb.cross_entropy))
    whole = abs(plain).sum(axis=1) > 1e-4
    assert 0.5 < whole.mean() < 1 and (abs(ours).sum(axis=1) > 1.9).all()  # it never underflows
    numpy.testing.assert_allclose(ours[whole] / 2, (plain / abs(plain).sum(axis=1, keepdims=True))[whole], atol=1e-3)


def test_a_temperature_towards_0_is_the_margin():
    generator = numpy.random.default_rng(4)
    logits, labels = generator.normal(size=(50, 6)).astype("float32"), generator.integers(0, 6, 50).astype("int32")
    value, other = (loss(logits, labels) for loss in (perturb.tempered(1e-4), perturb.margin))
    numpy.testing.assert_allclose(numpy.asarray(value), numpy.asarray(other), atol=1e-3)
    slope, other = (slopes_of(loss, logits, labels) for loss in (perturb.tempered(1e-5), perturb.margin))
    numpy.testing.assert_allclose(slope, other, atol=1e-3)


@pytest.mark.parametrize("temperature", [0, -1.0, float("nan"), float("inf")])
def test_a_temperature_that_is_none(temperature):
    with pytest.raises(ValueError, match="above 0"):
        perturb.surrogate_tempered(numpy.zeros((2, 3), "float32"), numpy.zeros(2, "int32"), temperature)
    with pytest.raises(ValueError, match="at least two"):
        perturb.surrogate_tempered(numpy.zeros((2, 1), "float32"), numpy.zeros(2, "int32"), 1.0)
