"""The figures of a cell's report: what training, mining, slicing, crafting and testing left in its run directories."""

import argparse
import csv
import dataclasses

import numpy

import data
from adv import adversarial_set, search
from dare import get_ats
from results import attack_figures, command, figures, image_figures, mining, run, slice_figures
from train.history import History


def draw(arguments, cell, rows):
    """Yield (name, caption, Figure). cell: the folder of one seed; rows: those of its data set and model."""
    with open(cell / "train" / "metrics.csv", newline="", encoding="utf-8") as file:
        metrics = list(csv.DictReader(file))
    yield "training-history", "Training of the original model.", figures.training_history(metrics)
    targets = get_ats.Targets.load(cell / "get_ats" / "targets.h5")
    epochs, counts = numpy.unique(targets.epoch, return_counts=True)
    caption = "Which epoch the selected samples take their activation from, and how much surer it was of them."
    yield "chosen-epochs", caption, mining.chosen_epochs(epochs, counts, targets.gain)
    sliced = run.record(cell / "slice")
    caption = "Share of connections that slicing would freeze."
    yield "frozen-share", caption, slice_figures.frozen_share(sliced["frozen_share"])
    if "kept_share" in sliced:
        caption = "Share of connections that each class keeps."
        yield "slice-size", caption, slice_figures.slice_size(sliced["kept_share"])
    yield "robustness", "Every measure of every method.", figures.robustness(rows)
    caption = "Robustness as the papers score it, against accuracy when the model itself is attacked."
    for measure in (name for name in rows[0]["measures"] if name.startswith("white-box/")):
        name = f"transfer-{measure.partition('/')[2]}"
        yield name, caption, attack_figures.transfer_against_white_box(rows, measure)
    yield from _adversarials(cell_arguments(arguments, cell), cell)


def mined(cell):
    """The table of what was mined. cell: the folder of one seed."""
    targets = get_ats.Targets.load(cell / "get_ats" / "targets.h5")
    return dataclasses.replace(mining.summary(targets, run.record(cell / "get_ats")["of"]), name="mining")


def _adversarials(arguments, cell):
    """The sizes of the crafted perturbations, and examples of each attack."""
    split = data.load_split(cell / "train" / "split.h5", command.load_dataset(arguments))
    model = History(cell / "train" / "history").final_model()
    sizes = {"linf": {}, "l2": {}}
    for folder in sorted(cell.glob("generate_adv-*")):
        attack = folder.name.partition("-")[2]
        part = adversarial_set.load(folder / "adversarials.h5").parts["test"]
        change = part.images - data.to_unit(split.x_train[part.index])
        for norm, found in sizes.items():
            found[attack] = search.norm(change, norm)
        chosen = numpy.flatnonzero(sizes["linf"][attack] > 0)[:8]
        if len(chosen):
            yield (
                folder.name,
                f"The first adversarial images of {attack}.",
                image_figures.adversarial_examples(
                    split.x_train[part.index[chosen]],
                    part.images[chosen],
                    part.labels[chosen],
                    numpy.argmax(model(part.images[chosen], training=False), -1),
                    split.classes,
                    attack,
                ),
            )
    for norm, found in sizes.items():
        if any((values > 0).any() for values in found.values()):
            caption = f"How far the adversarial images lie from their originals, {norm}."
            yield f"perturbation-sizes-{norm}", caption, attack_figures.perturbation_sizes(found, norm)


def cell_arguments(arguments, cell):
    """The data arguments of a trained cell, from its run.json."""
    trained = run.record(cell / "train")["arguments"]
    return argparse.Namespace(**{**trained, **vars(arguments)})
