"""What the stages of one cell left in its run directories, as tables and figures of its report."""

import argparse
import csv
import dataclasses

import numpy

import data
from adv import adversarial_set, search
from dare import get_ats
from pipeline import command, records, run_directory
from studies.dare import figures_of_cell, figures_of_rows
from studies.dare import mined as mining
from train.history import History

STAGES = {"train": "1_train.py", "get_ats": "3_get_ats.py", "slice": "2_slice.py"}


def left_out(cell):
    """Yield sentences on what a cell's report lacks, not made or empty. cell: the folder of one seed."""
    for stage, script in STAGES.items():
        if not _is(cell, stage):
            yield f"what {stage}/ tells: scripts/dare/{script} has not been run to its end"
    for name, part in _parts(cell):
        if not len(part.labels):
            yield f"examples of {name}: its test part holds no image"


def _is(cell, stage):
    return records.state(cell / stage) == "done"


def _parts(cell):
    """(attack, the test part of its adversarials) of every finished set."""
    for folder in sorted(cell.glob("generate_adv-*")):
        if _is(cell, folder.name):
            made = adversarial_set.load(folder / "adversarials.h5")
            yield folder.name.partition("-")[2], made.parts["test"]


def draw(arguments, cell):
    """Yield (name, caption, Figure) of what the finished stages left. cell: the folder of one seed."""
    for stage, figures_of in (("train", _trained), ("get_ats", _mined), ("slice", _sliced)):
        if _is(cell, stage):
            yield from figures_of(cell)
    if _is(cell, "train"):
        yield from adversarials(arguments, cell)


def _trained(cell):
    with open(cell / "train" / "metrics.csv", newline="", encoding="utf-8") as file:
        metrics = list(csv.DictReader(file))
    yield "training-history", "Training of the original model.", figures_of_cell.training_history(metrics)


def _mined(cell):
    targets = get_ats.Targets.load(cell / "get_ats" / "targets.h5")
    epochs, counts = numpy.unique(targets.epoch, return_counts=True)
    caption = "Which epoch the selected samples take their activation from, and how much surer it was of them."
    yield "chosen-epochs", caption, mining.chosen_epochs(epochs, counts, targets.gain)


def _sliced(cell):
    sliced = run_directory.record(cell / "slice")
    caption = "Share of connections that slicing would freeze."
    yield "frozen-share", caption, figures_of_cell.frozen_share(sliced["frozen_share"])
    if "kept_share" in sliced:
        caption = "Share of connections that each class keeps."
        yield "slice-size", caption, figures_of_cell.slice_size(sliced["kept_share"])


def mined(cell):
    """The table of what was mined, in a list, empty where nothing was. cell: the folder of one seed."""
    if not _is(cell, "get_ats"):
        return []
    targets = get_ats.Targets.load(cell / "get_ats" / "targets.h5")
    return [dataclasses.replace(mining.summary(targets, run_directory.record(cell / "get_ats")["of"]), name="mining")]


def adversarials(arguments, cell):
    """Yield (name, caption, Figure) of examples of each attack, "examples-<attack>", and the sizes of the
    perturbations. cell: the folder of one seed."""
    dataset = command.load_dataset(cell_arguments(arguments, cell))
    split = data.load_split(cell / "train" / "split.h5", dataset)
    model = History(cell / "train" / "history").final_model()
    sizes = {"linf": {}, "l2": {}}
    for attack, part in _parts(cell):
        if not len(part.labels):
            continue
        change = part.images - data.to_unit(split.x_train[part.index])
        for norm, found in sizes.items():
            found[attack] = search.norm(change, norm)
        chosen = numpy.flatnonzero(sizes["linf"][attack] > 0)[:8]
        if len(chosen):
            yield (
                f"examples-{attack}",
                f"The first adversarial images of {attack}.",
                figures_of_cell.adversarial_examples(
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
            yield f"perturbation-sizes-{norm}", caption, figures_of_rows.perturbation_sizes(found, norm)


def cell_arguments(arguments, cell):
    """The data arguments of a trained cell, from its run.json."""
    trained = run_directory.record(cell / "train")["arguments"]
    return argparse.Namespace(**{**trained, **vars(arguments)})
