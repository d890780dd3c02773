"""Targets mined up to the epoch that held-out images select: against a loop that keeps everything."""

import keras
import numpy
import pytest

from train.history import History
from train.robust.mined import MOMENTUM, Mined

ROWS, CLASSES, EPOCHS = 5, 3, 12


def net():
    inputs = keras.Input((2, 2, 1))
    return keras.Model(inputs, keras.layers.Dense(CLASSES)(keras.layers.Flatten()(inputs)))


def history(seed):
    """Softmax outputs (epochs, rows, classes), some saturated, tied confidences among them, and labels."""
    generator = numpy.random.default_rng(seed)
    logits = generator.normal(0, 3, (EPOCHS, ROWS, CLASSES))
    logits[3], logits[7] = logits[2], numpy.where(numpy.eye(CLASSES)[[0, 1, 2, 0, 1]], 200, -200)
    exponentials = numpy.exp(logits - logits.max(-1, keepdims=True))
    return (exponentials / exponentials.sum(-1, keepdims=True)).astype("float32"), numpy.array([0, 1, 2, 2, 1])


def learn(table, outputs, labels, epoch, generator):
    with numpy.errstate(divide="ignore"):
        confidence = numpy.log(outputs[numpy.arange(ROWS), labels])
    table.learn(numpy.arange(ROWS), labels, epoch / EPOCHS, generator, (outputs, confidence))


def naive(outputs, labels, kind, selected):
    """What is learnt from after the epoch `selected` (from 0): outputs (rows, classes)."""
    epochs = outputs[: selected + 1]
    if kind == "mean":
        target = numpy.eye(CLASSES)[labels]
        for values in epochs:
            target = MOMENTUM * target + (1 - MOMENTUM) * values
        return target
    confident = [[epochs[epoch, row, label] for epoch in range(selected + 1)] for row, label in enumerate(labels)]
    return numpy.array([epochs[numpy.argmax(of_row), row] for row, of_row in enumerate(confident)])


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("kind", ["best", "mean"])
def test_targets_are_those_of_the_selected_epoch_from_when_it_lies_back(kind, seed):
    outputs, labels = history(seed)
    generator = numpy.random.default_rng(seed)
    held_out = generator.random(EPOCHS)
    table = Mined(kind=kind, start=0.25, share=0.5, patience=2 / EPOCHS).begin(ROWS, net())
    begun = False
    for epoch in range(EPOCHS):
        if epoch == 5:  # killed here
            state, table = (
                table.state(),
                Mined(kind=kind, start=0.25, share=0.5, patience=2 / EPOCHS).begin(ROWS, net()),
            )
            table.restore({name: numpy.array(values) for name, values in state.items()})
        target = table.of(numpy.arange(ROWS), labels, epoch / EPOCHS)[0]
        wanted = numpy.eye(CLASSES)[labels]
        if begun:
            wanted = (wanted + naive(outputs, labels, kind, int(numpy.argmax(held_out[:epoch])))) / 2
        assert numpy.allclose(target, wanted, atol=1e-6)
        learn(table, outputs[epoch], labels, epoch, generator)
        best = int(numpy.argmax(held_out[: epoch + 1]))
        table.judge(best == epoch, (epoch + 1) / EPOCHS)
        begun = begun or (epoch + 1 >= 3 and epoch - best >= 2)
    assert begun


def test_without_a_fall_on_held_out_images_labels_alone_are_learnt_from():
    outputs, labels = history(0)
    table = Mined(start=0.0, patience=0.1).begin(ROWS, net())
    for epoch in range(EPOCHS):
        assert numpy.array_equal(table.of(numpy.arange(ROWS), labels, epoch / EPOCHS)[0], numpy.eye(CLASSES)[labels])
        learn(table, outputs[epoch], labels, epoch, numpy.random.default_rng(0))
        table.judge(True, (epoch + 1) / EPOCHS)


def test_activations_too_and_an_unseen_image_has_its_label():
    rule = Mined(of="activations", share=0.25, start=0.0, patience=0.0)
    table, rows = rule.begin(2, net()), numpy.arange(1)
    values = numpy.arange(4, dtype="float32")[None]
    table.learn(rows, rows, 0.0, None, (values, numpy.zeros(1, "float32")))
    assert table.of(rows, rows, 0.1)[1].tolist() == [1.0]  # nothing is judged yet
    table.judge(True, 0.5)
    table.learn(rows, rows, 0.5, None, (values + 1, numpy.ones(1, "float32")))  # of an epoch that is not selected
    table.judge(False, 1.0)
    recorded, share = table.of(numpy.arange(2), numpy.zeros(2, int), 1.0)
    assert recorded[0].tolist() == [0, 1, 2, 3] and share.tolist() == [0.25, 1.0]


@pytest.mark.parametrize("patience", [-0.1, 1.5, float("nan")])
def test_a_patience_out_of_range_is_refused(patience):
    with pytest.raises(ValueError, match="patience=.*expected fractions from 0 to 1"):
        Mined(patience=patience)


def test_a_history_begun_before_there_was_a_patience_goes_on(tmp_path):
    history = History(tmp_path)
    history.claim({"seed": 0, "targets": {"kind": "best", "start": 0.6}})
    history.claim({"seed": 0, "targets": {"kind": "best", "start": 0.6, "patience": None}})
    with pytest.raises(ValueError, match="this history has targets"):
        history.claim({"seed": 0, "targets": {"kind": "best", "start": 0.6, "patience": 0.1}})
