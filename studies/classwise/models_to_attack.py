"""Every trained model of one cell (data set, model, seed), from all studies, ready to be attacked."""

from __future__ import annotations

import argparse
import dataclasses
import functools
from collections.abc import Callable

import keras

import data
from adv import scoring
from pipeline import command, run_directory
from studies.dare import methods, trained_cell
from studies.robust_training import trained_models
from train import robust

STUDIES = ("dare", "robust_training")


@dataclasses.dataclass(frozen=True)
class Contestant:
    """One model to attack.

    method, title, role: of its table line
    of: the study that trained it
    epsilon: Linf radius of the attacks
    stages: names of its input stages (pipeline/records.py)
    open: function that returns (model with the selected weights, split)
    """

    method: str
    title: str
    role: str
    of: str
    epsilon: float
    stages: tuple
    open: Callable[[], tuple[keras.Model, data.Split]]


def of_dare(arguments: argparse.Namespace) -> list[Contestant]:
    """The original and the first repeat of every method of the DARE study.

    The epsilon is the smaller of the study's white-box columns: no model is robust at the larger.
    """
    arguments = command.narrow(arguments, study="dare")
    if not _finished(arguments, "train"):
        return []
    cell = []

    def opened(weights):
        if not cell:
            cell.append(trained_cell.load(arguments))
        trained_cell.load_weights(cell[0], weights)
        return cell[0].model, cell[0].split

    contestants = []
    channels = data.DATASETS[arguments.dataset].shape[-1] if arguments.dataset in data.DATASETS else 3
    for method, inputs, role, title in methods.methods():
        if inputs and not _finished(arguments, inputs[0]):
            continue
        first, *_ = trained_cell.weight_files(run_directory.folder(arguments, "train").parent, inputs)
        stages = tuple(f"dare/{name}" for name in ("train", *inputs))
        epsilon = scoring.EPSILONS[channels][0]
        contestants.append(Contestant(method, title, role, "dare", epsilon, stages, functools.partial(opened, first)))
    return contestants


def of_robust_training(arguments: argparse.Namespace) -> list[Contestant]:
    """The selected epoch of every method of robust training, with the epsilon of training."""
    arguments = command.narrow(arguments, study="robust_training")
    contestants = []
    for name in trained_models.finished(arguments):
        method = robust.METHODS[name]
        epsilon = run_directory.record(run_directory.folder(arguments, f"train-{name}"))["setup"]["epsilon"]
        role, stages = "control" if name == "standard" else "method", (f"robust_training/train-{name}",)
        opened = functools.partial(selected, arguments, name)
        contestants.append(Contestant(name, method.title, role, "robust_training", epsilon, stages, opened))
    return contestants


def selected(arguments: argparse.Namespace, name: str) -> tuple[keras.Model, data.Split]:
    """(model with the selected weights, split) of one method of robust training."""
    split, history, record = trained_models.robust(arguments, name)
    model = trained_models.robust_model(arguments, split, record["setup"].get("standardised", True))
    history.load_weights(model, record["selected"])
    return model, split


def find(arguments: argparse.Namespace) -> list[Contestant]:
    """All Contestants of a cell. Raises FileNotFoundError without any, and names the scripts that train one."""
    contestants = [*of_dare(arguments), *of_robust_training(arguments)]
    if not contestants:
        raise FileNotFoundError(
            f"{run_directory.folder(command.narrow(arguments, study='*'), 'train*')}: no model has been trained; "
            f"make one with scripts/robust_training/1_train.py --dataset {arguments.dataset} "
            f"--model {arguments.model} --seed {arguments.seed}, or likewise with scripts/dare/1_train.py"
        )
    return contestants


def _finished(arguments, stage):
    return run_directory.finished(run_directory.folder(arguments, stage))
