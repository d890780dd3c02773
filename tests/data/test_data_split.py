"""Stratified division: seeded, complete, balanced, and stored with the identity of its data."""

import numpy
import pytest

import data
from data import stratify


def tiny(counts, seed=0, name="tiny"):
    """A data set with counts[c] training images of class c, in shuffled order."""
    generator = numpy.random.default_rng(seed)
    labels = generator.permutation(numpy.repeat(numpy.arange(len(counts)), counts))
    images = generator.integers(0, 256, (len(labels), 2, 2, 1), numpy.uint8)
    return data.Dataset(images, labels, images[:3], labels[:3], tuple("abcdefghij"[: len(counts)]), True, name)


@pytest.mark.parametrize("counts", [(10, 10, 10), (2, 3, 5, 7), (101, 33, 9), (2, 2)])
@pytest.mark.parametrize("seed", [0, 1, 2**40])
def test_every_class_is_halved(counts, seed):
    dataset = tiny(counts)
    split = data.half_split(dataset, seed)
    both = numpy.concatenate([split.train_indices, split.validation_indices])
    assert sorted(both) == list(range(sum(counts)))
    assert abs(len(split.x_train) - len(split.x_validation)) <= 1
    for label, count in enumerate(counts):
        first, second = (split.y_train == label).sum(), (split.y_validation == label).sum()
        assert first + second == count and abs(first - second) <= 1
    for indices, images, labels in (
        (split.train_indices, split.x_train, split.y_train),
        (split.validation_indices, split.x_validation, split.y_validation),
    ):
        assert numpy.all(numpy.diff(indices) > 0)
        assert all(numpy.array_equal(images[k], dataset.x_train[i]) for k, i in enumerate(indices))
        assert all(labels[k] == dataset.y_train[i] for k, i in enumerate(indices))


def naive_stratify(labels, seed):
    """The same rule for halves, one example at a time."""
    generator = numpy.random.PCG64(seed)
    first, second, seen, assigned = [], [], 0, 0
    for label in sorted(set(labels.tolist())):
        members = [i for i, y in enumerate(labels) if y == label]
        words = [generator.random_raw() for _ in members]
        order = sorted(range(len(members)), key=lambda k: words[k])
        seen += len(members)
        count = int(seen / 2 + 0.5) - assigned
        assigned += count
        first += [members[k] for k in order[:count]]
        second += [members[k] for k in order[count:]]
    return sorted(first), sorted(second)


@pytest.mark.parametrize("counts", [(6, 8), (5, 7, 3), (31, 2, 11)])
def test_the_split_is_that_of_the_naive_rule(counts):
    dataset = tiny(counts, seed=4)
    split = data.half_split(dataset, 9)
    first, second = naive_stratify(dataset.y_train, 9)
    assert split.train_indices.tolist() == first and split.validation_indices.tolist() == second


def test_a_seed_gives_one_split_for_good():
    labels = numpy.arange(12) % 2
    first, _ = stratify.stratify(labels, (1, 2), 0)
    again, _ = stratify.stratify(labels, (1, 2), numpy.int64(0))
    other, _ = stratify.stratify(labels, (1, 2), 1)
    assert first.tolist() == again.tolist() == [1, 2, 4, 5, 6, 11]
    assert first.tolist() != other.tolist()


@pytest.mark.parametrize("seed", [-1, 0.5, "0", None])
def test_a_seed_is_a_non_negative_integer(seed):
    with pytest.raises(ValueError, match="non-negative integer"):
        data.half_split(tiny((4, 4)), seed)


def test_a_class_of_one_example_is_refused():
    with pytest.raises(ValueError, match="class 1 has one example"):
        data.half_split(tiny((4, 1)), 0)


def test_four_fifths_keep_every_class_in_both_parts():
    labels = numpy.repeat(numpy.arange(6), [2, 2, 3, 2, 50, 21])
    first, second = stratify.stratify(labels, (4, 5), 0)
    assert set(labels[first]) == set(labels[second]) == set(range(6))
    assert abs((labels[first] == 4).sum() - 40) <= 1


def test_a_saved_split_is_found_again(tmp_path):
    dataset = tiny((9, 6))
    split = data.half_split(dataset, 3)
    split.save(tmp_path / "split.h5")
    again = data.load_split(tmp_path / "split.h5", dataset)
    assert again.seed == 3 and again.fingerprint == split.fingerprint == dataset.fingerprint
    for field in ("x_train", "y_train", "x_validation", "y_validation", "x_test", "train_indices"):
        assert numpy.array_equal(getattr(again, field), getattr(split, field))
    assert again.classes == ("a", "b") and again.verified and again.name == "tiny"


def test_a_split_of_other_data_is_refused(tmp_path):
    data.half_split(tiny((9, 6)), 3).save(tmp_path / "split.h5")
    with pytest.raises(ValueError, match="load the same data set"):
        data.load_split(tmp_path / "split.h5", tiny((9, 6), seed=1))


def test_damaged_splits_are_refused(tmp_path):
    path, dataset = tmp_path / "split.h5", tiny((9, 6))
    with pytest.raises(FileNotFoundError):
        data.load_split(path, dataset)
    data.half_split(dataset, 3).save(path)
    path.write_bytes(path.read_bytes()[:700])
    with pytest.raises(ValueError, match="not a whole HDF5 file"):
        data.load_split(path, dataset)
    path.write_text("no split at all")
    with pytest.raises(ValueError, match="not a whole HDF5 file"):
        data.load_split(path, dataset)


def test_a_saved_split_must_divide_the_training_set(tmp_path):
    from data import files

    dataset = tiny((9, 6))
    rows = {"train_indices": numpy.arange(8), "validation_indices": numpy.arange(7, 14)}
    files.save_artefact(tmp_path / "split.h5", "data split", rows, {"data": dataset.fingerprint, "seed": 0})
    with pytest.raises(ValueError, match="do not divide"):
        data.load_split(tmp_path / "split.h5", dataset)


def test_a_class_is_taken_out_of_both_parts():
    generator = numpy.random.default_rng(0)
    x, y = generator.integers(0, 256, (30, 4, 4, 1), numpy.uint8), generator.integers(0, 3, 30)
    dataset = data.Dataset(x[:20], y[:20], x[20:], y[20:], ("a", "b", "c"), True, "tiny")
    less = data.without_class(dataset, 1)
    assert less.classes == ("a", "c") and less.fingerprint != dataset.fingerprint
    for part, rows in (("train", slice(20)), ("test", slice(20, None))):
        others = [place for place, label in enumerate(y[rows]) if label != 1]
        numpy.testing.assert_array_equal(getattr(less, f"x_{part}"), x[rows][others])
        assert getattr(less, f"y_{part}").tolist() == [{0: 0, 2: 1}[label] for label in y[rows][others]]
    for label, source in ((3, dataset), (-1, dataset), (0, less)):
        with pytest.raises(ValueError, match="expected one of at least three"):
            data.without_class(source, label)
