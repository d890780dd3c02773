"""pgd against a loop written out in NumPy, and its step that holds what is wrong."""

import keras
import numpy
import pytest

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
