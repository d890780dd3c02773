"""Guided retraining's data: training and test images joined, made grey, and divided into three anew.

Durán et al., PeerJ CS 9:e1454 (2023), data section [P]; seeded and stratified here, and images of one group (frames of
one track) stay together, since nearly equal images in two parts would let a model be tested on what it has seen [D].
"""

import dataclasses

import numpy

from data import stratify
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


def grey(images, weights="standard"):
    """Images uint8 (N, H, W, C) as (N, H, W, 1), rounded: weighted channels of colour, others as they are.

    weights: of GREYS; "as-run" has red and blue exchanged, as the study's package had them for CIFAR-10 [P].
    Raises ValueError for other weights.
    """
    if weights not in GREYS:
        raise ValueError(f"no grey {weights!r}, expected one of {', '.join(GREYS)}")
    if images.shape[-1] == 1:
        return images
    made = numpy.empty((*images.shape[:3], 1), numpy.uint8)
    for start in range(0, len(images), 4096):
        block = images[start : start + 4096] @ numpy.float32(GREYS[weights])
        made[start : start + 4096, ..., 0] = numpy.rint(block)
    return made


def three_way(dataset, seed, *, images=None, shares=None, weights="standard"):
    """A Dataset's images joined, grey, divided into training, validation and test part: data.Split.

    images: take about so many of them, the same share of every class (None, or more than there are: all; where there
    are groups, at least three of every class, however many images they hold);
    shares: (validation, test) of all images (None: the published ones of the data set); weights: of `grey`. Indices are
    rows of the joined images. Raises ValueError for a data set without published shares.
    """
    if shares is None and dataset.name not in SHARES:
        raise ValueError(f"no published shares of {dataset.name}, expected one of {', '.join(SHARES)}: give shares")
    validation, test = shares or SHARES[dataset.name]
    y = numpy.concatenate([dataset.y_train, dataset.y_test])
    groups = None
    if dataset.group_train is not None:
        groups = numpy.concatenate([dataset.group_train, dataset.group_test])
    rows = numpy.arange(len(y))
    if images is not None and images < len(y):
        rows, _ = stratify.divide(y, (images, len(y)), seed, groups, least=1 if groups is None else PARTS)
    tested, rest = _part(rows, test, y, groups, seed)
    held_out, trained = _part(rest, validation / (1 - test), y, groups, seed + 1)
    x = grey(numpy.concatenate([dataset.x_train, dataset.x_test]), weights)
    joined = dataclasses.replace(
        dataset,
        x_train=x[trained],
        y_train=y[trained],
        x_test=x[tested],
        y_test=y[tested],
        group_train=None,
        group_test=None,
        files_train=None,
        files_test=None,
    )
    return Split(
        x_train=joined.x_train,
        y_train=joined.y_train,
        x_validation=x[held_out],
        y_validation=y[held_out],
        x_test=joined.x_test,
        y_test=joined.y_test,
        train_indices=trained,
        validation_indices=held_out,
        classes=dataset.classes,
        seed=int(seed),
        fingerprint=joined.fingerprint,
        verified=dataset.verified,
        name=dataset.name,
    )


def _part(rows, share, y, groups, seed):
    """(about a share of the rows, the others)."""
    count = len(rows)
    first, second = stratify.divide(
        y[rows], (round(share * count), count), seed, None if groups is None else groups[rows]
    )
    return rows[first], rows[second]
