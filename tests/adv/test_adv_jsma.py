"""JSMA against one image and one step at a time in NumPy, a linear model in closed form, its ball and its limits."""

import functools

import keras
import numpy
import pytest

from adv import evaluate, jsma, search
from models import compute, perturb

pytestmark = pytest.mark.backends


def naive(predict, gradient_of, image, label, target, *, steps=2000, theta=0.1, repeats=7):
    """foolbox 2.3.0's loop for one image, flat: (image or None, steps taken). gradient_of: of the target's loss."""
    current, mask, counts = image.copy(), numpy.ones_like(image), numpy.zeros_like(image)
    for step in range(steps):
        if predict(current) != label:
            return current, step
        alphas = gradient_of(current, target) * mask
        element = numpy.argmin(-alphas)
        current[element] = float(current[element]) - float(numpy.sign(alphas[element])) * theta
        counts[element] += 1
        if current[element] <= 0 or current[element] >= 1 or counts[element] >= repeats:
            mask[element] = 0
        current = numpy.clip(current, 0, 1)
    return None, steps


def naive_target(logits, gradient_of, image, label):
    """The class at foolbox 2.3.0's GradientAttack, or None: the first success of 1,000, or of 20 below an early one."""
    direction = gradient_of(image, label)
    direction = direction / (numpy.sqrt(numpy.mean(numpy.square(direction))) + numpy.float32(1e-8))
    sizes, target = numpy.linspace(0, 1, 1001)[1:], None
    for _ in range(2):
        for index, size in enumerate(sizes):  # noqa: B007
            reached = logits(numpy.clip(image + direction * numpy.float32(size), 0, 1)).argmax()
            if reached != label:
                target = reached
                break
        if index >= 20:
            break
        sizes = numpy.linspace(0, sizes[index], 21)[1:]
    return target


def eager(model):
    """Logits, prediction and gradient of a flat image, without the code under test."""
    gradient, forward = compute.input_gradient(model, perturb.cross_entropy), compute.forward(model)
    shape = (1, *model.input_shape[1:])

    def logits(image):
        return numpy.asarray(forward(image.reshape(shape)))[0]

    def gradient_of(image, label):
        return numpy.asarray(gradient(image.reshape(shape), numpy.asarray([label], numpy.int32))).ravel()

    return logits, lambda image: logits(image).argmax(), gradient_of


@functools.cache
def dense(seed, classes=4):
    """A two-layer net of 6x6x1 images with its (logits, predict, gradient_of) in NumPy, gradient by hand."""
    generator = numpy.random.default_rng(seed)
    sizes = ((36, 16), (16, classes))
    kernels = [generator.normal(0, (2 / rows) ** 0.5, (rows, columns)).astype("float32") for rows, columns in sizes]
    biases = [generator.normal(0, 0.1, columns).astype("float32") for _, columns in sizes]
    inputs = keras.Input((6, 6, 1))
    hidden = keras.layers.Dense(16, activation="relu")(keras.layers.Flatten()(inputs))
    model = keras.Model(inputs, keras.layers.Dense(classes)(hidden))
    model.set_weights([kernels[0], biases[0], kernels[1], biases[1]])

    def logits(image):
        return numpy.maximum(image @ kernels[0] + biases[0], 0) @ kernels[1] + biases[1]

    def gradient_of(image, label):
        exponentials = numpy.exp(logits(image) - logits(image).max())
        error = exponentials / exponentials.sum() - numpy.eye(classes, dtype="float32")[label]
        active = image @ kernels[0] + biases[0] > 0
        return kernels[0] @ ((kernels[1] @ error) * active)

    return model, (logits, lambda image: logits(image).argmax(), gradient_of)


def dim(count, shape, seed):
    """Random float32 images, a third of whose elements are 0, as in photographs of clothes on black."""
    generator = numpy.random.default_rng(seed)
    return (generator.random((count, *shape)) * (generator.random((count, *shape)) > 1 / 3)).astype(numpy.float32)


