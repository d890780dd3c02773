"""Fixed adversarial images of one attack on one model, in parts that are disjoint by source image.

Parts (DARE, methods of ASE 2022 / TOSEM 2024; sizes and roles made explicit here [D]):
    train        of x_train: what the adversarial-training baselines train on
    validation   of x_train: chooses learning rates, and nothing is reported on it
    test         of x_train: Empirical Robustness is scored on it, and nothing else uses it
    heldout      of x_test: the same score on images that no model was trained on
"""

import dataclasses

import numpy

from data import files
from train.seeds import stream

KIND = "adversarial set"
PARTS = ("train", "validation", "test", "heldout")
PUBLISHED = {"train": 4000, "validation": 1000, "test": 5000, "heldout": 1000}  # [P], but for the last [D]


@dataclasses.dataclass(frozen=True)
class Part:
    """images (K, H, W, C) float32 in [0, 1]; labels (K,) int64, the true classes; index (K,) rows of the source."""

    images: numpy.ndarray = dataclasses.field(repr=False)
    labels: numpy.ndarray = dataclasses.field(repr=False)
    index: numpy.ndarray = dataclasses.field(repr=False)


@dataclasses.dataclass(frozen=True)
class AdversarialSet:
    """The parts, how many images were drawn for each (failed ones are dropped), and what they were made with.

    attack: the catalogue name and its hyper-parameters; model, data: SHA-256 of the model attacked and of the data.
    """

    parts: dict
    drawn: dict
    attack: dict
    model: str
    data: str

    def save(self, path):
        """Write everything to `path` (HDF5)."""
        arrays = {
            f"{name}_{field}": getattr(part, field)
            for name, part in self.parts.items()
            for field in ("images", "labels", "index")
        }
        facts = {"attack": self.attack, "drawn": self.drawn, "model": self.model, "data": self.data}
        files.save_artefact(path, KIND, arrays, facts)


def load(path, *, model=None, data=None):
    """Read a saved set. Raises FileNotFoundError, or ValueError where it is damaged or of another model or data.

    model, data: the digests expected (None: any).
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


def fitting(total, held_out):
    """PUBLISHED, or as many as there are: part -> number of images.

    total, held_out: images in x_train and x_test. Train and validation share half of x_train: of a smaller half each
    gets its published share.
    """
    middle, shared = total // 2, PUBLISHED["train"] + PUBLISHED["validation"]
    room = min(total - middle, shared)
    train = room * PUBLISHED["train"] // shared
    test, heldout = min(PUBLISHED["test"], middle), min(PUBLISHED["heldout"], held_out)
    return {"train": train, "validation": room - train, "test": test, "heldout": heldout}


def draw(split, counts, seed):
    """Rows to attack in each part: name -> sorted indices, of x_test for "heldout", of x_train for the others.

    counts: part -> number of images. The draw depends on `split` and `seed` alone, so that every attack gets the
    same images, and a smaller part is inside a larger one: of one permutation of x_train, "test" is the beginning,
    "validation" begins in the middle, and "train" is the end. A dear attack may so have fewer images than the others
    without meeting what these train on. Raises ValueError where parts would overlap.
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
