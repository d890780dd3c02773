"""A small model with a history of six epochs, and the targets mined from it."""

import types

import numpy
import pytest

from dare import get_ats
from dare.hardening import targets as hardening_targets
from train.history import History, confidence


@pytest.fixture
def cell(tmp_path, small_net, images):
    """.model (the final one), .history of six random models, .x, .y, and .targets mined at conv2."""
    x, y = images
    history = History(tmp_path / "history")
    generator = numpy.random.default_rng(0)
    start = small_net.get_weights()
    for epoch in range(1, 7):
        small_net.set_weights([w + generator.normal(0, 0.2, w.shape).astype(w.dtype) ** 2 for w in start])
        history.save(small_net, epoch, *confidence(small_net, x, y))
    targets = get_ats.mine_history(small_net, history, x, y)
    return types.SimpleNamespace(model=small_net, history=history, x=x, y=y, targets=targets)


@pytest.fixture
def source(small_net, images, tmp_path):
    """A history of five noisy copies of the net, targets mined from it, and half of these as samples."""
    x, y = images
    start, generator, history = small_net.get_weights(), numpy.random.default_rng(1), History(tmp_path)
    for epoch in range(1, 6):
        small_net.set_weights([w + 0.2 * generator.standard_normal(w.shape, "float32") for w in start])
        history.save(small_net, epoch, *confidence(small_net, x, y))
    targets = get_ats.mine_history(small_net, history, x, y, path=tmp_path / "targets.h5")
    rows = numpy.arange(len(targets.index))[::-2]
    index = targets.index[rows]
    return hardening_targets.Source(small_net, history, targets, rows, x[index], y[index])