@pytest.mark.parametrize("limits", [{}, {"steps": 9}, {"theta": 0.15, "repeats": 1}])
@pytest.mark.parametrize("seed", range(2))
def test_dense_nets_equal_the_naive_loop_in_numpy(seed, limits):
    model, (_, predict, gradient_of) = dense(seed)
    x = dim(12, (6, 6, 1), seed)
    labels = search.classes(model, x).astype(numpy.int32)
    targets = ((labels + 1 + numpy.arange(12) % 3) % 4).astype(numpy.int32)
    candidates, success = jsma.saliency_map(model, x, labels, targets, batch_size=5, **limits)
    for row in range(12):
        expected, _ = naive(predict, gradient_of, x[row].ravel(), labels[row], targets[row], **limits)
        assert success[row] == (expected is not None)
        numpy.testing.assert_array_equal(candidates[row].ravel(), x[row].ravel() if expected is None else expected)
    assert success.any() if not limits else not success.all()


@pytest.mark.parametrize("kind", ["dense", "convolutional"])
def test_the_whole_attack_equals_the_naive_loop(kind, net):
    model, (logits, predict, gradient_of) = dense(1) if kind == "dense" else (net, eager(net))
    x = dim(10, model.input_shape[1:], 7)
    y = search.classes(model, x)
    y[5] = (y[5] + 1) % 4
    targets = jsma.target_classes(model, x, y, batch_size=5)
    result = search.minimal(model, x, y, jsma.JSMA(steps=300), batch_size=5)
    assert result.images.dtype == numpy.float32 and result.images.min() >= 0 and result.images.max() <= 1
    rows = zip(x.reshape(10, -1), y, targets, result.images, result.success, strict=True)
    for image, label, random_target, candidate, success in rows:
        target = naive_target(logits, gradient_of, image, label) if predict(image) == label else label
        expected, _ = naive(predict, gradient_of, image, label, random_target if target is None else target, steps=300)
        assert success == (expected is not None)
        numpy.testing.assert_array_equal(candidate.ravel(), image if expected is None else expected)
    assert result.success.sum() > 4


def steps_to_fool(weights, bias, image):
    """Steps in closed form: elements in the order of their weights, each .1 at a time down to 0 or seven times."""
    sign = 1 if (image * weights).sum() + bias > 0 else -1
    gains = sign * weights.ravel()
    margin, steps = sign * ((image * weights).sum() + bias), 0
    for element in numpy.argsort(-gains):
        left = image.ravel()[element]
        for _ in range(7):
            if gains[element] <= 0 or left <= 1e-6:
                break
            margin -= min(left, 0.1) * gains[element]
            left -= 0.1
            steps += 1
            if margin < 0:
                return steps
    return None


def test_linear_model_in_closed_form(linear):
    model, weights, bias = linear
    x = (0.05 + 0.9 * numpy.random.default_rng(4).random((12, 8, 8, 1))).astype(numpy.float32)
    y = search.classes(model, x)
    result = search.minimal(model, x, y, jsma.JSMA(steps=300), batch_size=5)
    expected = [steps_to_fool(weights.astype(float), float(bias), image.astype(float)) for image in x]
    assert result.success.tolist() == [steps is not None for steps in expected]
    changes = numpy.ceil((x - result.images) / 0.1 - 1e-4).sum(axis=(1, 2, 3))
    numpy.testing.assert_array_equal(changes, [steps or 0 for steps in expected])
    assert len(set(expected)) > 4 and max(expected) > 7
    assert ((x - result.images).max(axis=(1, 2, 3)) > 0.69).any() and (x - result.images).max() < 0.7001


def test_a_step_that_changes_nothing_is_counted(linear):
    """The black elements that would be darkened first cost a step each; one grey element decides."""
    weights = linear[1].reshape(64, 1)
    grey = numpy.argsort(-weights.ravel())[10]
    image = numpy.zeros(64, numpy.float32)
    image[grey] = 0.5
    bias = (0.05 - 0.5) * weights[grey, 0]  # less than one step from the boundary
    model = keras.models.clone_model(linear[0])
    model.layers[-1].set_weights([numpy.hstack([0 * weights, weights]), numpy.float32([0, bias])])
    x, labels = image.reshape(1, 8, 8, 1), numpy.ones(1, numpy.int32)
    for steps, expected in ((11, False), (12, True)):  # ten idle, one that decides, one judgement more
        candidates, success = jsma.saliency_map(model, x, labels, labels - 1, steps=steps)
        assert success.tolist() == [expected]
        assert numpy.count_nonzero(candidates - x) == expected


