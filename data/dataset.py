"""A labelled image set in memory, and the checks that every reader's output passes."""

import dataclasses
import functools

import numpy

from data import files


@dataclasses.dataclass(frozen=True, eq=False)
class Dataset:
    """Training and test images with their labels.

    x_train (N, H, W, C) uint8, y_train (N,) int64, likewise x_test and y_test; `classes` names label 0,
    1, ... `verified` is True where every file had its published digest (or came inside a package); a
    result made from an unverified set has to say so. `name` is fit for a folder or a table row. `group_train`,
    `group_test`: integers (N,), alike for images that are nearly the same, such as frames of one track, or None;
    `files_train`, `files_test`: text (N,), the file that each image had when it was collected, or None.
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
    def fingerprint(self):
        """SHA-256 of the four arrays, as `data.files.fingerprint` gives it."""
        return files.fingerprint(self.x_train, self.y_train, self.x_test, self.y_test)


def check(images, labels, *, shape, classes, where):
    """Return ``(images, labels)`` as contiguous uint8 (N, H, W, C) and int64 (N,), or raise ValueError.

    `shape` is the expected (H, W, C), `classes` the number of classes, `where` the file or folder that the
    message names.
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


def check_classes(labels, classes, where):
    """Raise ValueError if one of the named `classes` has no label in `labels` (N,)."""
    counts = numpy.bincount(labels, minlength=len(classes))
    empty = [str(classes[label]) for label in numpy.flatnonzero(counts == 0)]
    if empty:
        raise ValueError(f"{where}: no image of class {', '.join(empty)}: every class needs at least one")
