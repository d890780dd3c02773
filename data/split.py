"""Splits of the training set: DARE's halves, and the held-out part of robust training.

Source of the halves: DARE, TOSEM 33(3) 2024, data section: the original training set is halved at random [P]. All
splits are seeded and stratified, and their indices are saved so that later stages use the same parts [D].
"""

import dataclasses
import pathlib
from collections.abc import Iterator

import numpy

from data import files, stratify
from data.dataset import Dataset

KIND = "data split"


@dataclasses.dataclass(frozen=True, eq=False)
class Split:
    """x_train trains the model, x_validation is for mining and tuning, x_test for the final evaluation only.

    x_*, y_*: images uint8 (N, H, W, C) and labels int64 (N,).
    train_indices, validation_indices: sorted rows of the training part of the data set.
    fingerprint: SHA-256 of the data set.
    files_train, files_validation, files_test: text (N,), the file of each image; or None.
    """

    x_train: numpy.ndarray = dataclasses.field(repr=False)
    y_train: numpy.ndarray = dataclasses.field(repr=False)
    x_validation: numpy.ndarray = dataclasses.field(repr=False)
    y_validation: numpy.ndarray = dataclasses.field(repr=False)
    x_test: numpy.ndarray = dataclasses.field(repr=False)
    y_test: numpy.ndarray = dataclasses.field(repr=False)
    train_indices: numpy.ndarray = dataclasses.field(repr=False)
    validation_indices: numpy.ndarray = dataclasses.field(repr=False)
    classes: tuple
    seed: int
    fingerprint: str
    verified: bool = False
    name: str = ""
    files_train: numpy.ndarray | None = dataclasses.field(default=None, repr=False)
    files_validation: numpy.ndarray | None = dataclasses.field(default=None, repr=False)
    files_test: numpy.ndarray | None = dataclasses.field(default=None, repr=False)

    def listing(self) -> Iterator[tuple]:
        """Yield (part, file or "", label, name of the class) of every image in the parts train, validation, test."""
        for part in ("train", "validation", "test"):
            labels, names = getattr(self, f"y_{part}"), getattr(self, f"files_{part}")
            for place, label in enumerate(labels):
                yield part, "" if names is None else str(names[place]), int(label), self.classes[label]

    def save(self, path: str | pathlib.Path) -> None:
        """Write the indices, the seed and the fingerprint of the data to `path` (HDF5); not the images."""
        files.save_artefact(
            path,
            KIND,
            {"train_indices": self.train_indices, "validation_indices": self.validation_indices},
            {"seed": self.seed, "data": self.fingerprint, "name": self.name, "verified": self.verified},
        )


def _take(dataset, train, validation, seed):
    """The Split of these rows of a data set."""
    return Split(
        x_train=dataset.x_train[train],
        y_train=dataset.y_train[train],
        x_validation=dataset.x_train[validation],
        y_validation=dataset.y_train[validation],
        x_test=dataset.x_test,
        y_test=dataset.y_test,
        train_indices=train,
        validation_indices=validation,
        classes=dataset.classes,
        seed=seed,
        fingerprint=dataset.fingerprint,
        verified=dataset.verified,
        name=dataset.name,
        files_train=_rows(dataset.files_train, train),
        files_validation=_rows(dataset.files_train, validation),
        files_test=dataset.files_test,
    )


def _rows(array, rows):
    """Rows of an array, or None where the data set has no such array."""
    return None if array is None else array[rows]


def half_split(dataset: Dataset, seed: int) -> Split:
    """Halve every class of the training part at random; the same halves for the same `seed` (integer >= 0).

    The halves differ by at most one image a class and, as long as no class is tiny, in total; but images of one group
    stay together. Raises ValueError for a class of fewer than two images.
    """
    train, validation = stratify.divide(dataset.y_train, (1, 2), seed, dataset.group_train)
    return _take(dataset, train, validation, int(seed))


def holdout_split(dataset: Dataset, seed: int, *, validation: int) -> Split:
    """Hold out about `validation` images of the training part, the same fraction of every class; train on the rest.

    seed: of the choice of images.
    Raises ValueError for a class of fewer than two images, and where nothing would be left to train on.
    """
    count = len(dataset.y_train)
    if not 0 < validation < count:
        raise ValueError(f"validation={validation} of {count} training images: expected at least 1, and some left")
    held_out, train = stratify.divide(dataset.y_train, (validation, count), seed, dataset.group_train)
    return _take(dataset, train, held_out, int(seed))


def reduced(dataset: Dataset, images: int, seed: int) -> Dataset:
    """The same data set with about `images` of its training images, the same fraction of every class.

    seed: of the choice of images.
    Its fingerprint differs from that of the whole set, so results are not confused. Raises ValueError as holdout_split.
    """
    count = len(dataset.y_train)
    if images == count:
        return dataset
    if not 0 < images < count:
        raise ValueError(f"{images} of {count} training images: expected at least 1, and no more than there are")
    groups = dataset.group_train
    rows, _ = stratify.divide(dataset.y_train, (images, count), seed, groups, least=1 if groups is None else 2)
    parts = {name: _rows(getattr(dataset, name), rows) for name in ("x_train", "y_train", "group_train", "files_train")}
    return dataclasses.replace(dataset, **parts)


def without_class(dataset: Dataset, label: int) -> Dataset:
    """The same data set without one class: higher labels are one less, and the fingerprint differs.

    Raises ValueError for a label that it does not have, and where fewer than two classes would be left.
    """
    if not 0 <= label < len(dataset.classes) or len(dataset.classes) < 3:
        raise ValueError(f"class {label} of {len(dataset.classes)} taken out, expected one of at least three")
    parts = {}
    for part in ("train", "test"):
        x, y = getattr(dataset, f"x_{part}"), getattr(dataset, f"y_{part}")
        retained = y != label
        parts |= {f"x_{part}": x[retained], f"y_{part}": y[retained] - (y[retained] > label)}
        parts |= {f"{of}_{part}": _rows(getattr(dataset, f"{of}_{part}"), retained) for of in ("group", "files")}
    classes = tuple(name for place, name in enumerate(dataset.classes) if place != label)
    return dataclasses.replace(dataset, **parts, classes=classes)


def load_split(path: str | pathlib.Path, dataset: Dataset) -> Split:
    """A saved split, with the images of `dataset`.

    Raises FileNotFoundError if there is no such file, and ValueError if it is damaged, is not a split, or was made
    from other images or labels than those of `dataset`.
    """
    arrays, attributes = files.load_artefact(path, KIND, ["train_indices", "validation_indices"], ["seed", "data"])
    if attributes.get("data") != dataset.fingerprint:
        raise ValueError(
            f"{path}: made from data {str(attributes.get('data'))[:12]} ({attributes.get('name')}), but "
            f"this is {dataset.fingerprint[:12]} ({dataset.name}): load the same data set or "
            "make the split again"
        )
    train, validation = arrays["train_indices"], arrays["validation_indices"]
    rows = numpy.sort(numpy.concatenate([train, validation]))
    if not numpy.array_equal(rows, numpy.arange(len(dataset.y_train))):
        raise ValueError(f"{path}: its indices do not divide the training set: delete it and make it again")
    return _take(dataset, train, validation, attributes["seed"])