def test_only_an_image_that_nothing_darker_helps_is_brightened():
    """All gradients negative: the least negative element rises; at 1 it leaves, and then no step is left."""
    inputs = keras.Input((2, 2, 1))
    model = keras.Model(inputs, keras.layers.Dense(2)(keras.layers.Flatten()(inputs)))
    kernel = numpy.float32([[0, 4], [0, 3], [0, 1], [0, 2]])
    x, labels = numpy.full((1, 2, 2, 1), 0.75, numpy.float32), numpy.zeros(1, numpy.int32)
    for bias, expected in ((-7.65, [0.75, 0.75, 0.95, 0.75]), (-9, None)):
        model.layers[-1].set_weights([kernel, numpy.float32([0, bias])])
        candidates, success = jsma.saliency_map(model, x, labels, labels + 1)
        _, predict, gradient_of = eager(model)
        naively, _ = naive(predict, gradient_of, x.ravel(), 0, 1, steps=50)
        assert success.tolist() == [expected is not None] == [naively is not None]
        numpy.testing.assert_allclose(candidates.ravel(), x.ravel() if expected is None else expected, atol=1e-6)


def test_epsilon_is_the_number_of_elements_that_change(net):
    x = dim(10, (8, 8, 2), 3)
    labels = search.classes(net, x).astype(numpy.int32)
    attack = jsma.JSMA()
    closest, success = attack.closest(net, x, labels)
    size = search.norm(closest - x, "l0")
    numpy.testing.assert_array_equal(size, [numpy.count_nonzero(change) for change in closest - x])
    middle = numpy.median(size[success])
    assert success.any() and size[success].min() < middle
    for epsilon in (0, size[success].min(), middle, 128):
        attacked = attack.within(net, x, labels, epsilon=epsilon)
        inside = success & (size <= epsilon)
        numpy.testing.assert_array_equal(attacked, numpy.where(inside[:, None, None, None], closest, x))
        flags = evaluate.robust_flags(net, x, labels, attack, epsilon=epsilon)
        numpy.testing.assert_array_equal(flags, ~inside)


def test_batches_and_repetition_change_nothing(net, images):
    x, y = images
    whole = search.minimal(net, x, y, jsma.JSMA())
    assert whole.success[[2, 7, 13]].all() and (whole.images[[2, 7, 13]] == x[[2, 7, 13]]).all()
    numpy.testing.assert_array_equal(search.classes(net, whole.images) != y, whole.success)
    for size in (1, 5, 256):
        again = search.minimal(net, x, y, jsma.JSMA(), batch_size=size)
        numpy.testing.assert_array_equal(again.images, whole.images)
        numpy.testing.assert_array_equal(again.success, whole.success)


def test_a_random_target_is_wrong_and_belongs_to_its_image():
    """A model that the gradient attack cannot fool: constant logits."""
    inputs = keras.Input((8, 8, 1))
    model = keras.Model(inputs, keras.layers.Dense(5)(keras.layers.GlobalAveragePooling2D()(inputs)))
    model.layers[-1].set_weights([numpy.zeros((1, 5), "float32"), numpy.float32([0, 0, 1, 0, 0])])
    x = dim(40, (8, 8, 1), 1)
    labels = numpy.full(40, 2, numpy.int32)
    targets = jsma.target_classes(model, x, labels)
    assert set(targets) == {0, 1, 3, 4}
    numpy.testing.assert_array_equal(jsma.target_classes(model, x[5:9], labels[5:9]), targets[5:9])
    assert (jsma.target_classes(model, x, labels, seed=1) != targets).any()
    candidates, success = jsma.JSMA().closest(model, x, labels)
    assert not success.any()
    numpy.testing.assert_array_equal(candidates, x)


def test_it_says_what_it_is():
    attack = jsma.JSMA()
    assert attack.title == "JSMA" and attack.citation
    expected = {"attack": "jsma", "norm": "l0", "steps": 2000, "theta": 0.1, "repeats": 7, "seed": 0}
    expected |= {"loss": "ce", "climbed": "log-odds"}
    assert attack.specification() == expected
