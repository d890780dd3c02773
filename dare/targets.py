"""Targets: the result of mining, and what tuning regresses towards."""

import dataclasses
import pathlib
from typing import Any

import numpy

from data import files

KIND = "mined targets"


@dataclasses.dataclass(frozen=True)
class Targets:
    """One row for each of the K selected samples.

    index: rows of the mined images (K,).
    epoch: the chosen epoch (K,).
    activation: at the regression layer under that epoch, float32 (K, ...): an array, or a data set on the disk.
    gain: p_t(y|x) - p_M(y|x) of the chosen epoch t over the final model M (K,).
    layer: the regression layer.
    model, data: SHA-256 of the final model and of the mined images.
    """

    index: numpy.ndarray
    epoch: numpy.ndarray
    activation: Any = dataclasses.field(repr=False)
    gain: numpy.ndarray | None = None
    layer: str | None = None
    model: str = ""
    data: str = ""

    @classmethod
    def load(cls, path: str | pathlib.Path) -> "Targets":
        """Read saved targets; the activations stay on the disk.

        Raises FileNotFoundError, and ValueError where the file is damaged.
        """
        names = ("index", "epoch", "gain")
        facts = ("layer", "model", "data")
        arrays, attributes = files.load_artefact(path, KIND, names, facts, stored=["activation"])
        if len({array.shape[:1] for array in arrays.values()}) > 1:
            raise ValueError(f"{path}: activations and indices do not match: delete it and make it again")
        return cls(**arrays, **{name: attributes[name] for name in facts})

    def subset(self, rows: numpy.ndarray) -> "Targets":
        """The targets of some rows (ascending positions). Activations on the disk stay there."""
        rows = numpy.asarray(rows)
        return dataclasses.replace(
            self,
            index=self.index[rows],
            epoch=self.epoch[rows],
            gain=None if self.gain is None else self.gain[rows],
            activation=Rows(self.activation, rows),
        )


class Rows:
    """Some rows of an array or HDF5 data set, read when they are indexed."""

    def __init__(self, array, rows):
        self.array, self.rows = array, rows
        self.shape, self.dtype = (len(rows), *array.shape[1:]), array.dtype

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, rows):
        return self.array[self.rows[rows]]
