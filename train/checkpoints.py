"""A user's own folder of checkpoints, one file an epoch: read like a history whose epochs recorded nothing.

Files are weights (``.weights.h5``, or ``.h5`` as Keras 2 wrote them) or whole models (``.keras``, ``.h5``), which are
read by models.load: flat, and without their softmax. The epoch is the number in the name: the one that follows
"epoch", or the only whole number that differs between the names, so that ``cifar10-7-0.93.keras`` is epoch 7. Numbers
that start from 0 count from 1 here, like every epoch.
"""

import itertools
import math
import pathlib
import re

import models
from data import hdf5
from models import flat
from train import history

ENDINGS = (".weights.h5", ".keras", ".h5")
OTHER_PARTS = (".record.h5", ".optimizer.h5")
MEND = "name them so that one whole number counts the epochs, as in epoch-0001.weights.h5"


def opened(path):
    """The History in a folder, or the Checkpoints where nothing was recorded beside them. Errors as Checkpoints."""
    found = history.History(path)
    return found if found.epochs else Checkpoints(path)


class Checkpoints:
    """The folder `path`, with what mining asks of a History: `path`, `epochs`, `stored`, `last`, `load_weights`.

    scale: the largest pixel that whole models were trained on, as models.load takes it.
    Raises FileNotFoundError for a folder without checkpoints, and ValueError where the names do not tell one epoch
    each, or an epoch is missing between the others.
    """

    def __init__(self, path, scale=None):
        self.path, self.scale = pathlib.Path(path), scale
        self.files = _by_epoch(self.path)
        self.epochs = self.stored = sorted(self.files)
        self.last = self.epochs[-1]

    def load_weights(self, model, epoch):
        """Load one epoch's weights into `model`. Raises ValueError if absent, cut, or of another architecture."""
        if epoch not in self.files:
            raise ValueError(f"{self.path}: no checkpoint of epoch {epoch}; found {self.epochs[0]} to {self.last}")
        path = self.files[epoch]
        if not is_whole_model(path):
            history.load_weights(model, path)
            return
        values = models.load(path, self.scale).get_weights()
        found, expected = [value.shape for value in values], [tuple(variable.shape) for variable in model.weights]
        if found != expected:
            differing = [pair for pair in zip(found, expected, strict=False) if pair[0] != pair[1]]
            what = f"its weights are {len(found)} arrays, not {len(expected)}"
            if differing:
                what = "an array is {}, not {}".format(*differing[0])
            raise ValueError(f"{path}: cannot be loaded into {model.name} ({what}): another architecture")
        flat.set_weights(model, values)
        history.check_finite(model, path)

    def final_model(self, build=None):
        """The final epoch's model, ending in logits.

        build: makes the architecture of weights that have none: called only where there is neither a whole model nor
        an architecture.json (as a History keeps it) beside the weights. Raises ValueError where nobody makes it.
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


def is_whole_model(path):
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
    found = {}
    for path in sorted(folder.iterdir() if folder.is_dir() else ()):
        ending = next((ending for ending in ENDINGS if path.name.endswith(ending)), None)
        if ending and not path.name.startswith(".") and not path.name.endswith(OTHER_PARTS) and path.is_file():
            found.setdefault(ending, []).append(path)
    if not found:
        raise FileNotFoundError(f"{folder}: no checkpoints; expected files ending in {', '.join(ENDINGS)}")
    if len(found) > 1:
        kinds = " and ".join(f"{len(paths)} {ending}" for ending, paths in found.items())
        raise ValueError(f"{folder}: holds {kinds} files; expected one kind: move the others elsewhere")
    (ending, paths), *_ = found.items()
    numbers = _numbers(folder, [path.name.removesuffix(ending) for path in paths])
    first = min(numbers)
    by_epoch = {}
    for number, path in zip(numbers, paths, strict=True):
        other = by_epoch.setdefault(number + (first == 0), path)
        if other != path:
            raise ValueError(f"{folder}: {other.name} and {path.name} are both epoch {number}: keep one of them")
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
    said = [re.findall(r"epoch[^0-9a-z]*(\d+)(?!\d*\.\d)", stem, re.IGNORECASE) for stem in stems]
    if all(len(found) == 1 for found in said):
        return [int(found[0]) for found in said]
    columns = [re.findall(r"\d+(?:\.\d+)?", stem) for stem in stems]
    lacking = next((stem for stem, found in zip(stems, columns, strict=True) if not found), None)
    if lacking is not None:
        raise ValueError(f"{folder}: no number in the name {lacking!r}: {MEND}")
    counting = []
    if len({len(found) for found in columns}) == 1:
        for column in zip(*columns, strict=True):
            if all("." not in number for number in column) and (len({*column}) > 1 or len(stems) == 1):
                counting.append([int(number) for number in column])
    if len(counting) != 1:
        raise ValueError(
            f"{folder}: cannot tell the epoch from names like {stems[0]!r} and {stems[-1]!r} (whole numbers that "
            f"differ: {len(counting)}, expected 1): {MEND}"
        )
    return counting[0]
