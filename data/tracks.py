"""GTSRB and Intel's scenes: images in one directory a class, in folders without published digests.

GTSRB (Stallkamp, Schlipsing, Salmen, Igel, Neural Networks 2012): the official training images, 43 directories 00000
to 00042 of <track>_<frame>.ppm; frames of one track are nearly the same image. Intel image classification: six
directories, in seg_train/ and seg_test/ or pooled. Both are resized to 48x48, as in guided retraining [P].
"""

import pathlib
from collections.abc import Sequence

import numpy

from data import folder, stratify

SIZE = (48, 48)
SEED = 0
SIGNS = tuple(f"{number:05d}" for number in range(43))
SCENES = ("buildings", "forest", "glacier", "mountain", "sea", "street")


def gtsrb(path: pathlib.Path) -> tuple:
    """``(x_train, y_train, x_test, y_test, further)`` with images (N, 48, 48, 3).

    further: group_train and group_test of Dataset, the tracks. A tenth of the tracks of each class becomes the test
    part [D].
    """
    images, labels, files = folder.read_part(path, SIGNS, SIZE)
    names = [f"{file.parent.name}/{file.stem.rpartition('_')[0]}" for file in files]
    _, groups = numpy.unique(names, return_inverse=True)
    test, train = stratify.divide(labels, (1, 10), SEED, groups)
    x = folder.stack(images, 3)
    further = {"group_train": groups[train], "group_test": groups[test]}
    return x[train], labels[train], x[test], labels[test], further


def intel(path: pathlib.Path) -> tuple:
    """``(x_train, y_train, x_test, y_test)`` with images (N, 48, 48, 3); a fixed fifth of pooled images is the test
    part."""
    nested = [path / name / name for name in ("seg_train", "seg_test")]
    if all(part.is_dir() for part in nested):
        parts = []
        for part in nested:
            images, labels, _ = folder.read_part(part, SCENES, SIZE)
            parts += [folder.stack(images, 3), labels]
        return tuple(parts)
    images, labels, _ = folder.read_part(path, SCENES, SIZE)
    train, test = stratify.stratify(labels, (4, 5), SEED)
    x = folder.stack(images, 3)
    return x[train], labels[train], x[test], labels[test]


def find(root: pathlib.Path, folders: Sequence[str], classes: Sequence[str]) -> pathlib.Path | None:
    """The first of root/<folder> for `folders`, then `root`, that has a directory for every class; else None."""
    for path in (*(root / name for name in folders), root):
        for place in (path, path / "seg_train" / "seg_train"):
            if place.is_dir() and all((place / name).is_dir() for name in classes):
                return path
    return None
