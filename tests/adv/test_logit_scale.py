"""Scaled logits are the same classifier: attacks must not fail because its softmax saturates."""

import dataclasses

import keras
import numpy
import pytest

from adv import attacks, evaluate, reachable, search
from models import compute
from train.robust import perturbation

SCALES = (1, 3, 10, 30)
SMALL = {
    **{name: {"steps": 8} for name in attacks.ATTACKS if hasattr(attacks.get(name), "rel_stepsize")},
    **{name: {"steps": 8} for name in attacks.ATTACKS if name.startswith(("apgd", "fab"))},
    **{name: {"queries": 60} for name in ("square", "square-l2")},
    "cw": {"steps": 50, "stepsize": 0.03, "binary_search_steps": 6},
    "pgd-strong": {"steps": 8, "restarts": 2},
}
EPSILON = {"linf": 0.02, "l2": 0.15, "l1": 1.0, "l0": 3}  # some of the images fall, some do not
IMAGES = numpy.random.default_rng(6).random((60, 8, 8, 2), dtype=numpy.float32)
ROUNDING = [name for name in attacks.ATTACKS if name.endswith("-float32")]


def scaled(net, classes):
    """``at(scale)``: the net with another head and its logits scaled; each class leads as often as another."""
    model = keras.Model(net.input, keras.layers.Dense(classes)(net.layers[-2].output))
    kernel = 20 * numpy.random.default_rng(8).normal(size=(12, classes)).astype("float32")
    model.layers[-1].set_weights([kernel, numpy.zeros(classes, "float32")])
    logits = compute.predict(compute.forward(model), IMAGES)
    lead = numpy.median(logits - logits[:, -1:], axis=0)

    def at(scale):
        model.layers[-1].set_weights([scale * kernel, -scale * lead])
        return model

    return at


@pytest.fixture(scope="module")
def two_classes(net):
    """Of two classes the cross-entropy has one direction at every scale."""
    return scaled(net, 2)


@pytest.fixture(scope="module")
def sample(two_classes):
    return IMAGES, search.classes(two_classes(1), IMAGES).astype(numpy.int32)


def robust(model, sample, name):
    attack = dataclasses.replace(attacks.get(name), **SMALL.get(name, {}))
    return evaluate.robust_flags(model, *sample, attack, epsilon=EPSILON[attack.norm])


@pytest.mark.parametrize("name", [name for name in attacks.ATTACKS if name not in ROUNDING])
def test_two_classes_are_as_robust_at_every_scale(name, two_classes, sample):
    per_scale = [robust(two_classes(scale), sample, name) for scale in SCALES]
    assert 0 < per_scale[0].sum() < 60
    for flags in per_scale[1:]:
        assert (flags != per_scale[0]).sum() <= (1 if name == "cw" else 0)  # cw: the scale is another first constant


@pytest.mark.parametrize("name", ["apgd-t", "fab-t", "deepfool", "deepfool-linf", "cw-linf-20", "square"])
def test_ten_classes_are_as_robust_at_every_scale_under_attacks_on_margins(name, net):
    """Their losses are margins or ratios of margins, so that a scale changes rounding alone."""
    at = scaled(net, 10)
    ten = IMAGES, search.classes(at(1), IMAGES).astype(numpy.int32)
    per_scale = [robust(at(scale), ten, name) for scale in SCALES]
    assert 0 < per_scale[0].sum() < 60
    for flags in per_scale[1:]:
        assert (flags != per_scale[0]).sum() <= 1


@pytest.mark.parametrize("name", list(perturbation.ATTACK_LOSSES))
def test_attacks_of_training_climb_alike_at_every_scale(name, two_classes, sample):
    """Two classes: the gradient has one direction, whatever the scale, also where the softmax saturates."""
    x, labels = sample
    moved = numpy.clip(x + numpy.float32(0.01) * numpy.sign(numpy.random.default_rng(3).normal(size=x.shape)), 0, 1)
    moved, signs = moved.astype("float32"), []
    for scale in SCALES:
        model = two_classes(scale)
        clean = keras.ops.log_softmax(compute.predict(compute.forward(model), x))
        targets = numpy.asarray(clean) if name == "kl" else labels
        gradient = compute.input_gradient(model, perturbation.ATTACK_LOSSES[name])(moved, targets)
        signs.append(numpy.sign(numpy.asarray(gradient)))
    for other in signs[1:]:
        assert (other != signs[0]).mean() < 0.01


@pytest.mark.parametrize("name", ["fgsm-float32", "pgd-float32", "bim-float32"])
def test_a_float32_cross_entropy_loses_its_way(name, two_classes, sample):
    least, most = (robust(two_classes(scale), sample, name).sum() for scale in (1, 30))
    assert most > least


def test_reachable_classes_are_the_same_at_every_scale(two_classes, sample):
    per_scale = [reachable.reachable(two_classes(scale), *sample, epsilon=EPSILON["linf"], steps=5) for scale in SCALES]
    for reached in per_scale[1:]:
        numpy.testing.assert_array_equal(reached, per_scale[0])


def direction(logits, weights, labels):
    """d(logsumexp over the other classes, minus z_y) / dx of a linear net, in float64: weights (D, K)."""
    others = numpy.where(numpy.arange(logits.shape[1]) == labels[:, None], -numpy.inf, logits)
    part = numpy.exp(others - others.max(axis=1, keepdims=True))
    return part / part.sum(axis=1, keepdims=True) @ weights.T - weights[:, labels].T


@pytest.mark.parametrize("scale", SCALES)
def test_ten_classes_against_float64(scale):
    """PGD on a linear net, whose exact iterates are written out in float64."""
    generator = numpy.random.default_rng(11)
    weights = scale * 3 * generator.normal(size=(64, 10))
    inputs = keras.Input((8, 8, 1))
    model = keras.Model(inputs, keras.layers.Dense(10)(keras.layers.Flatten()(inputs)))
    model.layers[-1].set_weights([weights.astype("float32"), numpy.zeros(10, "float32")])
    weights = weights.astype("float32").astype(float)
    x = generator.random((200, 8, 8, 1), dtype="float32")
    labels = (x.reshape(200, -1) @ weights).argmax(axis=1)
    start, epsilon = x.reshape(200, -1).astype(float), 0.03
    current, correct = start, numpy.ones(200, bool)
    for _ in range(6):
        moved = current + epsilon / 4 * numpy.sign(direction(current @ weights, weights, labels))
        moved = numpy.clip(start + numpy.clip(moved - start, -epsilon, epsilon), 0, 1)
        current = numpy.where(correct[:, None], moved, current)
        correct &= (current @ weights).argmax(axis=1) == labels
    attack = attacks.PGD(steps=6, rel_stepsize=0.25)
    flags = evaluate.robust_flags(model, x, labels, attack, epsilon=epsilon)
    assert (flags != correct).sum() <= 1 and 20 < correct.sum() < 180
    rounding = evaluate.robust_flags(model, x, labels, dataclasses.replace(attack, loss="ce-float32"), epsilon=epsilon)
    assert scale < 10 or rounding.sum() > correct.sum() + 10
