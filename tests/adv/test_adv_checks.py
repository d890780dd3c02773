"""Each check fails for a model with that fault, and none for a sound model."""

import math
import pathlib

import keras
import numpy
import pytest
import scipy.special

from adv import checks, suspicions

EPSILON = 0.1


@pytest.fixture(scope="module")
def labelled(net):
    """Sixteen images; the sound net misclassifies one."""
    x = numpy.random.default_rng(4).random((16, 8, 8, 2), dtype=numpy.float32)
    y = numpy.asarray(net(x)).argmax(1)
    y[5] = (y[5] + 1) % 4
    return x, y


def raised(model, images, **options):
    """The names of the checks that the model does not pass."""
    return {check.name for check in checks.check(model, *images, epsilon=EPSILON, **options) if not check.passed}


def after(net, function):
    """The net with a function of its outputs behind it."""
    return keras.Model(net.inputs, function(net.outputs[0]))


def before(net, function):
    """The net with a function of the images in front of it."""
    inputs = keras.Input(net.input_shape[1:])
    return keras.Model(inputs, net(function(inputs)))


@pytest.mark.backends
def test_a_sound_net_raises_nothing(net, labelled):
    transferred = checks.transferable(net, *labelled, epsilon=EPSILON)
    results = checks.check(net, *labelled, epsilon=EPSILON, transferred=transferred)
    assert tuple(check.name for check in results) == checks.NAMES
    assert all(check.passed for check in results), results
    assert all(check.seen and check.expected for check in results)


def test_uint8_images_are_the_same(net, labelled):
    x = (255 * labelled[0]).astype(numpy.uint8)
    assert not raised(net, (x, labelled[1])) - {"large-epsilon"}


def test_probabilities_are_no_logits(net, labelled):
    assert "logits" in raised(after(net, keras.layers.Softmax()), labelled)


def test_outputs_that_are_not_finite(net, labelled):
    broken = after(net, keras.layers.Lambda(lambda x: keras.ops.log(x * 0 - 1), output_shape=(4,)))
    assert {"logits", "batch", "gradient"} <= raised(broken, labelled)


@pytest.mark.backends
@pytest.mark.parametrize("scale", [300, 1e5])
def test_saturated_logits_are_attacked_all_the_same(net, labelled, scale):
    """As after defensive distillation: in float32 the softmax is 1 and the gradient of a cross-entropy would be 0."""
    transferred = checks.transferable(net, *labelled, epsilon=EPSILON)
    saturated = after(net, keras.layers.Rescaling(scale))
    assert raised(saturated, labelled, transferred=transferred) == {"saturated"}


def test_the_share_of_saturated_images_is_of_those_that_are_attacked(net, labelled):
    x, y = labelled
    model = after(net, keras.layers.Rescaling(150))
    probabilities = scipy.special.softmax(numpy.asarray(model(x), float), axis=1)
    expected = probabilities[numpy.arange(16), y].astype("float32") == 1
    results = checks.check(model, x[:4], y[:4], epsilon=EPSILON, attacked=labelled)
    share = next(check for check in results if check.name == "saturated")
    assert share.value == round(100 * expected.mean(), 1) and 0 < share.value < 100
    assert f"{expected.sum()} of 16 images" in share.seen


def test_the_brief_checks_are_those_of_all_images(net, labelled):
    model = after(net, keras.layers.Rescaling(150))
    whole = checks.check(model, *labelled, epsilon=EPSILON)
    brief = checks.brief(model, *labelled)
    assert [check.name for check in brief] == ["logits", "gradient", "saturated"]
    assert brief == [check for check in whole if check.name in ("logits", "gradient", "saturated")]


def test_rounded_images_have_no_gradient(net, labelled):
    rounding = keras.layers.Lambda(lambda x: keras.ops.round(x * 8) / 8, output_shape=net.input_shape[1:])
    assert {"gradient", "large-epsilon"} <= raised(before(net, rounding), labelled)


def test_a_gradient_that_is_nan_is_no_gradient(net, labelled):
    """NaN gradients of a branch that is not taken and of a root at 0: each backend has one of the two."""

    def roots(x):
        return keras.ops.where(x > 2, keras.ops.sqrt(x - 3), x) + keras.ops.sqrt(keras.ops.relu(x - 2))

    root = keras.layers.Lambda(roots, output_shape=net.input_shape[1:])
    assert "gradient" in raised(before(net, root), labelled)


