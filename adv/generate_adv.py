"""Generate the AdversarialSet of one attack on one model, saving finished blocks so that a killed call resumes."""

from __future__ import annotations

import pathlib
from collections.abc import Callable

import keras
import numpy

import data
import models
from adv import adversarial_set, evaluate, search
from adv.base import Attack
from data import files
from models import compute

BLOCK = compute.IMAGES_BETWEEN_SAVES  # a kill costs one block: on a CPU up to minutes of C&W


def generate(
    model: keras.Model,
    split: data.Split,
    name: str,
    attack: Attack,
    *,
    counts: dict[str, int],
    seed: int,
    folder: pathlib.Path | str,
    batch_size: int = 250,
    progress: Callable | None = None,
) -> adversarial_set.AdversarialSet:
    """The closest adversarials of every part: AdversarialSet. A killed call resumes at its first missing block.

    model: the model to attack; returns logits.
    split: data.Split.
    name, attack: key and entry of the catalogue.
    counts: part -> images to attack.
    seed: of the choice of images.
    folder: where finished blocks are stored until the set is complete.
    batch_size: images attacked together.
    progress: called as progress(done, total, part).
    An image that is misclassified already stays unchanged; images on which the attack fails are dropped [P].
    """
    rows = adversarial_set.draw(split, counts, seed)
    blocks = [
        (part, start, rows[part][start : start + BLOCK])
        for part in adversarial_set.PARTS
        for start in range(0, len(rows[part]), BLOCK)
    ]
    total, done, crafted = sum(counts.values()), 0, {part: [] for part in adversarial_set.PARTS}
    for part, start, index in blocks:
        x, y = (split.x_test, split.y_test) if part == "heldout" else (split.x_train, split.y_train)
        path = pathlib.Path(folder) / f"block-{part}-{start:05d}.h5"
        block = files.load_artefact(path, "crafted block", ["images", "success"])[0] if path.is_file() else None
        if block is None or len(block["success"]) != len(index):  # blocks are longer on an accelerator
            adversarials = search.minimal(model, x[index], y[index], attack, batch_size=batch_size)
            block = {"images": adversarials.images, "success": adversarials.success}
            files.save_artefact(path, "crafted block", block)
        success = block["success"]
        crafted[part].append((block["images"][success], y[index][success], index[success]))
        done += len(index)
        if progress is not None:
            progress(done, total, part)
    shape = (0, *split.x_train.shape[1:])
    nothing = (numpy.zeros(shape, "float32"), numpy.zeros(0, "int64"), numpy.zeros(0, "int64"))
    parts = {}
    for part, pieces in crafted.items():
        images, labels, index = (numpy.concatenate(column) for column in zip(nothing, *pieces, strict=True))
        # Predicted once more as a whole, as in scoring: at another batch size, rounding may undo a borderline success.
        fooled = ~evaluate.correct(model, images, labels) if len(labels) else numpy.zeros(0, bool)
        parts[part] = adversarial_set.Part(images[fooled], labels[fooled], index[fooled])
    specification = {"name": name, **attack.specification()}
    return adversarial_set.AdversarialSet(
        parts, dict(counts), specification, models.fingerprint(model), split.fingerprint
    )


def remove_blocks(folder: pathlib.Path | str) -> None:
    """Delete the blocks, once the set is saved. folder: as of `generate`."""
    for path in pathlib.Path(folder).glob("block-*.h5"):
        files.remove(path)
