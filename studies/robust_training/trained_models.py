"""Opens a trained net of robust training for a later stage: images, history, and model."""

from __future__ import annotations  # its types load no library (pipeline/late.py)

import argparse

import keras

import data
import models
from pipeline import command, run_directory
from train import robust as training
from train.history import History


def reduced_dataset(arguments: argparse.Namespace) -> data.Dataset:
    """The data set; with --images, reduced to so many training images and the held-out ones."""
    dataset = command.load_dataset(arguments)
    if arguments.images is None:
        return dataset
    return data.reduced(dataset, arguments.images + arguments.validation, arguments.seed)


def robust(arguments: argparse.Namespace, method: str) -> tuple:
    """(split, history, run.json) of the finished stage train-<method> of robust training."""
    folder = run_directory.folder(arguments, f"train-{method}")
    record = run_directory.record(folder)
    settings = {name: record["arguments"][name] for name in ("images", "validation")}
    dataset = reduced_dataset(command.narrow(arguments, **settings))
    return data.load_split(folder / "split.h5", dataset), History(folder / "history"), record


def teachers(arguments: argparse.Namespace, split: data.Split, method: training.Method) -> list:
    """The nets that a method distils, in their order: of each finished stage train-<teacher> the selected epoch.

    Raises ValueError if one was trained on other images.
    """
    nets = []
    for name in method.teachers:
        own, history, record = robust(arguments, name)
        if own.fingerprint != split.fingerprint:
            raise ValueError(
                f"{run_directory.folder(arguments, f'train-{name}')} was trained on other images: train the teacher "
                "with the same --images and --validation"
            )
        net = robust_model(arguments, split, record["setup"].get("standardised", True))
        history.load_weights(net, record["selected"])
        nets.append(net)
    return nets


def finished(arguments: argparse.Namespace) -> list[str]:
    """The methods with a finished stage train-<method>, in the order of the catalogue, with averages behind."""
    cell = run_directory.folder(arguments, "train-").parent
    trained = {path.parent.name.removeprefix("train-") for path in cell.glob("train-*/run.json")}
    known = [name for name in training.METHODS if name in trained]
    return known + sorted(name for name in trained - {*known} if name in training.METHODS)


def robust_model(
    arguments: argparse.Namespace, split: data.Split, standardised: bool, precision: str = "float32"
) -> keras.Model:
    """The untrained net of a robust training. standardised: its first layer standardises colour images."""
    coloured = split.x_train.shape[-1] == 3
    return models.build(
        arguments.model,
        split.x_train.shape[1:],
        len(split.classes),
        preprocessing=data.statistics(split.x_train) if coloured and standardised else None,
        precision=precision,
    )
