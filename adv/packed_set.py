"""Adversarial sets in little room: each image as its difference from the image that was attacked.

Three encodings, smallest first: "uint8" for pixels that are whole 255ths, bit for bit; "float16", which rounds the
difference to eleven bits; "float32", the image itself. A perturbation of minimal size ends just beyond a decision
boundary, so "float16" holds only where every model still predicts the same classes (studies/dare/packing.py compares).
Only the parts that are scored are kept, test and heldout.
"""

from __future__ import annotations

import pathlib

import numpy

import data
from adv.adversarial_set import AdversarialSet, Part
from data import files

KIND = "packed adversarial set"
ENCODINGS = ("uint8", "float16", "float32")
SCORED = {"test": "x_train", "heldout": "x_test"}  # part -> where its images come from
UNSCORED = ("train", "validation")
FACTS = ("attack", "drawn", "model", "data", "encoding")


def encode(images: numpy.ndarray, source: numpy.ndarray, encoding: str) -> numpy.ndarray:
    """The images in an encoding: uint8, float16 or float32 (N, H, W, C).

    images: float32 in [0, 1]; source: the attacked images, uint8 or floats, of the same shape.
    """
    if encoding == "uint8":
        return numpy.rint(255 * images).astype(numpy.uint8) - _bytes(source)  # modulo 256
    return (images - data.to_unit(source)).astype(numpy.float16) if encoding == "float16" else images


def decode(stored: numpy.ndarray, source: numpy.ndarray, encoding: str) -> numpy.ndarray:
    """The images that `encode` stored, from the same source and encoding: float32 in [0, 1]."""
    if encoding == "uint8":
        return data.to_unit(stored + _bytes(source))
    if encoding == "float16":
        return numpy.clip(data.to_unit(source) + stored.astype(numpy.float32), 0, 1)
    return stored


def _bytes(source):
    return numpy.rint(255 * data.to_unit(source)).astype(numpy.uint8)


def candidate(adversarials: AdversarialSet, split: data.Split) -> str:
    """The smallest encoding that may hold for a set: "uint8" where it is exact, else "float16".

    split: data.Split that the set was made from.
    """
    exact = all(
        numpy.array_equal(decode(encode(part.images, source, "uint8"), source, "uint8"), part.images)
        for part, source in _scored(adversarials, split)
    )
    return "uint8" if exact else "float16"


def _scored(adversarials, split):
    """Yield (Part, the images that it was made from)."""
    for name, images_name in SCORED.items():
        yield adversarials.parts[name], getattr(split, images_name)[adversarials.parts[name].index]


def save(adversarials: AdversarialSet, split: data.Split, path: pathlib.Path | str, encoding: str) -> None:
    """Write the scored parts of a set to `path`.

    split: data.Split that it was made from.
    encoding: of ENCODINGS; uint8 and float16 are smaller, but exact only for some sets (`candidate`).
    """
    arrays = {}
    for name, (part, source) in zip(SCORED, _scored(adversarials, split), strict=True):
        arrays |= {
            f"{name}_images": encode(part.images, source, encoding),
            f"{name}_labels": part.labels,
            f"{name}_index": part.index,
        }
    facts = {name: getattr(adversarials, name) for name in FACTS[:-1]} | {"encoding": encoding}
    files.save_artefact(path, KIND, arrays, facts)


def load(path: pathlib.Path | str, split: data.Split) -> AdversarialSet:
    """Read a packed set; its parts train and validation are empty.

    split: data.Split that the set was made from.
    Raises FileNotFoundError, and ValueError for a file that is damaged, of other data, or in no known encoding.
    """
    names = [f"{part}_{field}" for part in SCORED for field in ("images", "labels", "index")]
    arrays, facts = files.load_artefact(path, KIND, names, FACTS)
    if facts["data"] != split.fingerprint:
        raise ValueError(f"{path}: made for data {str(facts['data'])[:12]}, but this is {split.fingerprint[:12]}")
    if facts["encoding"] not in ENCODINGS:
        raise ValueError(f"{path}: encoding {facts['encoding']!r:.80}, expected one of {', '.join(ENCODINGS)}")
    parts = {}
    for name, images_name in SCORED.items():
        images, labels, index = (arrays[f"{name}_{field}"] for field in ("images", "labels", "index"))
        source = getattr(split, images_name)
        if images.shape != (len(index), *source.shape[1:]) or labels.shape != index.shape:
            raise ValueError(f"{path}: part {name} has images of shape {images.shape} for {len(index)} rows: damaged")
        if len(index) and not (0 <= index.min() and index.max() < len(source)):
            raise ValueError(f"{path}: part {name} is of rows that {images_name} lacks: damaged")
        parts[name] = Part(decode(images, source[index], facts["encoding"]), labels, index)
    empty = Part(parts["test"].images[:0], parts["test"].labels[:0], parts["test"].index[:0])
    parts |= dict.fromkeys(UNSCORED, empty)
    return AdversarialSet(parts, facts["drawn"], facts["attack"], facts["model"], facts["data"])
