"""pgd and its step, which does not move misclassified images, against plain NumPy loops; the losses in float64."""

import functools

import keras
import numpy
import pytest
import scipy.special

from models import compute, perturb

pytestmark = pytest.mark.backends


def pieces(small_net, images):
    x = (images[0][:16] / numpy.float32(255)).astype("float32")
    y = compute.predict(compute.forward(small_net), x).argmax(1).astype("int32")
    gradient = compute.input_gradient(small_net, perturb.cross_entropy)
    return x, y, lambda z: numpy.asarray(gradient(z, y))


def attack(call, x, y, epsilon):
    return perturb.pgd(call, x, y, epsilon=epsilon, step_size=epsilon / 4, steps=7)


def attack_until(call, x, y, epsilon):
    current, hold = x, functools.partial(perturb.is_misclassified, labels=y)
    settings = {"epsilon": epsilon, "step_size": epsilon / 4, "loss": perturb.log_odds, "hold": hold}
    for _ in range(7):
        current, _, _ = perturb.ascent_step(call, current, x, y, **settings)
    return current, perturb.is_misclassified(call(current), y)


def reference(small_net, x, y, gradient, epsilon, until):
    """Seven projected sign steps; `until`: an image stays where it was first misclassified."""
    current, misclassified = x.copy(), numpy.zeros(len(x), bool)
    bound = epsilon.reshape(-1, 1, 1, 1)
    for _ in range(7):
        if until:
            misclassified |= compute.predict(compute.forward(small_net), current).argmax(1) != y
        moved = current + bound / numpy.float32(4) * numpy.sign(gradient(current))
        moved = (x + (moved - x).clip(-bound, bound)).clip(0, 1)
        current = numpy.where(misclassified[:, None, None, None], current, moved)
    return current


def test_pgd_equals_the_loop_written_out(small_net, images):
    x, y, gradient = pieces(small_net, images)
    epsilon = numpy.linspace(0.01, 0.2, 16, dtype="float32")
    attacked = numpy.asarray(compute.compiled(small_net, attack)(x, y, epsilon))
    numpy.testing.assert_allclose(attacked, reference(small_net, x, y, gradient, epsilon, False), atol=1e-6)


def test_stopping_holds_each_image_at_its_first_wrong_iterate(small_net, images):
    x, y, gradient = pieces(small_net, images)
    epsilon = numpy.linspace(0.001, 0.3, 16, dtype="float32")
    attacked, misclassified = (numpy.asarray(part) for part in compute.compiled(small_net, attack_until)(x, y, epsilon))
    expected = reference(small_net, x, y, gradient, epsilon, True)
    numpy.testing.assert_allclose(attacked, expected, atol=1e-6)
    predicted = compute.predict(compute.forward(small_net), expected).argmax(1)
    numpy.testing.assert_array_equal(misclassified, predicted != y)
    assert 0 < misclassified.sum() < 16


def test_a_jacobian_is_one_gradient_a_column(small_net, images):
    x = (images[0][:4] / numpy.float32(255)).astype("float32")

    def whole(call, x):
        (values, extra), gradients = compute.jacobian(lambda x: (call(x), 2 * call(x)), x)
        return values, extra, gradients

    values, extra, gradients = (numpy.asarray(part) for part in compute.compiled(small_net, whole)(x))
    numpy.testing.assert_allclose(extra, 2 * values, rtol=1e-6)
    assert gradients.shape == (4, 3, 12, 12, 2)
    for column in range(3):
        column_gradient = compute.input_gradient(small_net, lambda logits, column=column: logits[:, column])
        numpy.testing.assert_allclose(gradients[:, column], numpy.asarray(column_gradient(x)), rtol=1e-4, atol=1e-6)


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
        values = loss(keras.ops.convert_to_tensor(logits), labels, *extra)
        numpy.testing.assert_allclose(numpy.asarray(values), expected, rtol=1e-4, atol=1e-6)
    misclassified = numpy.asarray(perturb.is_misclassified(keras.ops.convert_to_tensor(logits), labels))
    numpy.testing.assert_array_equal(misclassified, numpy.array(margin) > 0)


