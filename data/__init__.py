"""Image data: a catalogue, verified readers of the original files, seeded splits, statistics.

    dataset = data.load("fashion_mnist")                    # uint8 images, int64 labels
    split = data.half_split(dataset, seed=0)                # x_train, x_validation, x_test (or holdout_split)
    pixels = data.statistics(split.x_train)                 # for the model's preprocessing layer
    batch = data.to_unit(split.x_train[:128])               # float32 in [0, 1]

A new data set is a reader file and one entry of DATASETS (catalogue.py).
"""

import difflib
import pathlib
from collections.abc import Callable

from data import folder
from data.catalogue import DATASETS, Entry
from data.dataset import Dataset, check_classes
from data.pixels import Statistics, statistics, to_unit
from data.pooled import three_way
from data.sources import locate, locate_folder
from data.split import Split, half_split, holdout_split, load_split, reduced, without_class

__all__ = [
    "DATASETS",
    "Dataset",
    "Entry",
    "Split",
    "Statistics",
    "half_split",
    "holdout_split",
    "load",
    "load_split",
    "reduced",
    "statistics",
    "three_way",
    "to_unit",
    "without_class",
]


def _find(name):
    """The entry of the catalogue. Raises ValueError, with the valid names and the nearest, for an unknown name."""
    if name in DATASETS:
        return DATASETS[name]
    near = difflib.get_close_matches(str(name).lower().replace("-", "_"), DATASETS, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    raise ValueError(f"no data set {name!r}, expected one of {', '.join(DATASETS)} or folder:<path>{hint}")


def _dataset(entry, parts, verified, name):
    """The Dataset of a reader's result: four arrays and, from some readers, a dictionary of further fields."""
    arrays, further = parts[:4], dict(*parts[4:])
    return Dataset(*arrays, entry.classes, verified, name, **further)


def load(
    name: str,
    data_dir: str | pathlib.Path | None = None,
    *,
    unverified: bool = False,
    progress: Callable | None = None,
) -> Dataset:
    """A data set with uint8 images (N, H, W, C) and int64 labels.

    name: of DATASETS, or a folder of images as ``folder:<path>`` or ``folder:<path>@<height>x<width>``. The classes of
        a folder are its directories, its name is that of data.folder.label, and it is never verified, since it has no
        published digest.
    data_dir: folder of the files (None: ``$DARE_DATA``, else Keras's cache, else a download into that cache).
    unverified: admit files without the published digest; `Dataset.verified` is then False.
    progress: called as progress(path, done, total) during a download.
    Raises ValueError for an unknown name, a wrong or damaged file, or a class without images, and FileNotFoundError
    for files that are missing and cannot be downloaded.
    """
    if str(name).startswith("folder:"):
        text = str(name).removeprefix("folder:")
        path, size = folder.parse(text)
        (*arrays, further), classes = folder.read(path, size=size)
        return Dataset(*arrays, classes, verified=False, name=folder.label(text), **further)
    entry = _find(name)
    if entry.folders:
        path = locate_folder(name, entry, data_dir, unverified=unverified)
        return _dataset(entry, entry.read(path), False, name)
    if entry.sources is None:
        paths, verified = {}, True
    else:
        paths, verified = locate(entry.sources, data_dir, unverified=unverified, progress=progress)
    dataset = _dataset(entry, entry.read(paths), verified, name)
    check_classes(dataset.y_train, entry.classes, f"{name}, training part")
    check_classes(dataset.y_test, entry.classes, f"{name}, test part")
    return dataset
