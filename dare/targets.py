"""What mining hands to tuning: which samples, which epoch of each, and its activation there."""

import dataclasses
from typing import Any

import numpy

from data import files

KIND = "mined targets"


@dataclasses.dataclass(frozen=True)
class Targets:
    """What the regression model is tuned towards, one row a selected sample.

    index (K,) rows of the mined images; epoch (K,) the chosen epoch of each; activation (K, ...) float32 at the
    regression layer under that epoch, an array or one that stays on the disk. gain (K,) p_t(y|x) - p_M(y|x). layer: the
    regression layer; model, data: SHA-256 of the final model and of the mined images.
    """

    index: numpy.ndarray
    epoch: numpy.ndarray
    activation: Any = dataclasses.field(repr=False)
    gain: numpy.ndarray | None = None
    layer: str | None = None
    model: str = ""
    data: str = ""

    @classmethod
    def load(cls, path):
        """Read saved targets; activations stay on disk. Raises FileNotFoundError, or ValueError if damaged."""
        names = ("index", "epoch", "gain")
        facts = ("layer", "model", "data")
        arrays, attributes = files.load_artefact(path, KIND, names, facts, stored=["activation"])
        if len({array.shape[:1] for array in arrays.values()}) > 1:
            raise ValueError(f"{path}: activations and indices do not match: delete it and make it again")
        return cls(**arrays, **{name: attributes[name] for name in facts})
