"""Tables and figures of one cell's report that need the outputs of its stages."""

import argparse
import csv
import dataclasses
import pathlib
from collections.abc import Iterator

import numpy

import data
from adv import adversarial_set, search
from dare import get_ats
from pipeline import command, records, run_directory
from reporting import tables
from studies.dare import figures_of_cell, figures_of_rows
from studies.dare import mined as mining
from train.history import History

STAGES = {"train": "1_train.py", "get_ats": "3_get_ats.py", "slice": "2_slice.py"}


def left_out(cell: pathlib.Path) -> Iterator[str]:
    """Yield sentences on missing or empty parts of a cell's report. cell: the folder of one seed."""
    for stage, script in STAGES.items():
        if not _is(cell, stage):
            yield f"figures of {stage}/: scripts/dare/{script} has not finished"
    for name, part in _parts(cell):
        if not len(part.labels):
            yield f"examples of {name}: its test part is empty"


def _is(cell, stage):
    return records.state(cell / stage) == "done"


def _parts(cell):
    """(attack, the test part of its adversarials) of every finished set."""
    for folder in sorted(cell.glob("generate_adv-*")):
        if _is(cell, folder.name):
            adversarials = adversarial_set.load(folder / "adversarials.h5")
            yield folder.name.partition("-")[2], adversarials.parts["test"]


def draw(arguments: argparse.Namespace, cell: pathlib.Path) -> Iterator[tuple]:
    """Yield (name, caption, Figure) of the finished stages. cell: the folder of one seed."""
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
    caption = "The epochs chosen for the selected samples, and the confidence gained."
    yield "chosen-epochs", caption, mining.chosen_epochs(epochs, counts, targets.gain)


def _sliced(cell):
    sliced = run_directory.record(cell / "slice")
    caption = "Fraction of connections that slicing would freeze."
    yield "frozen-share", caption, figures_of_cell.frozen_share(sliced["frozen_share"])
    if "kept_share" in sliced:
        caption = "Fraction of connections that each class keeps."
        yield "slice-size", caption, figures_of_cell.slice_size(sliced["kept_share"])


def mined(cell: pathlib.Path) -> list[tables.Table]:
    """The table of the mined targets in a list; [] before mining. cell: the folder of one seed."""
    if not _is(cell, "get_ats"):
        return []
    targets = get_ats.Targets.load(cell / "get_ats" / "targets.h5")
    return [dataclasses.replace(mining.summary(targets, run_directory.record(cell / "get_ats")["of"]), name="mining")]


def adversarials(arguments: argparse.Namespace, cell: pathlib.Path) -> Iterator[tuple]:
    """Yield (name, caption, Figure) of each attack's examples, "examples-<attack>", and of the perturbation sizes.

    cell: the folder of one seed
    """
    dataset = command.load_dataset(cell_arguments(arguments, cell))
    split = data.load_split(cell / "train" / "split.h5", dataset)
    model = History(cell / "train" / "history").final_model()
    sizes = {"linf": {}, "l2": {}}
    for attack, part in _parts(cell):
        if not len(part.labels):
            continue
        change = part.images - data.to_unit(split.x_train[part.index])
        for norm, by_attack in sizes.items():
            by_attack[attack] = search.norm(change, norm)
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
    for norm, by_attack in sizes.items():
        if any((values > 0).any() for values in by_attack.values()):
            caption = f"Distance of the adversarial images from their originals, {norm}."
            yield f"perturbation-sizes-{norm}", caption, figures_of_rows.perturbation_sizes(by_attack, norm)


def cell_arguments(arguments: argparse.Namespace, cell: pathlib.Path) -> argparse.Namespace:
    """The arguments, with those of a trained cell from its run.json as defaults."""
    trained = run_directory.record(cell / "train")["arguments"]
    return argparse.Namespace(**{**trained, **vars(arguments)})
