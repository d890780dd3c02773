"""Opens a trained cell for a later stage: images, history, final model, adversarials, mined targets."""

from __future__ import annotations

import argparse
import dataclasses
import pathlib
from collections.abc import Sequence

import keras

import data
import models
from adv import adversarial_set
from dare import dare, get_ats, nnslicer
from data import files
from pipeline import command, run_directory
from train import history as histories
from train import params
from train.history import History

METRICS = ("epoch", "learning_rate", "loss", "accuracy", "validation_loss", "validation_accuracy")


@dataclasses.dataclass(frozen=True)
class Trained:
    """The output of a train stage. model: the final model; original: its weights; identity: its SHA-256."""

    split: data.Split
    history: History
    model: keras.Model
    original: list = dataclasses.field(repr=False)
    identity: str


def parser(description: str, example: str = "") -> command.Parser:
    """The parser of a stage on a source model: a net with a recipe, or an imported one. example: options of its own."""
    example_options = f"--dataset fashion_mnist --model alexnet@0.25 {example}".strip()
    return command.parser(description, study="dare", accepted=params.RECIPES, own=True, example=example_options)


def load(arguments: argparse.Namespace) -> Trained:
    """The Trained of a stage's arguments. Raises FileNotFoundError or ValueError if it is incomplete."""
    folder = run_directory.folder(arguments, "train")
    split = data.load_split(folder / "split.h5", command.load_dataset(arguments))
    history = History(folder / "history")
    model = history.final_model()
    return Trained(split, history, model, model.get_weights(), models.fingerprint(model))


def recipe_of(trained: Trained, needed_by: str, option: str) -> params.Recipe:
    """The Recipe of the source model. Raises ValueError where there is none, as of an imported net.

    needed_by, option: of the sentence, what needs it and how to do without.
    """
    origin = trained.history.origin
    if "recipe" not in origin:
        raise ValueError(
            f"{trained.history.path}: does not say by which recipe it was trained, which {needed_by} needs: train it "
            f"with 1_train.py, or leave out {option}"
        )
    return params.Recipe(**origin["recipe"])


def weight_files(folder: pathlib.Path, inputs: list) -> list[pathlib.Path | None]:
    """The weight files of a method's repeats, in their order; [None] for the original.

    folder: of the cell's seed; inputs: the stages that the method reads, its own first, [] of the original.
    Raises FileNotFoundError where a method has none.
    """
    if not inputs:
        return [None]
    paths = list((folder / inputs[0]).glob("weights-*.weights.h5"))
    if not paths:
        raise FileNotFoundError(f"{folder / inputs[0]}: no weights-*.weights.h5; make it again with --overwrite")
    return sorted(paths, key=lambda path: int(path.name.split(".")[0].split("-")[1]))


def load_weights(trained: Trained, path: pathlib.Path | None) -> None:
    """Load the weights of a repeat into the model; None: the original's."""
    if path is None:
        trained.model.set_weights(trained.original)
    else:
        histories.load_weights(trained.model, path)


def write_metrics(history: History, path: str | pathlib.Path) -> None:
    """Write metrics.csv of a train stage from the history's records: a line an epoch, rewritten whole."""
    rows = [{"learning_rate": "nan", **history.record(epoch)[2]} for epoch in history.epochs]  # nan: an imported net's
    files.write_csv(path, METRICS, rows)


def adversarial_sets(
    arguments: argparse.Namespace, trained: Trained, names: Sequence[str]
) -> dict[str, adversarial_set.AdversarialSet]:
    """attack name -> AdversarialSet. Raises ValueError for a set of another model or other data."""
    return {
        name: adversarial_set.load(
            run_directory.folder(arguments, f"generate_adv-{name}") / "adversarials.h5",
            model=trained.identity,
            data=trained.split.fingerprint,
        )
        for name in names
    }


def targets(arguments: argparse.Namespace, trained: Trained) -> get_ats.Targets:
    """The mined targets of get_ats/. Raises ValueError for targets of another model or other images."""
    mined = get_ats.Targets.load(run_directory.folder(arguments, "get_ats") / "targets.h5")
    dare.check(trained.model, mined, trained.split.x_validation)
    return mined


def slices(arguments: argparse.Namespace, trained: Trained) -> nnslicer.Slice:
    """The Slice of slice/, which must be of this model."""
    saved_slice = nnslicer.Slice.load(run_directory.folder(arguments, "slice") / "slice.h5")
    if saved_slice.model != trained.identity:
        raise ValueError("slice/slice.h5 is of another model than train/: run 2_slice.py again with --overwrite")
    return saved_slice


def shape_of(arguments: argparse.Namespace) -> tuple[int, int, int] | None:
    """(H, W, C) of the images of a catalogued data set; None for a folder of images, which would have to be read."""
    entry = data.DATASETS.get(arguments.dataset)
    return entry and entry.shape
