"""A cell of guided retraining: images, original model, adversarial inputs, and scores from its stages."""

from __future__ import annotations

import argparse
import dataclasses
import pathlib
from collections.abc import Sequence

import keras
import numpy

import data
import models
from adv import search
from adv.guided import fol, ordering, retraining
from adv.guided import inputs as inputs_of
from data import files
from pipeline import command, run_directory
from train import history as histories
from train import seeds

NETS = {
    "gtsrb": "gtsrb_cnn",
    "intel": "intel_cnn",
    "cifar10": "cifar_cnn",
    "mnist": "mnist_cnn",
    "fashion_mnist": "fashion_cnn",
    "digits": "mnist_cnn",  # bundled, not in the study [D]
}
INPUTS = "guided inputs"
SCORES = "guided scores"
PARTS = ("train", "test")


@dataclasses.dataclass(frozen=True)
class Inputs:
    """The adversarial inputs of the training and the test part.

    images: part -> float32 (n, H, W, 1)
    labels: part -> (n,)
    rows: part -> (n,), rows of the original images
    attack: part -> names (n,)
    model, data: SHA-256 of the model and the data that they were made from
    """

    images: dict
    labels: dict
    rows: dict
    attack: dict
    model: str
    data: str

    def save(self, path: str | pathlib.Path) -> None:
        """Write to `path` (HDF5)."""
        arrays = {}
        for part in PARTS:
            arrays |= {f"{part}_images": self.images[part], f"{part}_labels": self.labels[part]}
            arrays |= {f"{part}_rows": self.rows[part], f"{part}_attack": self.attack[part].astype("S8")}
        files.save_artefact(path, INPUTS, arrays, {"model": self.model, "data": self.data})

    @classmethod
    def load(cls, path: str | pathlib.Path, *, model: str, data: str) -> Inputs:
        """The Inputs in a file. Raises FileNotFoundError, or ValueError for a damaged file, another model or data."""
        names = [f"{part}_{what}" for part in PARTS for what in ("images", "labels", "rows", "attack")]
        arrays, facts = files.load_artefact(path, INPUTS, names, ["model", "data"])
        check(path, facts, model=model, data=data)
        by_field = {
            what: {part: arrays[f"{part}_{what}"] for part in PARTS} for what in ("images", "labels", "rows", "attack")
        }
        for part, images in by_field["images"].items():
            if not (images.size and images.min() >= 0 and images.max() <= 1):
                raise ValueError(f"{path}: part {part} is empty, or has NaN or pixels outside [0, 1]: make it again")
        by_field["attack"] = {part: names.astype(str) for part, names in by_field["attack"].items()}
        return cls(**by_field, model=facts["model"], data=facts["data"])


def check(path: str | pathlib.Path, facts: dict, **expected: str) -> None:
    """Raise ValueError if an artefact is of another model or other data."""
    for what, value in expected.items():
        if facts[what] != value:
            raise ValueError(f"{path}: of {what} {facts[what][:12]}, expected {value[:12]}: make it again, --overwrite")


@dataclasses.dataclass(frozen=True)
class Cell:
    """The output of 1_train.py. split: grey images; original: the original model's weights; identity: their SHA-256."""

    split: data.Split
    model: keras.Model
    original: list = dataclasses.field(repr=False)
    identity: str
    recipe: retraining.Recipe


def net_of(arguments: argparse.Namespace) -> str:
    """--model, or by default the study's net for the data set. Raises ValueError for a data set without a net."""
    if arguments.dataset not in NETS:
        raise ValueError(f"guided retraining has no net for {arguments.dataset}, expected one of {', '.join(NETS)}")
    return arguments.model or NETS[arguments.dataset]


def recipe_of(arguments: argparse.Namespace) -> retraining.Recipe:
    """The study's recipe for the data set, with the epochs of --epochs if given."""
    recipe = retraining.RECIPES[arguments.dataset]
    return recipe if arguments.epochs is None else dataclasses.replace(recipe, epochs=arguments.epochs)


def split_of(arguments: argparse.Namespace) -> data.Split:
    """The joined data set in grey, divided into three parts."""
    dataset = command.load_dataset(arguments)
    sizes = {"images": arguments.images, "test_images": arguments.test_images}
    return data.three_way(dataset, arguments.seed, **sizes, weights=arguments.gray)


def build(arguments: argparse.Namespace, split: data.Split) -> keras.Model:
    """The untrained net, with weights determined by the seed."""
    seeds.seed_weights(arguments.seed)
    return models.build(arguments.model, split.x_train.shape[1:], len(split.classes))


