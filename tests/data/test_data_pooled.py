"""Data joined, made grey and divided into three; images in folders with tracks."""

import numpy
import PIL.Image
import pytest

import data
from data import pooled, stratify


def dataset(count=120, classes=3, channels=3, name="tiny", **more):
    generator = numpy.random.default_rng(0)
    x = generator.integers(0, 256, (count, 4, 4, channels), numpy.uint8)
    y = numpy.arange(count) % classes
    return data.Dataset(x[:90], y[:90], x[90:], y[90:], tuple("abc"), True, name, **more)


def test_parts_are_disjoint_complete_and_repeat():
    split = data.three_way(dataset(), 0, shares=(0.2, 0.1))
    again = data.three_way(dataset(), 0, shares=(0.2, 0.1))
    assert (len(split.x_train), len(split.x_validation), len(split.x_test)) == (84, 24, 12)
    assert numpy.array_equal(split.train_indices, again.train_indices) and split.fingerprint == again.fingerprint
    assert split.fingerprint != data.three_way(dataset(), 1, shares=(0.2, 0.1)).fingerprint
    assert not set(split.train_indices) & set(split.validation_indices)
    assert numpy.bincount(split.y_test).tolist() == [4, 4, 4]
    whole = numpy.concatenate([split.x_train, split.x_validation, split.x_test])
    assert len({image.tobytes() for image in whole}) == 120 and whole.shape[-1] == 1


def test_the_published_counts():
    y = numpy.arange(60_000) % 10
    x = numpy.zeros((60_000, 1, 1, 1), numpy.uint8)
    joined = data.Dataset(x[:50_000], y[:50_000], x[50_000:], y[50_000:], tuple("0123456789"), True, "cifar10")
    split = data.three_way(joined, 0)
    assert (len(split.x_train), len(split.x_validation), len(split.x_test)) == (41_999, 12_000, 6_001)


def test_grey_is_the_weighted_sum_rounded():
    images = numpy.random.default_rng(0).integers(0, 256, (5, 3, 3, 3), numpy.uint8)
    for name, weights in (("standard", (0.299, 0.587, 0.114)), ("as-run", (0.114, 0.587, 0.299))):
        expected = sum(weight * images[..., channel].astype(float) for channel, weight in enumerate(weights))
        greyscale = pooled.grey(images, name)[..., 0]
        assert greyscale.dtype == numpy.uint8 and abs(greyscale - expected).max() <= 0.5 + 1e-4
    assert pooled.grey(images[..., :1]).shape == (5, 3, 3, 1)
    with pytest.raises(ValueError, match="no grey 'blue'"):
        pooled.grey(images, "blue")


def test_groups_stay_together():
    labels = numpy.repeat(numpy.arange(3), 40)
    groups = numpy.repeat(numpy.arange(12), 10)
    first, second = stratify.divide(labels, (1, 4), 0, groups)
    assert not set(groups[first]) & set(groups[second]) and numpy.bincount(labels[first]).tolist() == [10, 10, 10]
    split = data.three_way(dataset(group_train=numpy.arange(90) // 3 * 3 + numpy.arange(90) % 3,
                                   group_test=100 + numpy.arange(30) % 6), 0, shares=(0.2, 0.2))  # fmt: skip
    assert len(split.x_test) and len(split.x_validation)
    with pytest.raises(ValueError, match="class 0 has one group"):
        stratify.divide(labels, (1, 4), 0, labels)


def test_a_part_of_the_images_keeps_three_groups_of_each_class():
    grouped = dataset(group_train=numpy.arange(90) % 15, group_test=numpy.arange(30) % 15)
    split = data.three_way(grouped, 0, shares=(0.2, 0.2), images=10)
    assert all(len(numpy.unique(part)) == 3 for part in (split.y_train, split.y_validation, split.y_test))
    held = data.holdout_split(grouped, 0, validation=20)
    assert not set(grouped.group_train[held.train_indices]) & set(grouped.group_train[held.validation_indices])
    less = data.without_class(data.reduced(grouped, 60, 0), 0)
    assert len(less.group_train) == len(less.y_train) and len(less.group_test) == len(less.y_test)


