"""A user's own folder of checkpoints, a file for each epoch, used like a History without records.

Files are weights (``.weights.h5``, or ``.h5`` of Keras 2) or whole models (``.keras``, ``.h5``), which models.load
reads as flat models without softmax. The epoch is the number in the file name: the number after "epoch", or the only
whole number that differs between the names (``cifar10-7-0.93.keras`` is epoch 7). Numbers that start from 0 are
increased by 1, since epochs count from 1.
"""

from __future__ import annotations

import itertools
import math
import pathlib
import re
from collections.abc import Callable

import keras

import models
from data import hdf5
from models import flat
from train import history

ENDINGS = (".weights.h5", ".keras", ".h5")
OTHER_PARTS = (".record.h5", ".optimizer.h5", ".state.h5")
MEND = "name them so that one whole number counts the epochs, as in epoch-0001.weights.h5"


def opened(path: pathlib.Path | str) -> history.History | Checkpoints:
    """The History in a folder, or Checkpoints if it has no records. Errors as Checkpoints."""
    recorded = history.History(path)
    return recorded if recorded.epochs else Checkpoints(path)


class Checkpoints:
    """A folder of checkpoints with the part of History that mining uses: path, epochs, stored, last, load_weights.

    path: the folder.
    scale: as models.load, for whole models.
    Raises FileNotFoundError for a folder without checkpoints, and ValueError if a name has no unique epoch or an epoch
    between the others is missing.
    """

    def __init__(self, path: pathlib.Path | str, scale: float | None = None) -> None:
        self.path, self.scale = pathlib.Path(path), scale
        self.files = _by_epoch(self.path)
        self.epochs = self.stored = sorted(self.files)
        self.last = self.epochs[-1]

    def load_weights(self, model: keras.Model, epoch: int) -> None:
        """Load one epoch's weights into `model`. Raises ValueError if absent, cut, or of another architecture."""
        if epoch not in self.files:
            raise ValueError(f"{self.path}: no checkpoint of epoch {epoch}; found {self.epochs[0]} to {self.last}")
        path = self.files[epoch]
        if not is_whole_model(path):
            history.load_weights(model, path)
            return
        values = models.load(path, self.scale).get_weights()
        shapes, expected = [value.shape for value in values], [tuple(variable.shape) for variable in model.weights]
        if shapes != expected:
            differing = [pair for pair in zip(shapes, expected, strict=False) if pair[0] != pair[1]]
            what = f"its weights are {len(shapes)} arrays, not {len(expected)}"
            if differing:
                what = "an array is {}, not {}".format(*differing[0])
            raise ValueError(f"{path}: cannot be loaded into {model.name} ({what}): another architecture")
        flat.set_weights(model, values)
        history.check_finite(model, path)

    def final_model(self, build: Callable | None = None) -> keras.Model:
        """The model of the final epoch, ending in logits.

        build: ``build()`` -> model of that architecture; only called if the checkpoint holds just weights, without an
            architecture.json (of a History) beside it.
        Raises ValueError if it is needed and None.
        """
        path = self.files[self.last]
        if is_whole_model(path):
            return models.load(path, self.scale)
        if (self.path / "architecture.json").is_file():
            model = history.History(self.path).architecture()
        elif build is not None:
            model = build()
        else:
            raise ValueError(f"{path}: holds weights without an architecture: name the model that they belong to")
        self.load_weights(model, self.last)
        return model


def is_whole_model(path: pathlib.Path) -> bool:
    """Whether a checkpoint holds a whole model, not weights alone."""
    if path.name.endswith((".weights.h5", ".keras")):
        return path.name.endswith(".keras")
    try:
        with hdf5.read(path) as file:
            return "model_config" in file.attrs
    except OSError as error:
        mend = f"{path}: not a whole HDF5 file ({error}): save that epoch again"
        raise hdf5.environment(error, path) or ValueError(mend) from error


def _by_epoch(folder):
    """Epoch -> path of every checkpoint in the folder."""
    by_ending = {}
    for path in sorted(folder.iterdir() if folder.is_dir() else ()):
        ending = next((ending for ending in ENDINGS if path.name.endswith(ending)), None)
        if ending and not path.name.startswith(".") and not path.name.endswith(OTHER_PARTS) and path.is_file():
            by_ending.setdefault(ending, []).append(path)
    if not by_ending:
        raise FileNotFoundError(f"{folder}: no checkpoints; expected files ending in {', '.join(ENDINGS)}")
    if len(by_ending) > 1:
        kinds = " and ".join(f"{len(paths)} {ending}" for ending, paths in by_ending.items())
        raise ValueError(f"{folder}: holds {kinds} files; expected one kind: move the others elsewhere")
    (ending, paths), *_ = by_ending.items()
    # Epochs count from 1; each has a single file, and none is missing between them.
    numbers = _numbers(folder, [path.name.removesuffix(ending) for path in paths])
    first = min(numbers)
    by_epoch = {}
    for number, path in zip(numbers, paths, strict=True):
        earlier = by_epoch.setdefault(number + (first == 0), path)
        if earlier != path:
            raise ValueError(f"{folder}: {earlier.name} and {path.name} are both epoch {number}: keep one of them")
    epochs = sorted(by_epoch)
    step = math.gcd(*(later - epoch for epoch, later in itertools.pairwise(epochs))) or 1
    missing = sorted({*range(epochs[0], epochs[-1], step)} - {*epochs})
    if missing:
        shown = ", ".join(map(str, missing[:8])) + (", ..." if len(missing) > 8 else "")
        raise ValueError(
            f"{folder}: no checkpoint of epoch {shown}, but of others between {epochs[0]} and {epochs[-1]}: "
            "put the lost ones back, or keep the epochs of one regular step"
        )
    return by_epoch


def _numbers(folder, stems):
    """The epoch in each name (without its ending)."""
    after_epoch = [re.findall(r"epoch[^0-9a-z]*(\d+)(?!\d*\.\d)", stem, re.IGNORECASE) for stem in stems]
    if all(len(numbers) == 1 for numbers in after_epoch):
        return [int(numbers[0]) for numbers in after_epoch]
    columns = [re.findall(r"\d+(?:\.\d+)?", stem) for stem in stems]
    lacking = next((stem for stem, numbers in zip(stems, columns, strict=True) if not numbers), None)
    if lacking is not None:
        raise ValueError(f"{folder}: no number in the name {lacking!r}: {MEND}")
    counting = []
    if len({len(numbers) for numbers in columns}) == 1:
        for column in zip(*columns, strict=True):
            if all("." not in number for number in column) and (len({*column}) > 1 or len(stems) == 1):
                counting.append([int(number) for number in column])
    if len(counting) != 1:
        raise ValueError(
            f"{folder}: cannot tell the epoch from names like {stems[0]!r} and {stems[-1]!r} (whole numbers that "
            f"differ: {len(counting)}, expected 1): {MEND}"
        )
    return counting[0]
