"""Targets from a run's own outputs: SAT's by hand, what is mined of the history, the controls."""

import keras
import numpy
import pytest

from train.robust import METHODS
from train.robust.adversarial import Adversarial
from train.robust.mined import OF, Mined, distance, entropy, smoothed
from train.robust.perturbation import StepSize
from train.robust.targets import SelfAdaptive, adapted, one_hot, weighted

LABELS = numpy.array([0, 2, 1])


def net():
    """Three logits, which read five activations."""
    inputs = keras.Input((5,))
    return keras.Model(inputs, keras.layers.Dense(3, name="logits")(inputs))


def softmax(logits):
    shifted = numpy.exp(logits - logits.max(-1, keepdims=True))
    return shifted / shifted.sum(-1, keepdims=True)


def predictions(probabilities, labels):
    return probabilities.astype("float32"), numpy.log(probabilities[numpy.arange(len(labels)), labels])


def test_sats_targets_by_hand():
    table = SelfAdaptive().begin(5, net())
    rows = numpy.array([4, 0, 2])
    targets, rate = table.of(rows, LABELS, 0.5)
    assert rate == 0 and numpy.array_equal(targets, one_hot(LABELS, 3))
    table.learn(rows, LABELS, 0.5, None, (0 * targets,))
    assert not table.targets.any(), "nothing is kept before the start"
    targets, rate = table.of(rows, LABELS, 0.69)
    p = numpy.array([[0.2, 0.3, 0.5], [0.1, 0.1, 0.8], [0.6, 0.3, 0.1]])
    moved = numpy.asarray(adapted(targets, p.astype("float32"), rate))
    numpy.testing.assert_allclose(moved[0], [0.92, 0.03, 0.05], atol=1e-6)
    numpy.testing.assert_allclose(moved[2], [0.06, 0.93, 0.01], atol=1e-6)
    table.learn(rows, LABELS, 0.69, None, (moved,))
    again, _ = table.of(rows[:1], LABELS[:1], 0.7)
    twice = numpy.asarray(adapted(again, p[:1].astype("float32"), rate))
    numpy.testing.assert_allclose(twice[0], [0.848, 0.057, 0.095], atol=1e-6)
    assert numpy.array_equal(table.of(numpy.array([1]), LABELS[:1], 0.7)[0], [[1, 0, 0]]), "not yet seen"


@pytest.mark.parametrize("scale", [1.0, 300.0, 0.0])
def test_sats_loss_in_float64(scale):
    generator = numpy.random.default_rng(0)
    logits = (scale * generator.normal(size=(6, 4))).astype("float32")
    targets = numpy.concatenate([softmax(generator.normal(size=(4, 4))), numpy.eye(4)[:2]]).astype("float32")
    log_p = logits.astype("float64") - logits.max(-1, keepdims=True)
    log_p -= numpy.log(numpy.exp(log_p).sum(-1, keepdims=True))
    largest = targets.max(-1).astype("float64")
    expected = largest / largest.mean() * -(targets * log_p).sum(-1)
    numpy.testing.assert_allclose(numpy.asarray(weighted(logits, targets)), expected, rtol=1e-5, atol=1e-5)


EPOCHS = numpy.array([[[0.6, 0.3, 0.1], [0.1, 0.8, 0.1]], [[0.9, 0.05, 0.05], [0.4, 0.2, 0.4]], [[0.2, 0.7, 0.1]] * 2])


def recorded(kind, seed=0, **settings):
    """The records of two images of classes 0 and 1 after three epochs, the second epoch best for the first image."""
    table, labels = Mined(kind=kind, **settings).begin(2, net()), numpy.array([0, 1])
    generator = numpy.random.default_rng(seed)
    for p in EPOCHS:
        assert numpy.array_equal(table.of(numpy.arange(2), labels, 0.1)[0], one_hot(labels, 3))
        table.learn(numpy.arange(2), labels, 0.1, generator, predictions(p, labels))
    table.learn(numpy.arange(2), labels, 0.9, generator, predictions(numpy.full((2, 3), 1 / 3), labels))  # too late
    return table, labels


def test_the_target_is_the_output_of_the_most_confident_epoch_mixed_with_the_label():
    table, labels = recorded("best", share=0.25)
    (targets,) = table.of(numpy.arange(2), labels, 0.9)
    expected = 0.25 * numpy.eye(3)[:2] + 0.75 * EPOCHS[[1, 0], [0, 1]]
    numpy.testing.assert_allclose(targets, expected, atol=1e-6)
    assert table.counts.tolist() == [3, 3]
    numpy.testing.assert_allclose(numpy.exp(table.confidence), [0.9, 0.8], rtol=1e-6)


def test_the_running_mean_is_sats():
    table, labels = recorded("mean", share=0.0)
    expected = numpy.eye(3)[:2]
    for p in EPOCHS:
        expected = 0.9 * expected + 0.1 * p
    numpy.testing.assert_allclose(table.of(numpy.arange(2), labels, 0.9)[0], expected, atol=1e-6)


def test_a_random_epoch_is_each_epoch_equally_often():
    first = [recorded("random", seed)[0].outputs[0] for seed in range(600)]
    counts = [sum(numpy.allclose(each, epoch[0]) for each in first) for epoch in EPOCHS]
    assert sum(counts) == 600 and min(counts) > 150


