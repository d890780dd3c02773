"""Take a net that was trained elsewhere, and its checkpoints, as a cell on which all later stages run.

Reads a whole Keras model (--weights), a folder of checkpoints of its training (--checkpoints), or both; writes
<runs>/dare/<dataset>-<name>/seed<k>/train/ as 1_train.py does: split.h5, history/ and metrics.csv. Later stages take
the name as their --model. Epochs count 1, 2, ... in the order of the checkpoints; the model of --weights is the last.
Mining needs older checkpoints; a model alone can be attacked, fine-tuned on adversarial images, and tested.
"""

from __future__ import annotations  # its types load no library (pipeline/late.py)

try:
    from pipeline import command, run_directory
    from pipeline.progress import Progress
except ModuleNotFoundError as error:  # another Python than that of the environment
    raise SystemExit(f"no module {error.name}: run it with .venv/bin/python (make quick makes it)") from None

import argparse
from collections.abc import Callable
import pathlib
import re

import keras

from adv import checks
import data
from data import files
import models
from models import contract
from reporting import marks
from studies.dare import trained_cell
from train import checkpoints
from train.checkpoints import Checkpoints
from train.history import History, confidence


def main(arguments: argparse.Namespace) -> None:
    folder = checkpoints.Checkpoints(arguments.checkpoints, arguments.scale) if arguments.checkpoints else None
    paths = [*(folder.files.values() if folder else ()), *([arguments.weights] if arguments.weights else ())]
    digests = {pathlib.Path(path).name: files.digest(path) for path in paths}
    base = {
        name: value and pathlib.Path(value).resolve().name
        for name, value in (("weights", arguments.weights), ("checkpoints", arguments.checkpoints))
    }
    stage = run_directory.begin("train", command.narrow(arguments, **base), uses={"files": digests})
    if stage is None:
        return
    split = data.half_split(command.load_dataset(arguments), arguments.seed)
    net = models.load(arguments.weights, arguments.scale) if arguments.weights else folder.final_model()
    contract.check(net, split.x_train[:1], split.y_train[:1])
    split.save(stage.folder / "split.h5")
    history = History(stage.folder / "history")
    sources = epochs_of(net, folder, arguments.weights)
    history.claim({"imported": True, "seed": arguments.seed, "epochs": len(sources), "data": split.fingerprint})
    with Progress("import", arguments.quiet) as progress:
        for epoch, (name, load) in enumerate(sources, start=1):
            if epoch > history.last:
                load()
                record(history, net, epoch, split)
            progress(epoch, len(sources), name)
    trained_cell.write_metrics(history, stage.folder / "metrics.csv")
    _, predicted, metrics = history.record(history.last)
    run_directory.finish(stage, parameters=net.count_params(), verified=split.verified, metrics=metrics)
    print(
        f"import: {len(sources)} {'epoch' if len(sources) == 1 else 'epochs'}, validation accuracy "
        f"{100 * metrics['validation_accuracy']:.2f} %, {net.count_params():,} parameters ({stage.folder})"
    )
    marks.warn("import", checks.answers(predicted, split.y_validation, len(split.classes)))


def epochs_of(
    net: keras.Model, folder: Checkpoints | None, weights: str | pathlib.Path | None
) -> list[tuple[str, Callable]]:
    """[(file name, function that loads it into the net)] of every epoch, the model of `weights` last.

    Where the last checkpoint is that model, it is not counted twice.
    """
    final = net.get_weights()
    sources = []
    for epoch in folder.epochs if folder else ():
        sources.append((folder.files[epoch].name, lambda epoch=epoch: folder.load_weights(net, epoch)))
    if weights:
        if sources:
            sources[-1][1]()
            check_alike(net, folder)
            if all((new == old).all() for new, old in zip(net.get_weights(), final, strict=True)):
                sources.pop()
        sources.append((pathlib.Path(weights).name, lambda: net.set_weights(final)))
    return sources


def check_alike(net: keras.Model, folder: Checkpoints) -> None:
    """Raise ValueError where the last checkpoint, loaded into the net, is a whole model of other layers or settings."""
    path = folder.files[folder.last]
    if checkpoints.is_whole_model(path) and models.fingerprint(models.load(path, folder.scale)) != models.fingerprint(
        net
    ):
        raise ValueError(f"{path}: has other layers or settings than {net.name} of --weights: another architecture")


def record(history: History, net: keras.Model, epoch: int, split: data.Split) -> None:
    """Add an epoch to the history, with loss and accuracy on both halves."""
    metrics = {"epoch": epoch}
    for prefix, x, y in (("", split.x_train, split.y_train), ("validation_", split.x_validation, split.y_validation)):
        log_probability, predicted = confidence(net, x, y)
        metrics[f"{prefix}loss"] = -float(log_probability.mean(dtype="float64"))
        metrics[f"{prefix}accuracy"] = float((predicted == y).mean())
    history.save(net, epoch, log_probability, predicted, metrics=metrics)


def stages(arguments: argparse.Namespace) -> list[str]:
    """The stages that these arguments ask for."""
    return ["train"]


def own_name(text: str) -> str:
    """An argument's type: a name for the net that none of the catalogue has."""
    if not re.fullmatch(command.OWN, text) or text in models.MODELS:
        raise argparse.ArgumentTypeError(
            f"{text!r} given, expected letters, digits, '_', '.' and '-', and no model of the catalogue"
        )
    return text


own_name.metavar = "NAME"


def options() -> command.Parser:
    """The parser of the options."""
    parser = command.parser(
        __doc__,
        study="dare",
        usage="%(prog)s --name NAME [--weights PATH] [--checkpoints FOLDER] [options]",
        example="--name mynet --dataset mnist --weights mine.keras --checkpoints checkpoints",
        add_model=False,
    )
    parser.add_argument(
        "--name", dest="model", required=True, type=own_name, help="what the net is called from here on"
    )
    parser.add_argument("--weights", type=command.path, help="the trained net, a whole Keras model (.keras or .h5)")
    parser.add_argument(
        "--checkpoints",
        type=command.path,
        metavar="FOLDER",
        help="epochs of its training: .weights.h5, .keras or .h5 files with the epoch in their name. The images of "
        "--seed's x_validation, by which mining chooses, must not have trained them",
    )
    parser.add_argument(
        "--scale",
        type=command.real(above=0),
        help="largest pixel that whole models were trained on, as in 255 (default: 1)",
    )
    parser.require(
        lambda arguments: arguments.weights or arguments.checkpoints, "give --weights, --checkpoints, or both"
    )
    return parser


if __name__ == "__main__":
    command.run(main, options(), follower="2_slice")