def test_a_net_that_looks_at_the_whole_batch(net, labelled):
    centred = keras.layers.Lambda(
        lambda x: x - keras.ops.mean(x, axis=0, keepdims=True), output_shape=net.input_shape[1:]
    )
    assert "batch" in raised(before(net, centred), labelled)


@keras.saving.register_keras_serializable("tests")
class AlwaysNoisy(keras.layers.Layer):
    """Noise at inference too: a random defence."""

    def __init__(self):
        super().__init__()
        self.generator = keras.random.SeedGenerator(0)

    def call(self, x):
        return x + keras.random.normal(keras.ops.shape(x), stddev=0.5, seed=self.generator)


def test_a_net_of_chance(net, labelled):
    names = raised(before(net, AlwaysNoisy()), labelled)
    assert "batch" in names
    # A function that jax compiled draws the same noise at every call with the same shapes.
    assert ("no-epsilon" in names) == (keras.backend.backend() == "tensorflow")


def answers(predicted, labels, classes):
    """name -> whether it was passed."""
    return {check.name: check.passed for check in checks.answers(numpy.array(predicted), numpy.array(labels), classes)}


@pytest.mark.parametrize(("total", "classes"), [(32, 10), (32, 2), (1000, 10), (5, 43), (1, 2)])
def test_chance_is_what_guessing_exceeds_once_in_twenty(total, classes):
    """Naive reference by the binomial formula: the largest count that chance reaches in 5 % of the cases."""
    chances = [math.comb(total, k) * (1 / classes) ** k * (1 - 1 / classes) ** (total - k) for k in range(total + 1)]
    labels = numpy.arange(total) % classes
    for correct in range(total + 1):
        predicted = numpy.where(numpy.arange(total) < correct, labels, (labels + 1) % classes)
        assert answers(predicted, labels, classes)["chance"] == (math.fsum(chances[correct:]) <= 0.05)


@pytest.mark.parametrize(
    ("predicted", "labels", "passed"),
    [
        ([3] * 10, list(range(10)), False),
        ([3] * 9 + [1], list(range(10)), False),
        ([3] * 8 + [1, 1], list(range(10)), True),
        ([3] * 10, [3] * 10, True),  # the images are of one class themselves
        ([3] * 10, [3] * 9 + [1], True),
    ],
)
def test_a_constant_answer(predicted, labels, passed):
    assert answers(predicted, labels, 10)["constant"] is passed


def test_a_net_that_answers_one_class_is_at_chance_and_constant(net, labelled):
    deaf = after(net, keras.layers.Lambda(lambda x: 0 * x + keras.ops.arange(4, dtype="float32"), output_shape=(4,)))
    assert {"chance", "constant"} <= raised(deaf, labelled)


def test_no_predictions_and_other_labels_are_named():
    for predicted, labels in (([], []), ([1, 2], [1])):
        with pytest.raises(ValueError, match="expected as many"):
            checks.answers(predicted, labels, 3)


def test_every_check_has_a_paragraph_in_the_documents():
    text = (pathlib.Path(__file__).parents[2] / "docs" / "checks.md").read_text(encoding="utf-8")
    names = *checks.NAMES, "few-mined", *suspicions.NAMES  # the first is of mining, not of a model
    for name in names:
        assert f"## {name}\n" in text
    assert text.count("**Raised if**") == text.count("**Why**") == text.count("**What to do**") == len(names)


def test_no_images(net):
    with pytest.raises(ValueError, match="with N at least 1"):
        checks.check(net, numpy.zeros((0, 8, 8, 2), numpy.float32), numpy.zeros(0, int), epsilon=EPSILON)


def test_transferred_images_are_images_of_the_same_number(net, labelled):
    x, _ = labelled
    for transferred, sentence in (
        (255 * x, "pixels range from"), (x[:5], "labels are int32 of shape"), (x[:, :4], "images have shape"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=sentence):
            checks.check(net, *labelled, epsilon=EPSILON, transferred=transferred)
    as_bytes = numpy.round(255 * x).astype(numpy.uint8)
    assert "transfer" in {check.name for check in checks.check(net, *labelled, epsilon=EPSILON, transferred=as_bytes)}
