"""The figures of a cell's report: what training, mining, slicing, crafting and testing left in its run directories."""

import argparse
import csv
import dataclasses

import numpy

import data
from adv import adversarial_set, search
from dare import get_ats
from pipeline import command, records, run_directory
from reporting import figures, order
from studies.ablation import tables as ablation_tables
from studies.dare import figures_of_cell, figures_of_rows, image_figures, tables
from studies.dare import mined as mining
from studies.hardening import tables as hardening_tables
from train.history import History

HOW_TO_READ = """\
- **clean**: share of the unmodified test images that are classified as their true label.
- **Empirical Robustness (ER)**, one column an attack: share of fixed adversarial images, made once by attacking the
  *original* model, that the tested model classifies as their true label. An adversarial image of minimal size lies
  just across the original's boundary, so *any* change of weights brings some of them back: ER says that a boundary
  moved, not that a model is robust.
- **Controls** measure how much of ER comes from that alone: random noise of the same size, as many plain training
  steps, an older checkpoint, an average of checkpoints. A method has shown something beyond them only where it
  exceeds its controls by more than the intervals.
- **held-out**: ER on adversarials of test images. **×1.1, ×1.5**: ER after moving each adversarial so many times as
  far from its original: what is left once a boundary's small shift no longer suffices.
- **worst case**: share of images correct under every attack at once; the note below the table says what became of those
  on which an attack failed.
- **†**: a check of the model was raised, and a note names it: its robustness may be hidden, or its numbers say nothing.
- **attack@epsilon** (white box): the attack is run anew on the very model under test, and its image may be epsilon
  away in any pixel (pixels in [0, 1]). Only these columns and the median minimal perturbation speak of robustness
  against somebody who knows the model. Even they are an upper bound: a stronger attack may find more.
- **(in brackets)**: the published value. It is of other source models, so compare the order of methods before the
  values.
"""
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
    yield "training-history", "Training of the original model.", figures.training_history(metrics)


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


def draw_cells(rows):
    """Yield (name, caption, Figure) of what the rows of all data sets and models tell together: nothing without ER.

    Shown are DARE as published, the baselines, and the controls that need no tuning, or only noise.
    """
    rows = [row for row in rows if row["study"] == "dare" and order.attacks([row])]
    baselines = *(f"adv-{attack}" for attack in order.ATTACKS), "distillation"
    methods = ("dare", "dare-s", "dare-sl", *baselines, "weight-noise", "checkpoint", "swa")
    if any(row["method"] in methods for row in rows):
        caption = (
            "Empirical Robustness of every model and attack; in brackets the published value, where there is one: the "
            "mean of nine runs on other source models."
        )
        yield "er-by-attack", caption, figures_of_rows.er_by_attack(rows, methods)


def draw_rows(rows):
    """Yield (name, caption, Figure) of what rows alone tell: those of one data set and model, of all studies."""
    own = {study: [row for row in rows if row["study"] == study] for study in ("dare", "what_matters", "white_box")}
    if own["dare"]:
        (methods,) = tables.cells(own["dare"]).values()
        yield "robustness", "Every measure of every method.", figures.robustness(methods)
        caption = "Robustness as the papers score it, against accuracy when the model itself is attacked."
        for measure in (name for name in methods[0]["measures"] if name.startswith("white-box/")):
            name = f"transfer-{measure.partition('/')[2]}"
            yield name, caption, figures_of_rows.transfer_against_white_box(methods, measure)
    if own["what_matters"]:
        caption = "One choice of DARE changed at a time; the dotted line is the published setting."
        yield "what-matters", caption, ablation_tables.what_matters(own["what_matters"])
    if own["white_box"]:
        caption = "Hardened by different strategies: accuracy under attack against weight change and effort."
        yield "white-box", caption, hardening_tables.trajectories(own["white_box"])


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
            yield f"perturbation-sizes-{norm}", caption, figures_of_rows.perturbation_sizes(found, norm)


def cell_arguments(arguments, cell):
    """The data arguments of a trained cell, from its run.json."""
    trained = run_directory.record(cell / "train")["arguments"]
    return argparse.Namespace(**{**trained, **vars(arguments)})
