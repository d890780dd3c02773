"""Figures of a slice say what was kept and frozen, and are the same PNG bytes every time."""

import struct

import numpy
import pytest

from reporting import figures
from studies.dare import figures_of_cell

FROZEN = {f"conv{layer}": {"union": 0.0, "intersection": 0.2 * layer} for layer in range(1, 4)}
KEPT = {"conv1": [0.5, 1.0, 0.95], "conv2": [0.25, 0.9996, 0.7]}
WIDE = {f"block{layer}_conv": list(numpy.linspace(0.1, 1, 43)) for layer in range(20)}


@pytest.mark.parametrize(
    ("function", "values"),
    [
        (figures_of_cell.frozen_share, FROZEN),
        (figures_of_cell.slice_size, KEPT),
        (figures_of_cell.slice_size, WIDE),
        (figures_of_cell.slice_size, {"logits": [1.0]}),
    ],
)
def test_png_is_whole_and_always_the_same(function, values, tmp_path):
    for name in "ab":
        figures.save(function(values), tmp_path / f"{name}.png", dpi=60)
    first = (tmp_path / "a.png").read_bytes()
    assert first == (tmp_path / "b.png").read_bytes()
    width, height = struct.unpack(">II", first[16:24])
    assert 150 <= width <= 2000 and 100 <= height <= 2000
    assert len(first) > 2000


def test_the_map_holds_every_share_with_its_layer_and_class():
    figure = figures_of_cell.slice_size(KEPT, ["cat", "$dog$", "ship"])
    axis, bar = figure.axes
    assert [label.get_text() for label in axis.get_xticklabels()] == ["conv1", "conv2"]
    assert [label.get_text() for label in axis.get_yticklabels()] == ["cat", "$dog$", "ship"]
    numpy.testing.assert_allclose(axis.images[0].get_array(), [[50, 25], [100, 99.96], [95, 70]])
    assert [text.get_text() for text in axis.texts] == ["50.0", "25.0", "100", "100", "95.0", "70.0"]
    assert "n = 3 classes, 2 layers" in figure.get_suptitle() and bar.get_ylabel() == "kept connections (%)"
    assert not figures_of_cell.slice_size(WIDE).axes[0].texts, "860 numbers have no room"


def test_the_bars_hold_every_frozen_share():
    axis = figures_of_cell.frozen_share(FROZEN).axes[0]
    heights = [[bar.get_height() for bar in bars] for bars in axis.containers]
    numpy.testing.assert_allclose(heights, [[0, 0, 0], [20, 40, 60]])
    assert [text.get_text() for text in axis.get_legend().get_texts()] == ["union", "intersection"]


def test_nothing_to_draw():
    for function in (figures_of_cell.frozen_share, figures_of_cell.slice_size):
        with pytest.raises(ValueError, match="no layer to draw"):
            function({})
    with pytest.raises(ValueError, match="2 class names for shares of 3 classes"):
        figures_of_cell.slice_size(KEPT, ["a", "b"])
