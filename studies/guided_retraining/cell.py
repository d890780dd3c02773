"""A cell of guided retraining, as its stages left it: images, original model, adversarial inputs, scores."""

import dataclasses

import keras
import numpy

import data
import models
from adv.guided import ordering, retraining
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
    """The adversarial inputs made of the training and of the test part: part -> images float32 (n, H, W, 1), labels
    (n,), rows (n,) of the images that they were made of, attack: names (n,)."""

    images: dict
    labels: dict
    rows: dict
    attack: dict
    model: str
    data: str

    def save(self, path):
        """Write to `path` (HDF5)."""
        arrays = {}
        for part in PARTS:
            arrays |= {f"{part}_images": self.images[part], f"{part}_labels": self.labels[part]}
            arrays |= {f"{part}_rows": self.rows[part], f"{part}_attack": self.attack[part].astype("S8")}
        files.save_artefact(path, INPUTS, arrays, {"model": self.model, "data": self.data})

    @classmethod
    def load(cls, path, *, model, data):
        """Read them. Raises FileNotFoundError, or ValueError where damaged or of another model or data."""
        names = [f"{part}_{what}" for part in PARTS for what in ("images", "labels", "rows", "attack")]
        arrays, facts = files.load_artefact(path, INPUTS, names, ["model", "data"])
        check(path, facts, model=model, data=data)
        found = {
            what: {part: arrays[f"{part}_{what}"] for part in PARTS} for what in ("images", "labels", "rows", "attack")
        }
        for part, images in found["images"].items():
            if not (images.size and images.min() >= 0 and images.max() <= 1):
                raise ValueError(f"{path}: part {part} has no pixels, NaN, or some outside [0, 1]: make it again")
        found["attack"] = {part: names.astype(str) for part, names in found["attack"].items()}
        return cls(**found, model=facts["model"], data=facts["data"])


def check(path, facts, **expected):
    """Raise ValueError where an artefact is of another model or other data."""
    for what, value in expected.items():
        if facts[what] != value:
            raise ValueError(f"{path}: of {what} {facts[what][:12]}, expected {value[:12]}: make it again, --overwrite")


@dataclasses.dataclass(frozen=True)
class Cell:
    """split: data.Split, grey; model: the net; original: the weights of the original model; identity: their digest."""

    split: data.Split
    model: "keras.Model"
    original: list = dataclasses.field(repr=False)
    identity: str
    recipe: retraining.Recipe


def net_of(arguments):
    """The study's net for the data set: the default of --model. Raises ValueError for a data set without one."""
    if arguments.dataset not in NETS:
        raise ValueError(f"guided retraining has no net for {arguments.dataset}, expected one of {', '.join(NETS)}")
    return arguments.model or NETS[arguments.dataset]


def recipe_of(arguments):
    """The study's recipe for the data set, with what --epochs changes of it."""
    recipe = retraining.RECIPES[arguments.dataset]
    return recipe if arguments.epochs is None else dataclasses.replace(recipe, epochs=arguments.epochs)


def split_of(arguments):
    """The data set joined, grey and divided into three."""
    dataset = command.load_dataset(arguments)
    return data.three_way(dataset, arguments.seed, images=arguments.images, weights=arguments.gray)


def build(arguments, split):
    """The untrained net, its weights following from the seed."""
    seeds.seed_weights(arguments.seed)
    return models.build(arguments.model, split.x_train.shape[1:], len(split.classes))


def load(arguments):
    """The Cell that 1_train.py made. Raises FileNotFoundError or ValueError where it is not whole."""
    folder = run_directory.folder(arguments, "train")
    asked = run_directory.record(folder)["arguments"]
    settings = {name: asked[name] for name in ("images", "gray", "epochs")}
    whole = command.narrow(arguments, **settings)
    split = split_of(whole)
    model = build(whole, split)
    histories.load_weights(model, folder / "original.weights.h5")
    identity = models.fingerprint(model)
    made = run_directory.record(folder)
    if made["data"] != split.fingerprint or made["identity"] != identity:
        raise ValueError(f"{folder}: made from other images than these, or damaged: run 1_train.py with --overwrite")
    return Cell(split, model, model.get_weights(), identity, recipe_of(whole))


def inputs(arguments, cell):
    """The Inputs that 2_inputs.py made of this very cell."""
    path = run_directory.folder(arguments, "inputs") / "inputs.h5"
    return Inputs.load(path, model=cell.identity, data=cell.split.fingerprint)


def pool(cell, adversarial):
    """What is added in order: (images float32, labels, which are adversarial), the clean training part first."""
    images = numpy.concatenate([data.to_unit(cell.split.x_train), adversarial.images["train"]])
    labels = numpy.concatenate([cell.split.y_train, adversarial.labels["train"]])
    return images, labels, numpy.arange(len(labels)) >= len(cell.split.y_train)


def save_scores(path, scores, cell):
    """Keep every metric's scores of the pool: name -> (n,)."""
    files.save_artefact(path, SCORES, dict(scores), {"model": cell.identity, "data": cell.split.fingerprint})


def load_scores(path, cell, names=None):
    """The scores of the pool: name -> (n,). Raises ValueError as Inputs.load, or KeyError's sentence for a name."""
    arrays, facts = files.load_artefact(path, SCORES, list(names or ordering.METRICS), ["model", "data"])
    check(path, facts, model=cell.identity, data=cell.split.fingerprint)
    lacking = [name for name, scores in arrays.items() if numpy.isnan(scores).any()]
    if lacking:
        raise ValueError(f"{path}: the scores of {', '.join(lacking)} hold NaN: rank again with --overwrite")
    return arrays


def parser(description, example):
    """The parser of every stage of the study. example: options of a command."""
    made = command.parser(description, study="guided_retraining", accepted=NETS.values(), example=example)
    made.set_defaults(model=None)
    return made
