"""The nets of robust training, opened for a later stage: images, history, and the model that the weights fit."""

import data
import models
from pipeline import command, run_directory
from train.history import History


def reduced_dataset(arguments):
    """The data set that the arguments name; with `images`, a part of so many training images beside those held out."""
    dataset = command.load_dataset(arguments)
    if arguments.images is None:
        return dataset
    return data.reduced(dataset, arguments.images + arguments.validation, arguments.seed)


def robust(arguments, method):
    """(split, history, run.json) of the finished stage train-<method> of robust training."""
    folder = run_directory.folder(arguments, f"train-{method}")
    made = run_directory.record(folder)
    settings = {name: made["arguments"][name] for name in ("images", "validation")}
    dataset = reduced_dataset(command.narrow(arguments, **settings))
    return data.load_split(folder / "split.h5", dataset), History(folder / "history"), made


def robust_model(arguments, split, standardised, precision="float32"):
    """The untrained net of a robust training; colour images are standardised by its first layer where it says so."""
    coloured = split.x_train.shape[-1] == 3
    return models.build(
        arguments.model,
        split.x_train.shape[1:],
        len(split.classes),
        preprocessing=data.statistics(split.x_train) if coloured and standardised else None,
        precision=precision,
    )