def test_the_test_part_grows_by_images_that_nothing_else_uses():
    share = data.three_way(dataset(), 0, shares=(0.2, 0.1), images=60)
    split = data.three_way(dataset(), 0, shares=(0.2, 0.1), images=60, test_images=33)
    assert numpy.array_equal(split.x_train, share.x_train)
    assert numpy.array_equal(split.x_validation, share.x_validation)
    assert numpy.bincount(split.y_test).tolist() == [11, 11, 11]
    parts = [{image.tobytes() for image in part} for part in (split.x_train, split.x_validation, split.x_test)]
    assert len(set.union(*parts)) == 42 + 12 + 33, "disjoint"
    assert {image.tobytes() for image in share.x_test} < parts[2]
    as_published = data.three_way(dataset(), 0, shares=(0.2, 0.1), images=60, test_images=6)
    assert as_published.fingerprint == share.fingerprint
    for test_images, images in ((5, 60), (66, 60), (13, None)):
        with pytest.raises(ValueError, match=f"{test_images} test images, expected"):
            data.three_way(dataset(), 0, shares=(0.2, 0.1), images=images, test_images=test_images)
    grouped = dataset(group_train=numpy.arange(90) % 15, group_test=numpy.arange(30) % 15)
    with pytest.raises(ValueError, match="with groups of images"):
        data.three_way(grouped, 0, shares=(0.2, 0.2), images=60, test_images=40)


def test_what_cannot_be_divided():
    with pytest.raises(ValueError, match="no published shares of tiny"):
        data.three_way(dataset(), 0)
    whole = data.three_way(dataset(), 0, shares=(0.2, 0.1))
    assert data.three_way(dataset(), 0, shares=(0.2, 0.1), images=200).fingerprint == whole.fingerprint
    assert len(data.three_way(dataset(), 0, shares=(0.2, 0.1), images=60).x_train) == 42


@pytest.fixture
def signs(tmp_path):
    """GTSRB's layout: 43 classes of four tracks of three frames."""
    generator = numpy.random.default_rng(0)
    for label in range(43):
        (tmp_path / "gtsrb" / f"{label:05d}").mkdir(parents=True)
        for track in range(4):
            for frame in range(3):
                pixels = generator.integers(0, 256, (20, 25, 3), numpy.uint8)
                file = tmp_path / "gtsrb" / f"{label:05d}" / f"{track:05d}_{frame:05d}.png"
                PIL.Image.fromarray(pixels).save(file)
    return tmp_path


def test_gtsrb_is_divided_by_track(signs):
    loaded = data.load("gtsrb", signs, unverified=True)
    assert loaded.x_train.shape == (43 * 9, 48, 48, 3) and loaded.x_test.shape == (43 * 3, 48, 48, 3)
    assert not set(loaded.group_train) & set(loaded.group_test) and not loaded.verified and len(loaded.classes) == 43
    split = data.three_way(loaded, 0)
    assert len(split.x_train) + len(split.x_validation) + len(split.x_test) == 43 * 12
    with pytest.raises(ValueError, match="no published digest: admit them with --unverified"):
        data.load("gtsrb", signs)


def test_a_missing_class_directory_says_where_to_get_the_images(signs):
    (signs / "gtsrb" / "00007").rename(signs / "gtsrb" / "7")
    with pytest.raises(FileNotFoundError, match=r"directories 00000 to 00042: get the images from https://bench"):
        data.load("gtsrb", signs, unverified=True)


@pytest.mark.parametrize("nested", [True, False])
def test_intel_pooled_or_in_its_two_folders(nested, tmp_path):
    roots = [tmp_path / "intel" / part / part for part in ("seg_train", "seg_test")] if nested else [tmp_path]
    for root in roots:
        for name in ("buildings", "forest", "glacier", "mountain", "sea", "street"):
            (root / name).mkdir(parents=True)
            for number in range(5):
                PIL.Image.fromarray(numpy.full((10, 10, 3), number, numpy.uint8)).save(root / name / f"{number}.jpg")
    loaded = data.load("intel", tmp_path, unverified=True)
    assert loaded.x_train.shape == (30 if nested else 24, 48, 48, 3) and loaded.x_test.shape[0] == (30 if nested else 6)
    assert loaded.group_train is None
