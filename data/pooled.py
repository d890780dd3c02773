"""Data of guided retraining: training and test images joined, made grey, and divided again into three parts.

Durán et al., PeerJ CS 9:e1454 (2023), data section [P]. Here the division is seeded and stratified, and images of one
group (frames of one track) stay in one part, so that no model is tested on nearly the same images as it has seen [D].
"""

import dataclasses

import numpy

from data import stratify
from data.dataset import Dataset
from data.split import Split

SHARES = {  # validation and test part of all images: the published counts
    "gtsrb": (3919 / 39208, 3923 / 39208),
    "intel": (2804 / 17028, 3000 / 17028),
    "cifar10": (12000 / 60000, 6001 / 60000),
    "mnist": (14000 / 70000, 7001 / 70000),
    "fashion_mnist": (14000 / 70000, 7001 / 70000),
    "digits": (0.2, 0.1),  # bundled, not in the study [D]
}
PARTS = 3
GREYS = {"standard": (0.299, 0.587, 0.114), "as-run": (0.114, 0.587, 0.299)}  # of red, green, blue: ITU-R BT.601


def grey(images: numpy.ndarray, weights: str = "standard") -> numpy.ndarray:
    """Greyscale images uint8 (N, H, W, 1) of images uint8 (N, H, W, C): the rounded weighted sum of the channels.

    Images of one channel are returned as they are.
    weights: of GREYS; "as-run" has red and blue exchanged, as in the study's package for CIFAR-10 [P].
    Raises ValueError for other weights.
    """
    if weights not in GREYS:
        raise ValueError(f"no grey {weights!r}, expected one of {', '.join(GREYS)}")
    if images.shape[-1] == 1:
        return images
    greyscale = numpy.empty((*images.shape[:3], 1), numpy.uint8)
    for start in range(0, len(images), 4096):
        block = images[start : start + 4096] @ numpy.float32(GREYS[weights])
        greyscale[start : start + 4096, ..., 0] = numpy.rint(block)
    return greyscale


def three_way(
    dataset: Dataset,
    seed: int,
    *,
    images: int | None = None,
    test_images: int | None = None,
    shares: tuple[float, float] | None = None,
    weights: str = "standard",
) -> Split:
    """A Dataset's images joined, made grey, and divided into a training, a validation and a test part.

    seed: of the division.
    images: approximate number of images to use, the same fraction of every class, and at least three groups of every
        class where there are groups (None, or more than there are: all).
    test_images: enlarge the test part to so many by images that `images` leaves out, class by class as stratify does.
    shares: fractions (validation, test) of all images (None: the published ones of the data set).
    weights: of `grey`.
    The indices of the Split are rows of the joined images. Raises ValueError for a data set without published shares,
    for fewer `test_images` than the test part has, more than are left, or any where there are groups.
    """
    if shares is None and dataset.name not in SHARES:
        raise ValueError(f"no published shares of {dataset.name}, expected one of {', '.join(SHARES)}: give shares")
    validation, test = shares or SHARES[dataset.name]
    y = numpy.concatenate([dataset.y_train, dataset.y_test])
    groups = None
    if dataset.group_train is not None:
        groups = numpy.concatenate([dataset.group_train, dataset.group_test])
    rows = numpy.arange(len(y))
    others = rows[:0]
    if images is not None and images < len(y):
        rows, others = stratify.divide(y, (images, len(y)), seed, groups, least=1 if groups is None else PARTS)
    test_rows, remaining_rows = _part(rows, test, y, groups, seed)
    validation_rows, train_rows = _part(remaining_rows, validation / (1 - test), y, groups, seed + 1)
    if test_images is not None:
        test_rows = _enlarged(test_rows, test_images, others, y, groups, seed + 2)
    x = grey(numpy.concatenate([dataset.x_train, dataset.x_test]), weights)
    joined = dataclasses.replace(
        dataset,
        x_train=x[train_rows],
        y_train=y[train_rows],
        x_test=x[test_rows],
        y_test=y[test_rows],
        group_train=None,
        group_test=None,
        files_train=None,
        files_test=None,
    )
    return Split(
        x_train=joined.x_train,
        y_train=joined.y_train,
        x_validation=x[validation_rows],
        y_validation=y[validation_rows],
        x_test=joined.x_test,
        y_test=joined.y_test,
        train_indices=train_rows,
        validation_indices=validation_rows,
        classes=dataset.classes,
        seed=int(seed),
        fingerprint=joined.fingerprint,
        verified=dataset.verified,
        name=dataset.name,
    )


def _enlarged(test_rows, count, others, y, groups, seed):
    """The rows of the test part and of as many others, by class, as make `count`."""
    more = count - len(test_rows)
    if groups is not None:
        raise ValueError("test_images of a data set with groups of images: expected None, the published share")
    if not 0 <= more < max(1, len(others)):
        most = max(len(test_rows), len(test_rows) + len(others) - 1)
        raise ValueError(f"{count} test images, expected {len(test_rows)} to {most}: `images` leaves {len(others)} out")
    added, _ = stratify.divide(y[others], (more, len(others)), seed) if more else ([], None)
    return numpy.sort(numpy.concatenate([test_rows, others[added]]).astype(int))


def _part(rows, share, y, groups, seed):
    """(about the fraction `share` of the rows, the other rows)."""
    count = len(rows)
    first, second = stratify.divide(
        y[rows], (round(share * count), count), seed, None if groups is None else groups[rows]
    )
    return rows[first], rows[second]