def test_dlr_does_not_change_with_shift_or_scale():
    logits = numpy.random.default_rng(1).normal(size=(20, 6)).astype("float32")
    labels, targets = numpy.arange(20) % 6, numpy.arange(1, 21) % 6
    for loss, extra in ((perturb.dlr, ()), (perturb.targeted_dlr, (targets,))):
        values, other = (numpy.asarray(loss(z, labels, *extra)) for z in (logits, 50 * logits - 7))
        numpy.testing.assert_allclose(values, other, rtol=1e-3)


def test_margin_of_a_tie_is_zero_with_the_first_class_right():
    logits = numpy.float32([[1, 1, 0], [1, 1, 0], [0, 2, 2]])
    labels = numpy.array([0, 1, 2])
    numpy.testing.assert_array_equal(numpy.asarray(perturb.margin(logits, labels)), [0, 0, 0])
    numpy.testing.assert_array_equal(numpy.asarray(perturb.is_misclassified(logits, labels)), [False, True, True])


def gradients_of(loss, logits, labels):
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
    values = perturb.surrogate_tempered(logits.astype("float32"), labels, temperature)
    numpy.testing.assert_allclose(numpy.asarray(values), expected, rtol=1e-5, atol=1e-4)
    exact = scipy.special.softmax(logits / temperature, axis=1)
    exact[rows, labels] = -(exact * (numpy.arange(10) != labels[:, None])).sum(axis=1)
    gradient = gradients_of(perturb.tempered(temperature), logits.astype("float32"), labels)
    ours, theirs = gradient.astype(float) @ weights, exact @ weights
    sure = abs(theirs) > 1e-4 * abs(exact).sum(axis=1, keepdims=True)
    numpy.testing.assert_array_equal(numpy.sign(ours)[sure], numpy.sign(theirs)[sure])
    assert sure.mean() > 0.99


def test_temperature_1_is_the_log_odds_of_cross_entropy():
    generator = numpy.random.default_rng(3)
    logits = (30 * generator.normal(size=(200, 5))).astype("float32")
    labels = generator.integers(0, 5, 200).astype("int32")
    losses = perturb.tempered(1.0), perturb.float32_cross_entropy
    ours, rounded = (gradients_of(loss, logits, labels) for loss in losses)
    numpy.testing.assert_array_equal(ours, gradients_of(perturb.log_odds, logits, labels))
    whole = abs(rounded).sum(axis=1) > 1e-4
    assert 0.5 < whole.mean() < 1 and (abs(ours).sum(axis=1) > 1.9).all()  # it never underflows
    directions = rounded / abs(rounded).sum(axis=1, keepdims=True).clip(1e-30)
    numpy.testing.assert_allclose(ours[whole] / 2, directions[whole], atol=1e-3)


def test_a_temperature_towards_0_is_the_margin():
    generator = numpy.random.default_rng(4)
    logits, labels = generator.normal(size=(50, 6)).astype("float32"), generator.integers(0, 6, 50).astype("int32")
    value, other = (loss(logits, labels) for loss in (perturb.tempered(1e-4), perturb.margin))
    numpy.testing.assert_allclose(numpy.asarray(value), numpy.asarray(other), atol=1e-3)
    gradient, other = (gradients_of(loss, logits, labels) for loss in (perturb.tempered(1e-5), perturb.margin))
    numpy.testing.assert_allclose(gradient, other, atol=1e-3)


@pytest.mark.parametrize("temperature", [0, -1.0, float("nan"), float("inf")])
def test_a_temperature_that_is_none(temperature):
    with pytest.raises(ValueError, match="above 0"):
        perturb.surrogate_tempered(numpy.zeros((2, 3), "float32"), numpy.zeros(2, "int32"), temperature)
    with pytest.raises(ValueError, match="at least two"):
        perturb.surrogate_tempered(numpy.zeros((2, 1), "float32"), numpy.zeros(2, "int32"), 1.0)


def exact_odds(logits, labels):
    """(log((1 - p_y) / p_y), its gradient by the logits), in float64."""
    rows = numpy.arange(len(labels))
    others = numpy.where(numpy.arange(logits.shape[1]) == labels[:, None], -numpy.inf, logits.astype(float))
    gradient = scipy.special.softmax(others, axis=1)
    gradient[rows, labels] = -1
    return scipy.special.logsumexp(others, axis=1) - logits[rows, labels].astype(float), gradient


