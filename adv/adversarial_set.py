"""Fixed adversarial images of one attack on one model, in parts that are disjoint by source image.

The parts are those of DARE (ASE 2022 / TOSEM 2024), with sizes and roles made explicit here [D].

- train, from x_train: the adversarial-training baselines train on it.
- validation, from x_train: learning rates are chosen on it; nothing is reported on it.
- test, from x_train: only for scoring Empirical Robustness.
- heldout, from x_test: the same score on images that no model was trained on.
"""

import dataclasses
import pathlib

import numpy

import data
from data import files
from train.seeds import stream

KIND = "adversarial set"
PARTS = ("train", "validation", "test", "heldout")
PUBLISHED = {"train": 4000, "validation": 1000, "test": 5000, "heldout": 1000}  # published, but for heldout [D]


@dataclasses.dataclass(frozen=True)
class Part:
    """images: float32 (K, H, W, C) in [0, 1]; labels: int64 (K,), true classes; index: (K,), rows of the source."""

    images: numpy.ndarray = dataclasses.field(repr=False)
    labels: numpy.ndarray = dataclasses.field(repr=False)
    index: numpy.ndarray = dataclasses.field(repr=False)


@dataclasses.dataclass(frozen=True)
class AdversarialSet:
    """The adversarial images of one attack on one model.

    parts: name -> Part.
    drawn: name -> images attacked; those on which the attack failed are dropped from the part.
    attack: the catalogue name and the hyper-parameters.
    model, data: SHA-256 of the attacked model and of the data.
    """

    parts: dict
    drawn: dict
    attack: dict
    model: str
    data: str

    def save(self, path: pathlib.Path | str) -> None:
        """Write everything to `path` (HDF5)."""
        arrays = {
            f"{name}_{field}": getattr(part, field)
            for name, part in self.parts.items()
            for field in ("images", "labels", "index")
        }
        facts = {"attack": self.attack, "drawn": self.drawn, "model": self.model, "data": self.data}
        files.save_artefact(path, KIND, arrays, facts)


def load(path: pathlib.Path | str, *, model: str | None = None, data: str | None = None) -> AdversarialSet:
    """Read a saved set.

    model, data: expected digests (None: any).
    Raises FileNotFoundError, and ValueError if the file is damaged or belongs to another model or data.
    """
    names = [f"{part}_{field}" for part in PARTS for field in ("images", "labels", "index")]
    arrays, facts = files.load_artefact(path, KIND, names, ("attack", "drawn", "model", "data"))
    for what, expected in (("model", model), ("data", data)):
        if expected is not None and facts[what] != expected:
            raise ValueError(f"{path}: made for {what} {facts[what][:12]}, but this is {expected[:12]}: make it again")
    parts = {part: Part(*(arrays[f"{part}_{field}"] for field in ("images", "labels", "index"))) for part in PARTS}
    for name, part in parts.items():
        if part.images.ndim != 4 or not part.images.shape[:1] == part.labels.shape == part.index.shape:
            raise ValueError(
                f"{path}: part {name} has images of shape {part.images.shape}, labels {part.labels.shape} and indices "
                f"{part.index.shape}, expected one of each: make it again"
            )
        if not (numpy.isfinite(part.images).all() and (part.images >= 0).all() and (part.images <= 1).all()):
            raise ValueError(f"{path}: part {name} has pixels outside [0, 1], or NaN: make it again")
    return AdversarialSet(parts, facts["drawn"], facts["attack"], facts["model"], facts["data"])


def fitting(total: int, held_out: int) -> dict[str, int]:
    """Sizes of the parts, part -> number of images: PUBLISHED, or smaller if there are fewer images.

    total, held_out: images in x_train and x_test.
    Train and validation share one half of x_train; if it is too small they divide it in the published ratio.
    """
    middle, shared = total // 2, PUBLISHED["train"] + PUBLISHED["validation"]
    room = min(total - middle, shared)
    train = room * PUBLISHED["train"] // shared
    test, heldout = min(PUBLISHED["test"], middle), min(PUBLISHED["heldout"], held_out)
    return {"train": train, "validation": room - train, "test": test, "heldout": heldout}


def draw(split: data.Split, counts: dict[str, int], seed: int) -> dict[str, numpy.ndarray]:
    """Rows to attack in each part, name -> sorted indices: into x_test for "heldout", into x_train for the others.

    counts: part -> number of images.
    The draw depends only on `split` and `seed`, so every attack gets the same images, and a smaller part lies inside a
    larger one: of one permutation of x_train, "test" is the beginning, "validation" starts in the middle and "train" is
    the end. A slow attack may so use fewer images and still never be scored on images that another one trained on.
    Raises ValueError if parts would overlap.
    """
    total, middle = len(split.x_train), len(split.x_train) // 2
    if counts["test"] > middle or counts["validation"] + counts["train"] > total - middle:
        raise ValueError(
            f"{counts['test']} images to attack for the test part, {counts['validation']} and {counts['train']} for "
            f"validation and train, but x_train has {total}: expected at most half of them for the first, and at most "
            "half for the two others together"
        )
    if counts["heldout"] > len(split.x_test):
        raise ValueError(
            f"{counts['heldout']} images to attack, but x_test has {len(split.x_test)}: ask for a smaller heldout part"
        )
    generator = stream(seed, "images to attack")
    order = generator.permutation(total)
    rows = {
        "train": order[total - counts["train"] :],
        "validation": order[middle : middle + counts["validation"]],
        "test": order[: counts["test"]],
        "heldout": generator.permutation(len(split.x_test))[: counts["heldout"]],
    }
    return {part: numpy.sort(rows[part]) for part in PARTS}
