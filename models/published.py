"""A net of a release (data/release.py), by name."""

from __future__ import annotations

import difflib
import os
import pathlib
import tempfile

import keras

from data import release
from models.load import load

VARIABLE = "DARE_RELEASE"
DEFAULT = "release.zip"


def load_published(name: str, where: pathlib.Path | str | None = None) -> keras.Model:
    """Load a net of a release: a model of images in [0, 1] that returns logits.

    name: "<data set>-<model>-<method>", as "cifar10-vgg16@0.25-dare"; of a seed other than 0 with "-seed<k>" behind.
    where: path or address of the release (None: $DARE_RELEASE, else release.zip in the working directory).
    Raises FileNotFoundError without the release; ValueError for an unknown name, with the nearest ones, and a file that
    is damaged.
    """
    where = os.environ.get(VARIABLE) or DEFAULT if where is None else where
    with release.reading(where) as opened, tempfile.TemporaryDirectory() as scratch:
        nets = opened.facts.get("nets")
        nets = nets if isinstance(nets, dict) else {}
        if name not in nets:
            nearest = difflib.get_close_matches(name, nets, 3, cutoff=0.3)
            hint = f"the nearest of its {len(nets)}: {', '.join(nearest)}" if nearest else f"it has {len(nets)} others"
            raise ValueError(f"{opened.path}: has no net {name!r:.80}; {hint}")
        return load(opened.extract(str(nets[name]), pathlib.Path(scratch)))