def load(arguments: argparse.Namespace) -> Cell:
    """The Cell of 1_train.py. Raises FileNotFoundError or ValueError if it is incomplete or of other images."""
    folder = run_directory.folder(arguments, "train")
    whole = _as_trained(arguments)
    split = split_of(whole)
    model = build(whole, split)
    histories.load_weights(model, folder / "original.weights.h5")
    identity = models.fingerprint(model)
    record = run_directory.record(folder)
    if record["data"] != split.fingerprint or record["identity"] != identity:
        raise ValueError(f"{folder}: made from other images than these, or damaged: run 1_train.py with --overwrite")
    return Cell(split, model, model.get_weights(), identity, recipe_of(whole))


def _as_trained(arguments):
    """The arguments with those of 1_train.py that say which images and epochs it took."""
    trained_with = run_directory.record(run_directory.folder(arguments, "train"))["arguments"]
    settings = {name: trained_with.get(name) for name in ("images", "test_images", "gray", "epochs")}
    return command.narrow(arguments, **settings)


def attacked(arguments: argparse.Namespace, cell: Cell) -> int:
    """How many training images are attacked: as many as the test part has by the published shares."""
    whole = _as_trained(arguments)
    return len((cell.split if whole.test_images is None else split_of(command.narrow(whole, test_images=None))).y_test)


def inputs(arguments: argparse.Namespace, cell: Cell) -> Inputs:
    """The Inputs of 2_inputs.py. Raises ValueError if they are of another cell."""
    path = run_directory.folder(arguments, "inputs") / "inputs.h5"
    return Inputs.load(path, model=cell.identity, data=cell.split.fingerprint)


def pool(cell: Cell, adversarial: Inputs) -> tuple[numpy.ndarray, numpy.ndarray, numpy.ndarray]:
    """The inputs to order: (images float32, labels, bool: adversarial), the clean training part first."""
    images = numpy.concatenate([data.to_unit(cell.split.x_train), adversarial.images["train"]])
    labels = numpy.concatenate([cell.split.y_train, adversarial.labels["train"]])
    return images, labels, numpy.arange(len(labels)) >= len(cell.split.y_train)


def fol_of_pool(cell: Cell, adversarial: Inputs) -> numpy.ndarray:
    """FOL of every input of the pool at the original model, in the Linf ball of inputs.EPSILON: float64 (n,).

    A clean input is the centre of its ball. Carlini-Wagner's L2 has no epsilon: the ball of an input that leaves
    EPSILON is the smallest that holds it [D].
    """
    images, labels, are = pool(cell, adversarial)
    centres = images.copy()
    centres[are] = data.to_unit(cell.split.x_train[adversarial.rows["train"]])
    radius = numpy.maximum(inputs_of.EPSILON, search.norm(images - centres, "linf"))
    return fol.fol(cell.model, images, centres, labels, epsilon=radius)


def save_scores(path: str | pathlib.Path, scores: dict, cell: Cell) -> None:
    """Save every metric's scores of the pool. scores: name -> (n,)."""
    files.save_artefact(path, SCORES, dict(scores), {"model": cell.identity, "data": cell.split.fingerprint})


def load_scores(path: str | pathlib.Path, cell: Cell, names: Sequence[str] | None = None) -> dict[str, numpy.ndarray]:
    """The scores of the pool: name -> (n,). Raises as Inputs.load, and ValueError for NaN or a missing name."""
    arrays, facts = files.load_artefact(path, SCORES, list(names or ordering.METRICS), ["model", "data"])
    check(path, facts, model=cell.identity, data=cell.split.fingerprint)
    lacking = [name for name, scores in arrays.items() if numpy.isnan(scores).any()]
    if lacking:
        raise ValueError(f"{path}: the scores of {', '.join(lacking)} hold NaN: rank again with --overwrite")
    return arrays


def parser(description: str, example: str) -> command.Parser:
    """The parser of every stage of the study. example: options of a command."""
    stage_parser = command.parser(description, study="guided_retraining", accepted=NETS.values(), example=example)
    stage_parser.set_defaults(model=None)
    return stage_parser


def add_attack(parser: command.Parser) -> None:
    """The options of attacks that are run anew on retrained models."""
    parser.add_argument(
        "--attack-images", type=command.whole(0, 500), default=0, help="clean test images under AutoAttack, by order"
    )
    parser.add_argument(
        "--attack-epsilon", type=command.real(above=0), default=0.05, help="its radius, Linf (default: 0.05)"
    )
