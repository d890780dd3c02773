"""Saved slices: read back unchanged, small, and damage is an error."""

import json

import h5py
import numpy
import pytest

from dare import nnslicer


def some_slice():
    random = numpy.random.default_rng(0)
    kept = {"a/b": random.random((3, 5, 7)) < 0.5, "depthwise": random.random((3, 7, 2)) < 0.5}
    kept["logits"] = (random.random((3, 7, 3)) < 0.5) & numpy.eye(3, dtype=bool)[:, None]
    return nnslicer.Slice(kept, 0.95, "dare", None, "mean", "0" * 64, "1" * 64, "logits")


def test_saved_slices_come_back_and_are_small(tmp_path):
    slices, path = some_slice(), tmp_path / "slice.h5"
    slices.save(path)
    again = nnslicer.Slice.load(path)
    assert list(again.kept) == list(slices.kept)
    for layer, kept in slices.kept.items():
        assert again.kept[layer].dtype == bool
        numpy.testing.assert_array_equal(again.kept[layer], kept)
    for field in ("per", "rule", "theta", "representative", "model", "data", "output"):
        assert getattr(again, field) == getattr(slices, field)
    big = nnslicer.Slice({"dense": numpy.ones((10, 512, 512), bool)}, 0.95, "nnslicer", 0.1, "first", "", "")
    big.save(path)
    assert path.stat().st_size < 10 * 512 * 512 / 8 + 10_000
    assert nnslicer.Slice.load(path).theta == 0.1


def test_damaged_slices_are_refused(tmp_path):
    path = tmp_path / "slice.h5"
    with pytest.raises(FileNotFoundError):
        nnslicer.Slice.load(path)
    slices = some_slice()
    slices.save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"slice\.h5"):
        nnslicer.Slice.load(path)
    bits = numpy.concatenate([numpy.packbits(kept) for kept in slices.kept.values()]).tobytes()
    assert whole.count(bits) == 1
    path.write_bytes(whole.replace(bits, bits[:-1] + bytes([bits[-1] ^ 64])))
    with pytest.raises(ValueError, match="damaged"):
        nnslicer.Slice.load(path)


def test_lacking_and_contradicting_attributes_are_named(tmp_path):
    path = tmp_path / "slice.h5"
    some_slice().save(path)
    with h5py.File(path, "r+") as file:
        shapes = json.loads(file.attrs["layers"])
        file.attrs["layers"] = json.dumps(shapes | {"a/b": [3, 5, 70]})
    with pytest.raises(ValueError, match="damaged"):
        nnslicer.Slice.load(path)
    some_slice().save(path)
    with h5py.File(path, "r+") as file:
        del file.attrs["rule"]
    with pytest.raises(ValueError, match="lacks rule"):
        nnslicer.Slice.load(path)
