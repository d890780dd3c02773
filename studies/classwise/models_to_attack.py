"""Every model that the studies have made of one cell (data set, model, seed), ready to be attacked."""

import dataclasses
import functools
from collections.abc import Callable

import keras

import data
from adv import scoring
from pipeline import command, run_directory
from studies.dare import methods, trained_cell
from studies.robust_training import trained_models
from train import history as histories
from train import robust

STUDIES = ("dare", "robust_training")


@dataclasses.dataclass(frozen=True)
class Contestant:
    """One model: method, title and role of its table line; of: the study that made it; epsilon: the Linf radius that
    it is attacked within; stages: those that it is read from, as inputs are named (pipeline/records.py); open: makes
    (model, split, selected weights loaded).
    """

    method: str
    title: str
    role: str
    of: str
    epsilon: float
    stages: tuple
    open: Callable[[], tuple["keras.Model", data.Split]]


def of_dare(arguments):
    """The original and the first repeat of every method of the DARE study: list of Contestant.

    They are attacked within the smaller radius of the study's white-box columns: within the larger none is robust.
    """
    arguments = command.narrow(arguments, study="dare")
    if not _finished(arguments, "train"):
        return []
    cell = []

    def opened(weights):
        if not cell:
            cell.append(trained_cell.load(arguments))
        made = cell[0]
        if weights is None:
            made.model.set_weights(made.original)
        else:
            histories.load_weights(made.model, weights)
        return made.model, made.split

    found = []
    channels = data.DATASETS[arguments.dataset].shape[-1] if arguments.dataset in data.DATASETS else 3
    for method, inputs, role, title in methods.methods():
        if inputs and not _finished(arguments, inputs[0]):
            continue
        paths = sorted(run_directory.folder(arguments, inputs[0]).glob("weights-*.weights.h5")) if inputs else [None]
        stages = tuple(f"dare/{name}" for name in ("train", *inputs))
        epsilon = scoring.EPSILONS[channels][0]
        found.append(Contestant(method, title, role, "dare", epsilon, stages, functools.partial(opened, paths[0])))
    return found


def of_robust_training(arguments):
    """The selected epoch of every method of robust training: list of Contestant, attacked as they were trained."""
    arguments = command.narrow(arguments, study="robust_training")
    found = []
    for name, method in robust.METHODS.items():
        if not _finished(arguments, f"train-{name}"):
            continue
        epsilon = run_directory.record(run_directory.folder(arguments, f"train-{name}"))["setup"]["epsilon"]
        role, stages = "control" if name == "standard" else "method", (f"robust_training/train-{name}",)
        opened = functools.partial(selected, arguments, name)
        found.append(Contestant(name, method.title, role, "robust_training", epsilon, stages, opened))
    return found


def selected(arguments, name):
    """(model with the selected weights, split) of one method of robust training."""
    split, history, made = trained_models.robust(arguments, name)
    model = trained_models.robust_model(arguments, split, made["setup"].get("standardised", True))
    history.load_weights(model, made["selected"])
    return model, split


def find(arguments):
    """All Contestants of the cell that the arguments name. Raises FileNotFoundError where there is none,
    naming the scripts that make one."""
    found = [*of_dare(arguments), *of_robust_training(arguments)]
    if not found:
        raise FileNotFoundError(
            f"{run_directory.folder(command.narrow(arguments, study='*'), 'train*')}: no model has been trained; "
            f"make one with scripts/robust_training/1_train.py --dataset {arguments.dataset} --model {arguments.model} "
            f"--seed {arguments.seed}, or the same of scripts/dare/1_train.py"
        )
    return found


def _finished(arguments, stage):
    return (run_directory.folder(arguments, stage) / "run.json").is_file()
