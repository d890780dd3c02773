"""Train a source model on half of the training set and keep every epoch.

Writes <runs>/dare/<dataset>-<model>/seed<k>/train/: split.h5, history/ and metrics.csv; with --mine also mined/, from
which 3_get_ats.py makes the same targets without any checkpoint (--mine --keep last).
"""

from __future__ import annotations  # its types load no library (pipeline/late.py)

try:
    from pipeline import command, run_directory
    from pipeline.progress import Progress
except ModuleNotFoundError as error:  # another Python than that of the environment
    raise SystemExit(f"no module {error.name}: run it with .venv/bin/python (make quick makes it)") from None

import argparse
import dataclasses
import pathlib
import shutil

import keras

from adv import checks
from dare import online
import data
import models
from reporting import marks
from studies.dare import trained_cell
from studies.estimate import Cost, half
from train import params, tensorboard
from train.fit import KEEP, fit
from train.history import History
from train.robust.average import Ema


def main(arguments: argparse.Namespace) -> None:
    params.recipe(arguments.model)  # refuses a model without one before anything is made
    log = tensorboard.logger(run_directory.folder(arguments, "tensorboard")) if arguments.tensorboard else None
    precision = None if arguments.precision == "float32" else arguments.precision
    narrowed = command.narrow(arguments, precision=precision, ema_step=arguments.ema_step or None)
    stage = run_directory.begin("train", narrowed, uses=uses(arguments))
    if stage is None:
        return
    split = data.half_split(command.load_dataset(arguments), arguments.seed)
    net = arguments.model, split.x_train.shape[1:], len(split.classes), data.statistics(split.x_train)
    model, twin = models.build(*net), None
    if precision:
        twin = models.build(*net, precision=precision)
    recipe = recipe_of(arguments, split.x_train.shape[1:])
    epochs = arguments.epochs or recipe.epochs
    history = History(stage.folder / "history")
    miner = None
    if arguments.mine is not None:
        held_out = split.x_validation, split.y_validation
        layer = arguments.mine or None
        miner = online.Miner(stage.folder / "mined", model, history, *held_out, epochs=epochs, layer=layer)
    check_disk(stage.folder, model, epochs, arguments.keep, miner, averaged=arguments.ema_step)
    split.save(stage.folder / "split.h5")

    def record(history):
        trained_cell.write_metrics(history, stage.folder / "metrics.csv")
        if log is not None:
            log(history)

    with Progress("train", arguments.quiet) as progress:
        history = fit(
            model,
            split,
            recipe=recipe,
            history=history,
            seed=arguments.seed,
            epochs=epochs,
            keep=arguments.keep,
            twin=twin,
            average=Ema() if arguments.ema_step else None,
            origin=({"precision": precision} if precision else {}) | ({"ema_step": True} if arguments.ema_step else {}),
            progress=progress,
            observe=None if miner is None else miner.observe,
            on_epoch=record,
        )
    trained_cell.write_metrics(history, stage.folder / "metrics.csv")
    _, predicted, metrics = history.record(history.last)
    facts = {"precision": precision} if precision else {}
    run_directory.finish(stage, **facts, parameters=model.count_params(), verified=split.verified, metrics=metrics)
    length = "1 epoch" if history.last == 1 else f"{history.last} epochs"
    print(
        f"train: {length}, validation accuracy {100 * metrics['validation_accuracy']:.2f} %, "
        f"{model.count_params():,} parameters ({stage.folder})"
    )
    marks.warn("train", checks.answers(predicted, split.y_validation, len(split.classes)))


def recipe_of(arguments: argparse.Namespace, shape: tuple | None) -> params.Recipe:
    """The model's recipe for images of this shape, with what the command line changes of it."""
    recipe = params.recipe(arguments.model, shape)
    size = arguments.batch_size or recipe.batch_size
    return dataclasses.replace(recipe, batch_size=size, flip=recipe.flip and not arguments.no_flip)


def uses(arguments: argparse.Namespace) -> dict:
    """The recipe and the average; of a folder of images, whose size is not known here, also that of small ones."""
    shape = trained_cell.shape_of(arguments)
    shapes = {"recipe": shape} if shape else {"recipe": None, "recipe of small images": (1, 1)}
    recipes = {name: recipe_of(arguments, shape) for name, shape in shapes.items()}
    entries = {
        name: dataclasses.replace(recipe, epochs=arguments.epochs or recipe.epochs) for name, recipe in recipes.items()
    }
    return entries | ({"average": Ema()} if arguments.ema_step else {})


def check_disk(
    folder: pathlib.Path, model: keras.Model, epochs: int, keep: str, miner: online.Miner | None, *, averaged: bool
) -> None:
    """Refuse to start where the checkpoints (4 bytes a parameter and epoch) and what is mined will not fit."""
    checkpoints = {"all": epochs, "second-half": epochs // 2 + 1, "last": 1}[keep]
    checkpoints = max(checkpoints - len(History(folder / "history").stored), 0)
    copies = checkpoints + 3 + 2 * averaged  # an average is written before the one of the last epoch is deleted
    needed = 4 * model.count_params() * copies + (0 if miner is None else miner.largest_size)
    free = shutil.disk_usage(folder).free
    if needed > free:
        mined = "" if miner is None else " and mining"
        raise OSError(
            f"{folder}: {checkpoints} checkpoints{mined} need {needed / 1e9:.1f} GB, {free / 1e9:.1f} GB are free"
        )


def stages(arguments: argparse.Namespace) -> list[str]:
    """The stages that these arguments ask for."""
    return ["train"]


def cost(arguments: argparse.Namespace) -> Cost:
    """The Cost of these arguments."""
    epochs = arguments.epochs or params.recipe(arguments.model).epochs
    checkpoints = {"all": epochs, "second-half": epochs // 2 + 1, "last": 1}[arguments.keep]
    return Cost(epochs * half(arguments.dataset), checkpoints)


def options() -> command.Parser:
    """The parser of the options."""
    parser = command.parser(
        __doc__,
        study="dare",
        accepted=params.RECIPES,
        example="--dataset fashion_mnist --model alexnet@0.25 --epochs 24",
    )
    parser.add_argument("--epochs", type=command.whole(1), help="length of the whole run (default: the recipe's)")
    parser.add_argument("--batch-size", type=command.whole(1), help="images a step (default: the recipe's)")
    parser.add_argument(
        "--no-flip", action="store_true", help="do not mirror images (sensible for digits; the paper does)"
    )
    parser.add_argument(
        "--precision",
        choices=[*models.PRECISIONS],
        default="float32",
        help="of the training steps, bfloat16 for GPUs; all that is recorded and mined is computed in float32",
    )
    parser.add_argument("--tensorboard", action="store_true", help="also log to <cell>/tensorboard/")
    parser.add_argument("--keep", choices=KEEP, default="all", help="which epochs' weights to keep")
    parser.add_argument(
        "--ema-step",
        action="store_true",
        help="also keep an average of the weights after every step, as in SEAT, for the repair method ema-step",
    )
    parser.add_argument(
        "--mine",
        nargs="?",
        const="",
        metavar="LAYER",
        help="mine while training, at LAYER (none named: the last convolution's output): 3_get_ats.py then needs no "
        "epoch's weights, so --keep last will do (but not for the checkpoint and swa controls)",
    )
    return parser


if __name__ == "__main__":
    command.run(main, options())
