"""Packed adversarial sets: exact, rounded, whole; and damaged files."""

import dataclasses

import numpy
import pytest

import data
from adv import packed_set
from adv.adversarial_set import AdversarialSet, Part
from data import files


@pytest.fixture
def split():
    generator = numpy.random.default_rng(3)
    x, y, rows = generator.integers(0, 256, (30, 5, 4, 3), dtype="uint8"), numpy.arange(30) % 4, numpy.arange(20)
    x[0], x[1] = 0, 255
    return data.Split(
        x[:20], y[:20], x[:0], y[:0], x[20:], y[20:], rows, rows[:0], tuple("abcd"), 0, "d" * 64, True, "random"
    )


def changed_set(split, change):
    """A set of changed images: change(float64 images) -> float64 images."""
    parts = {}
    for name, of in (("train", "x_train"), ("validation", "x_train"), ("test", "x_train"), ("heldout", "x_test")):
        index = numpy.array([0, 1, 4]) if of == "x_train" else numpy.array([2, 5])
        images = numpy.clip(change(getattr(split, of)[index] / 255), 0, 1).astype("float32")
        parts[name] = Part(images, index % 4, index)
    return AdversarialSet(parts, {"test": 3, "heldout": 2}, {"attack": "fgsm"}, "m" * 64, "d" * 64)


def noise(scale, seed=0):
    return lambda images: images + scale * numpy.random.default_rng(seed).normal(size=images.shape)


def grid(images):
    return numpy.rint(255 * noise(0.3)(images)).astype(int) / 255


def back(whole, split, path, encoding):
    packed_set.save(whole, split, path, encoding)
    return packed_set.load(path, split)


def test_whole_255ths_are_kept_bit_for_bit_as_bytes(split, tmp_path):
    whole = changed_set(split, grid)
    assert packed_set.candidate(whole, split) == "uint8"
    again = back(whole, split, tmp_path / "a.h5", "uint8")
    for part in packed_set.SCORED:
        assert again.parts[part].images.dtype == numpy.float32
        assert numpy.array_equal(again.parts[part].images, whole.parts[part].images)
        assert numpy.array_equal(again.parts[part].index, whole.parts[part].index)
    assert all(len(again.parts[part].labels) == 0 for part in packed_set.UNSCORED)
    assert (again.attack, again.drawn, again.model) == (whole.attack, whole.drawn, whole.model)


@pytest.mark.parametrize("scale", [1e-6, 1e-3, 0.1, 10.0])
def test_other_differences_are_rounded_to_eleven_bits(split, tmp_path, scale):
    whole = changed_set(split, noise(scale))
    assert packed_set.candidate(whole, split) == "float16" or scale == 10.0  # then nearly all pixels are clipped
    again = back(whole, split, tmp_path / "a.h5", "float16")
    for part, of in packed_set.SCORED.items():
        source = getattr(split, of)[whole.parts[part].index].astype("float64") / 255
        change = numpy.abs(whole.parts[part].images - source)
        error = numpy.abs(again.parts[part].images.astype("float64") - whole.parts[part].images)
        assert (error <= 2**-11 * change + 2**-22).all(), "half a unit in the last place, or float16's smallest step"
        assert again.parts[part].images.min() >= 0 and again.parts[part].images.max() <= 1


def test_float32_is_the_image_itself(split, tmp_path):
    whole = changed_set(split, noise(0.1))
    again = back(whole, split, tmp_path / "a.h5", "float32")
    assert all(numpy.array_equal(again.parts[p].images, whole.parts[p].images) for p in packed_set.SCORED)


def test_empty_parts(split, tmp_path):
    whole = changed_set(split, grid)
    empty = Part(*(getattr(whole.parts["heldout"], name)[:0] for name in ("images", "labels", "index")))
    again = back(dataclasses.replace(whole, parts={**whole.parts, "heldout": empty}), split, tmp_path / "a.h5", "uint8")
    assert again.parts["heldout"].images.shape == (0, 5, 4, 3)


def test_what_does_not_belong_is_refused(split, tmp_path):
    path = tmp_path / "a.h5"
    packed_set.save(changed_set(split, grid), split, path, "uint8")
    with pytest.raises(ValueError, match="made for data dddd"):
        packed_set.load(path, dataclasses.replace(split, fingerprint="e" * 64))
    arrays, facts = files.load_artefact(path, packed_set.KIND, [], packed_set.FACTS)
    arrays = {name: value[...] for name, value in files.load_artefact(path, packed_set.KIND)[0].items()}
    for change, message in (
        ({"encoding": "pickle"}, "expected one of uint8"),
        ({"test_index": arrays["test_index"] + 1000}, "rows that x_train lacks"),
        ({"test_index": arrays["test_index"] - 1000}, "rows that x_train lacks"),
        ({"test_images": arrays["test_images"][:, :2]}, "damaged"),
        ({"heldout_labels": arrays["heldout_labels"][:1]}, "damaged"),
    ):
        changed = {name: change.get(name, value) for name, value in arrays.items()}
        files.save_artefact(path, packed_set.KIND, changed, facts | {k: v for k, v in change.items() if k in facts})
        with pytest.raises(ValueError, match=message):
            packed_set.load(path, split)
