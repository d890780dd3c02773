"""Methods that use a pass twice: replays (FREE), perturbations that persist, and YOPO against its definition."""

import keras
import numpy
import pytest

from models import compute, perturb
from train.robust import METHODS
from train.robust.optimizer import CoupledSGD
from train.robust.perturbation import StepSize
from train.robust.replay import Replay
from train.robust.yopo import Yopo


def test_one_replay_from_zero_is_standard_training_to_the_bit(tiny, batch):
    models = [tiny.build(dropout=True), tiny.build(dropout=True)]
    free = tiny.prepared(Replay(start="zero", step=StepSize(share=1.0)), models[0])
    standard = tiny.prepared(METHODS["standard"].strategy, models[1])
    for _ in range(3):
        free(*batch, 1, numpy.random.default_rng(0))
        standard(*batch, 0, numpy.random.default_rng(0))
    assert all(map(numpy.array_equal, *map(tiny.weights, models)))


def test_the_second_replay_trains_on_the_fgsm_images_of_the_weights_before_the_first(tiny, batch, seen):
    images, labels = batch
    model = tiny.build()
    passed = seen(0)

    def in_training(call, images, labels):
        return compute.gradient(lambda x: (perturb.cross_entropy(call(x), labels), ()), images, call)[1]

    run = tiny.prepared(Replay(start="zero", step=StepSize(share=1.0)), model)
    before = model.get_weights()
    gradient = numpy.asarray(compute.compiled(model, in_training, training=True)(images, labels))
    model.set_weights(before)
    run(images, labels, 2, numpy.random.default_rng(0))
    numpy.testing.assert_array_equal(passed[0], images)
    moved = (images + numpy.float32(tiny.epsilon) * numpy.sign(gradient)).clip(0, 1)
    numpy.testing.assert_allclose(passed[1], moved, atol=1e-6)


def test_a_persistent_perturbation_is_carried_to_the_next_batch(tiny, batch, seen):
    images, labels = batch
    passed = seen(0)
    run = tiny.prepared(METHODS["free-8-persistent"].strategy, tiny.build())
    first = run(images, labels, 2, numpy.random.default_rng(0))
    run(images[:5], labels[:5], 1, numpy.random.default_rng(0), first.carried)
    carried = numpy.asarray(first.carried)
    expected = (images[:5] + carried[:5]).clip(0, 1)
    numpy.testing.assert_allclose(passed[2], expected, atol=1e-6)
    assert abs(carried).max() > 0.5 * tiny.epsilon
    assert (carried[0] < 0).any() and (carried[1] > 0).any()  # past the box of a black and of a white image


def test_a_persistent_perturbation_rests_where_the_box_holds_a_pixel(tiny, batch):
    images, labels = batch
    beyond = numpy.full_like(images, -0.5 * tiny.epsilon)  # outside the box of the black image, else mostly inside
    run = tiny.prepared(METHODS["free-8-persistent"].strategy, tiny.build())
    moved = numpy.asarray(run(images, labels, 1, numpy.random.default_rng(0), beyond).carried)
    numpy.testing.assert_array_equal(moved[0], beyond[0])
    assert (moved[1:] != beyond[1:]).mean() > 0.5 and abs(moved).max() <= tiny.epsilon


@pytest.mark.parametrize(("rounds", "inner"), [(1, 1), (2, 2)])
def test_yopo_equals_its_definition_on_two_dense_layers(tiny, rounds, inner):
    generator = numpy.random.default_rng(rounds)
    x, y = generator.random((6, 4), "float32"), (numpy.arange(6) % 3).astype("int32")
    inputs = keras.Input((4,))
    hidden = keras.layers.Dense(5, name="first")(inputs)
    model = keras.Model(inputs, keras.layers.Dense(3, name="logits")(keras.layers.ReLU()(hidden)))
    w0, b0, w1, b1 = (part.astype("float64") for part in model.get_weights())
    strategy, rate = Yopo(inner=inner, start="zero", step=StepSize(share=0.25)), 0.1
    run = strategy.batch(model, CoupledSGD(rate), epsilon=tiny.epsilon, scale=numpy.float32(1.0))
    outcome = run(x, y, rounds, numpy.random.default_rng(0))
    total, moved = [numpy.zeros_like(part) for part in (w0, b0, w1, b1)], x
    for _ in range(rounds):  # gradients summed over the rounds
        start, before = moved, moved @ w0 + b0
        active = numpy.maximum(before, 0)
        logits = active @ w1 + b1
        p = numpy.exp(logits) / numpy.exp(logits).sum(-1, keepdims=True)
        error = (p - numpy.eye(3)[y]) / 6  # of the mean loss
        by_hidden = (error @ w1.T) * (before > 0)  # -p of the method, held for the round's steps of the images
        for _ in range(inner):
            change = moved + 0.25 * tiny.epsilon * numpy.sign(by_hidden @ w0.T) - x
            moved = (x + change.clip(-tiny.epsilon, tiny.epsilon)).clip(0, 1)
        gradients = start.T @ by_hidden + moved.T @ by_hidden, 2 * by_hidden.sum(0), active.T @ error, error.sum(0)
        total = [part + gradient for part, gradient in zip(total, gradients, strict=True)]
    for weight, initial, gradient in zip(model.get_weights(), (w0, b0, w1, b1), total, strict=True):
        numpy.testing.assert_allclose(weight, initial - rate * gradient, rtol=1e-4, atol=1e-6)
    numpy.testing.assert_allclose(float(outcome.loss), -numpy.log(p[numpy.arange(6), y]).mean(), rtol=1e-5)
