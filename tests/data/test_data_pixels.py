"""Pixel scale and statistics against naive NumPy."""

import numpy
import pytest

import data
from data import pixels


def test_to_unit_divides_bytes_by_255():
    x = numpy.arange(256, dtype=numpy.uint8)
    unit = data.to_unit(x)
    assert unit.dtype == numpy.float32
    assert numpy.array_equal(unit, x.astype(numpy.float32) / numpy.float32(255))
    assert unit[0] == 0 and unit[255] == 1


def test_to_unit_leaves_unit_floats_as_they_are():
    x = numpy.random.default_rng(0).random((3, 4, 4, 1), numpy.float32)
    assert data.to_unit(x) is x


@pytest.mark.parametrize("kind", [numpy.float16, numpy.float64])
def test_other_floats_are_cast(kind):
    x = numpy.random.default_rng(0).random((3, 4, 4, 1)).astype(kind)
    unit = data.to_unit(x)
    assert unit.dtype == numpy.float32 and numpy.array_equal(unit, x.astype(numpy.float32))
    assert data.to_unit(numpy.zeros((0, 4), kind)).shape == (0, 4)


def test_what_rounding_put_outside_is_clipped():
    x = numpy.array([-2e-7, 0.5, 1.0000002], numpy.float32)
    assert data.to_unit(x).tolist() == [0, 0.5, 1] and x[2] > 1


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (numpy.zeros(3, numpy.int64), "pixels are int64"),
        (numpy.zeros(3, bool), "pixels are bool"),
        (numpy.array([0, 255.0]), "0 to 255"),
        (numpy.array([0, 1.0001], numpy.float32), r"0 to 1\.00010002, expected"),
        (numpy.array([0, 255], numpy.float32), "0 to 255"),
        (numpy.array([-0.1, 1], numpy.float32), "-0.1"),
        (numpy.array([0.5, numpy.nan], numpy.float32), "nan"),
        (numpy.array([0.5, numpy.inf], numpy.float32), "inf"),
    ],
)
def test_to_unit_refuses_other_scales(x, words):
    with pytest.raises(ValueError, match=words):
        data.to_unit(x)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", [numpy.uint8, numpy.float32])
def test_statistics_equal_the_naive_ones(channels, kind, monkeypatch):
    monkeypatch.setattr(pixels, "BLOCK", 7)
    x = numpy.random.default_rng(1).integers(0, 256, (50, 6, 5, channels), numpy.uint8)
    x = x if kind is numpy.uint8 else (x / 255).astype(kind)
    exact = x / 255 if kind is numpy.uint8 else x.astype(numpy.float64)
    statistics = data.statistics(x)
    for value, expected in (
        (statistics.mean_image, exact.mean(axis=0)),
        (statistics.channel_mean, exact.mean(axis=(0, 1, 2))),
        (statistics.channel_std, exact.std(axis=(0, 1, 2))),
    ):
        assert value.dtype == numpy.float32 and value.shape == expected.shape
        numpy.testing.assert_allclose(value, expected, rtol=1e-6)


def test_statistics_of_a_constant_channel_have_no_deviation():
    statistics = data.statistics(numpy.full((5, 2, 2, 1), 51, numpy.uint8))
    assert statistics.channel_std[0] < 1e-7 and statistics.channel_mean[0] == pytest.approx(0.2)


@pytest.mark.parametrize("shape", [(4, 4, 1), (0, 4, 4, 1), (2, 2)])
def test_statistics_refuse_other_shapes(shape):
    with pytest.raises(ValueError, match="N, H, W, C"):
        data.statistics(numpy.zeros(shape, numpy.uint8))