EXTREMES = {
    "ordinary": lambda generator: generator.normal(size=(50, 6)),
    "saturated": lambda generator: 20 * generator.normal(size=(50, 6)),
    "gaps of 17 to 40": lambda generator: numpy.linspace(17, 40, 50)[:, None] * numpy.eye(6)[numpy.arange(50) % 6],
    "gaps of hundreds": lambda generator: 300 * generator.normal(size=(50, 6)),
    "ties": lambda generator: generator.integers(0, 2, (50, 6)) * 30.0,
    "two classes": lambda generator: 40 * generator.normal(size=(50, 2)),
}


@pytest.mark.parametrize("kind", EXTREMES)
def test_cross_entropy_and_log_odds_equal_float64(kind):
    generator = numpy.random.default_rng(7)
    logits = EXTREMES[kind](generator).astype("float32")
    for labels in (logits.argmax(axis=1), generator.integers(0, logits.shape[1], 50)):
        labels = labels.astype("int32")
        odds, gradient = exact_odds(logits, labels)
        numpy.testing.assert_allclose(numpy.asarray(perturb.log_odds(logits, labels)), odds, rtol=1e-5, atol=1e-5)
        numpy.testing.assert_allclose(gradients_of(perturb.log_odds, logits, labels), gradient, rtol=1e-5, atol=1e-6)
        values, expected = numpy.asarray(perturb.cross_entropy(logits, labels)), numpy.logaddexp(0, odds)
        numpy.testing.assert_allclose(values, expected, rtol=1e-4, atol=1e-37)  # exp of a gap of 80 has 1e-5 of it
        share = numpy.maximum(scipy.special.expit(odds), perturb.LEAST)[:, None]
        values = gradients_of(perturb.cross_entropy, logits, labels)
        numpy.testing.assert_allclose(values, share * gradient, rtol=1e-3, atol=1e-37)
        assert (numpy.sign(values[numpy.arange(50), labels]) == -1).all()


@pytest.mark.parametrize("kind", EXTREMES)
def test_soft_cross_entropy_equals_float64(kind):
    generator = numpy.random.default_rng(8)
    logits = EXTREMES[kind](generator).astype("float32")
    near = logits + generator.normal(size=logits.shape).astype("float32")
    log_p, log_q = (scipy.special.log_softmax(part.astype(float), axis=1) for part in (logits, near))
    top = log_q.argmax(axis=1)
    log_q32 = log_q.astype("float32")
    values = perturb.soft_cross_entropy(logits, log_q32)
    numpy.testing.assert_allclose(numpy.asarray(values), -(numpy.exp(log_q) * log_p).sum(axis=1), rtol=1e-4, atol=1e-5)
    is_top = numpy.arange(logits.shape[1]) == top[:, None]
    largest = numpy.where(is_top, -numpy.inf, numpy.maximum(log_p, log_q)).max(axis=1, keepdims=True)
    expected = numpy.where(is_top, 0, numpy.exp(log_p - largest) - numpy.exp(log_q - largest))
    expected[is_top] = -expected.sum(axis=1)
    expected *= numpy.maximum(numpy.exp(largest), perturb.LEAST)
    gradient = gradients_of(perturb.soft_cross_entropy, logits, log_q32)
    scale = numpy.abs(expected).max(axis=1, keepdims=True)
    numpy.testing.assert_allclose(gradient / scale, expected / scale, atol=2e-3)  # float32 rounds hundreds to 1e-4


def test_half_precision_logits_are_taken_in_float32():
    logits, labels = numpy.float32([[9, 1, 0], [0, 40, 1]]), numpy.int32([0, 1])
    half = keras.ops.cast(logits, "bfloat16")
    for loss in (perturb.log_odds, perturb.cross_entropy):
        values = loss(half, labels)
        assert keras.backend.standardize_dtype(values.dtype) == "float32"
        numpy.testing.assert_allclose(numpy.asarray(values), numpy.asarray(loss(logits, labels)), rtol=1e-6)
