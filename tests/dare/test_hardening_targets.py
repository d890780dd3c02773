"""The targets of hardening, against plain forward passes."""

import numpy
import pytest
import scipy.special

import data
from dare import transform
from dare.hardening import targets as hardening_targets
from dare.hardening.strategies import STRATEGIES


def probabilities(source, epoch):
    """The softmax of a checkpoint, by a plain forward pass."""
    model = source.history.architecture()
    source.history.load_weights(model, int(epoch))
    return scipy.special.softmax(model(data.to_unit(source.x), training=False), axis=-1)


def test_targets_are_those_of_plain_forward_passes(source):
    before = source.model.get_weights()
    targets = {name: make(source) for name, make in hardening_targets.TARGETS.items()}
    assert {name: passes for name, (_, passes) in targets.items()} == {
        "labels": 0, "mined": 0.5, "own": 0.5, "chosen-softmax": 0.5, "average-softmax": 1.0
    }  # fmt: skip
    assert {strategy.targets for strategy in STRATEGIES.values()} == set(targets)
    epochs = source.mined.epoch[source.rows]
    assert set(epochs) <= {3, 4} and len(epochs) > 4
    by_epoch = {epoch: probabilities(source, epoch) for epoch in (3, 4)}
    chosen = numpy.stack([by_epoch[epoch][row] for row, epoch in enumerate(epochs)])
    regression = transform.transform(source.model)
    expected = {
        "labels": source.y,
        "mined": source.mined.activation[()][source.rows],
        "own": numpy.asarray(regression(data.to_unit(source.x), training=False)),
        "chosen-softmax": chosen,
        "average-softmax": (by_epoch[3] + by_epoch[4]) / 2,
    }
    for name, (array, _) in targets.items():
        numpy.testing.assert_allclose(array, expected[name], atol=1e-5, err_msg=name)
        assert array.dtype == ("int32" if name == "labels" else "float32")
    for old, new in zip(before, source.model.get_weights(), strict=True):
        numpy.testing.assert_array_equal(old, new)


def test_a_dropped_checkpoint_is_named(source):
    source.history.drop_weights(3)
    with pytest.raises(FileNotFoundError, match="no weights of epoch 3; stored epochs: 1, 2, 4, 5"):
        hardening_targets.TARGETS["average-softmax"](source)
