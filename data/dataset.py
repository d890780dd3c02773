"""A labelled image set in memory, and the checks of every reader's output."""

import dataclasses
import functools
import pathlib

import numpy

from data import files


@dataclasses.dataclass(frozen=True, eq=False)
class Dataset:
    """Training and test images with their labels.

    x_train, x_test: uint8 (N, H, W, C).
    y_train, y_test: int64 (N,).
    classes: names of labels 0, 1, ...
    verified: True where every file had its published digest, or came with a package. Results of an unverified set must
        say so.
    name: for folders and table rows.
    group_train, group_test: integers (N,), equal for images that are nearly the same, such as frames of one track; or
        None.
    files_train, files_test: text (N,), the file name of each image when it was collected; or None.
    """

    x_train: numpy.ndarray = dataclasses.field(repr=False)
    y_train: numpy.ndarray = dataclasses.field(repr=False)
    x_test: numpy.ndarray = dataclasses.field(repr=False)
    y_test: numpy.ndarray = dataclasses.field(repr=False)
    classes: tuple
    verified: bool = False
    name: str = ""
    group_train: numpy.ndarray | None = dataclasses.field(default=None, repr=False)
    group_test: numpy.ndarray | None = dataclasses.field(default=None, repr=False)
    files_train: numpy.ndarray | None = dataclasses.field(default=None, repr=False)
    files_test: numpy.ndarray | None = dataclasses.field(default=None, repr=False)

    @functools.cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the four arrays (data.files.fingerprint)."""
        return files.fingerprint(self.x_train, self.y_train, self.x_test, self.y_test)


def check(
    images: numpy.ndarray, labels: numpy.ndarray, *, shape: tuple, classes: int, where: str | pathlib.Path
) -> tuple[numpy.ndarray, numpy.ndarray]:
    """``(images, labels)`` as contiguous uint8 (N, H, W, C) and int64 (N,).

    shape: the expected (H, W, C); classes: number of classes; where: the file or folder, for the message.
    Raises ValueError for images or labels of another kind.
    """
    if images.dtype != numpy.uint8 or images.shape[1:] != tuple(shape):
        raise ValueError(
            f"{where}: holds {images.dtype} images of shape {images.shape[1:]}, expected uint8 "
            f"{tuple(shape)}: is this the right file?"
        )
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise ValueError(f"{where}: holds {labels.dtype} labels of shape {labels.shape}, expected one integer an image")
    if len(images) != len(labels):
        raise ValueError(
            f"{where}: {len(images)} images but {len(labels)} labels: one of the two is cut, fetch them again"
        )
    if len(images) == 0:
        raise ValueError(f"{where}: holds no image")
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= classes:
        raise ValueError(
            f"{where}: labels range from {low} to {high}, expected 0 to {classes - 1}: is this the right file?"
        )
    return numpy.ascontiguousarray(images), labels.astype(numpy.int64)


def check_classes(labels: numpy.ndarray, classes: tuple, where: str) -> None:
    """Raise ValueError if one of `classes` (names) has no image, by the labels (N,). where: for the message."""
    counts = numpy.bincount(labels, minlength=len(classes))
    empty = [str(classes[label]) for label in numpy.flatnonzero(counts == 0)]
    if empty:
        raise ValueError(f"{where}: no image of class {', '.join(empty)}: every class needs at least one")