@pytest.mark.parametrize("classes", [2, 10])
def test_a_smoothed_label_has_the_entropy_and_the_label(classes):
    generator = numpy.random.default_rng(1)
    p = softmax(3 * generator.normal(size=(50, classes)))
    entropies = numpy.concatenate([entropy(p), [0.0, numpy.log(classes)]])
    labels = generator.integers(0, classes, len(entropies))
    labelled = smoothed(entropies, labels, classes)
    numpy.testing.assert_allclose(labelled.sum(1), 1, atol=1e-5)
    numpy.testing.assert_allclose(entropy(labelled), entropies, atol=1e-4)
    at = labelled[numpy.arange(len(labels)), labels]
    assert (at >= labelled.max(1) - 1e-6).all()


@pytest.mark.backends
@pytest.mark.parametrize(("of", "kind"), [(of, kind) for of, kinds in OF.items() for kind in kinds])
def test_saturated_outputs_leave_finite_targets_and_losses(tiny, batch, of, kind):
    images, labels = batch
    model = tiny.build()
    model.get_layer("logits").kernel.assign(1e4 * model.get_layer("logits").kernel)
    strategy = Adversarial(step=StepSize(share=0.25), targets=Mined(kind=kind, of=of))
    run = tiny.prepared(strategy, model, rate=1e-6)
    losses = [float(run(images, labels, 1, numpy.random.default_rng(0), progress=share).loss) for share in (0, 0, 0.9)]
    state = run.state()
    assert numpy.isfinite(losses).all() and state["seen"].tolist() == [2] * 12
    assert numpy.isfinite(state["outputs"]).all()
    if of == "probabilities":
        numpy.testing.assert_allclose(state["outputs"].sum(1), 1, atol=1e-5)


@pytest.mark.parametrize("of", OF)
def test_recording_costs_no_pass_and_changes_no_update(tiny, batch, of):
    plain = Adversarial(step=StepSize(share=0.25))
    mined = Adversarial(step=StepSize(share=0.25), targets=Mined(of=of))
    models, outcomes = [tiny.build(), tiny.build()], []
    for strategy, model in zip((plain, mined), models, strict=True):
        outcomes.append(tiny.prepared(strategy, model)(*batch, 2, numpy.random.default_rng(0)))
    assert outcomes[0].passes == outcomes[1].passes == 3
    for first, second in zip(*map(tiny.weights, models), strict=True):
        numpy.testing.assert_allclose(first, second, atol=1e-6)


def test_activations_are_those_of_the_most_confident_epoch_and_an_unseen_image_has_its_label():
    table, labels = Mined(of="activations", share=0.25).begin(3, net()), numpy.array([0, 1])
    rows, features = numpy.array([2, 0]), numpy.arange(30, dtype="float32").reshape(3, 2, 5)
    for p, values in zip(EPOCHS, features, strict=True):
        assert table.of(rows, labels, 0.1)[1].tolist() == [1, 1], "the label alone before the start"
        table.learn(rows, labels, 0.1, None, (values, predictions(p, labels)[1]))
    targets, share = table.of(numpy.array([2, 0, 1]), numpy.array([0, 1, 1]), 0.9)
    assert numpy.array_equal(targets[:2], features[[1, 0], [0, 1]]) and share.tolist() == [0.25, 0.25, 1]


def test_the_distance_of_activations_in_float64():
    generator = numpy.random.default_rng(2)
    for scale in (1.0, 1e4, 0.0):
        found, target = (scale * generator.random((6, 5)).astype("float32") for _ in range(2))
        target[0] = 0  # nothing fired
        found[1] = target[1]
        exact = ((found.astype(float) - target) ** 2).mean(1) / numpy.maximum(
            (target.astype(float) ** 2).mean(1), 1e-30
        )
        numpy.testing.assert_allclose(numpy.asarray(distance(found, target)), exact, rtol=1e-5)


@pytest.mark.backends
def test_a_late_update_moves_towards_the_recorded_activations(tiny, batch):
    images, labels = batch
    model, generator = tiny.build(), numpy.random.default_rng(0)
    mined = Mined(of="activations", share=0.0, start=0.5)
    strategy = Adversarial(step=StepSize(share=0.25), start="zero", targets=mined)
    run = tiny.prepared(strategy, model, rate=0.02)
    run(images, labels, 0, generator, progress=0.0)
    model.get_layer("bn1").gamma.assign(1.5 * model.get_layer("bn1").gamma)
    losses = [float(run(images, labels, 0, generator, progress=0.9).loss) for _ in range(30)]
    assert 0.1 < losses[0] < 0.5 and losses[-1] < 0.5 * losses[0]


def test_an_image_keeps_its_own_row(tiny, batch):
    images, labels = batch
    run = tiny.prepared(METHODS["sat"].strategy, tiny.build(), count=20)
    rows = numpy.arange(12) + 5
    run(images, labels, 1, numpy.random.default_rng(0), progress=0.8, rows=rows)
    filled = run.state()["targets"].any(1)
    assert filled[rows].all() and filled.sum() == 12


def test_targets_of_another_loss_and_values_out_of_range_are_refused():
    with pytest.raises(ValueError, match="SelfAdaptive are targets of trades, not of cross-entropy"):
        Adversarial(step=StepSize(share=0.25), targets=SelfAdaptive())
    activations = {"of": "activations", "kind": "smoothed"}
    for settings in ({"kind": "worst"}, {"start": 2.0}, {"share": -0.1}, {"of": "logits"}, activations):
        with pytest.raises(ValueError, match="expected"):
            Mined(**settings)
    for noise in ({"noise": 0.0}, {"noise": 2.0, "start": "zero"}):
        with pytest.raises(ValueError, match="noise is"):
            Adversarial(step=StepSize(share=1.0), **noise)
