"""Mine the training history: for each x_validation image the activation of its most confident epoch.

Reads train/, from its checkpoints or, where 1_train.py --mine kept them, from the activations in train/mined/; or reads
a folder of your own checkpoints (--checkpoints). Writes get_ats/targets.h5 and a summary.
"""

from __future__ import annotations  # its types load no library (pipeline/late.py)

try:
    from pipeline import command, run_directory
    from pipeline.progress import Progress
except ModuleNotFoundError as error:  # another Python than that of the environment
    raise SystemExit(f"no module {error.name}: run it with .venv/bin/python (make quick makes it)") from None

import argparse

import keras
import numpy

from dare import get_ats, online_store
import data
from data import files, ledger
import models
from reporting import marks, tables
from studies.dare import mined, trained_cell
from train.checkpoints import Checkpoints
from train.history import History


def main(arguments: argparse.Namespace) -> None:
    stage = run_directory.begin("get_ats", arguments, inputs=[] if arguments.checkpoints else ["train"])
    if stage is None:
        return
    history, model, split, store = own(arguments) if arguments.checkpoints else trained(arguments)
    with Progress("get_ats", arguments.quiet) as progress:
        targets = get_ats.mine_history(
            model,
            history,
            split.x_validation,
            split.y_validation,
            layer=arguments.layer,
            min_gain=arguments.min_gain,
            recorded=not (arguments.evaluate or arguments.checkpoints),
            store=store,
            path=stage.folder / "targets.h5",
            progress=progress,
        )
    of = len(split.y_validation)
    tables.write([mined.summary(targets, of)], stage.folder)
    epochs, counts = numpy.unique(targets.epoch, return_counts=True)
    run_directory.finish(
        stage,
        layer=targets.layer,
        selected=len(targets.index),
        of=of,
        chosen=dict(zip(map(str, epochs), counts.tolist(), strict=True)),
        median_gain=float(numpy.median(targets.gain)),
    )
    if arguments.keep == "mined":
        source = run_directory.folder(arguments, "train")
        with ledger.kept(source):  # so that what train's run.json lists is known to have been removed
            for epoch in set(history.stored) - {history.last}:
                history.drop_weights(epoch)
            files.remove(source / "mined")
    print(
        f"get_ats: {len(targets.index)} of {of} samples ({100 * len(targets.index) / of:.1f} %) had more confidence "
        f"under an older epoch; median gain {numpy.median(targets.gain):.4f}, layer {targets.layer} ({stage.folder})"
    )
    marks.warn("get_ats", [mined.few(len(targets.index), of)])


def trained(arguments: argparse.Namespace) -> tuple[History, keras.Model, data.Split, online_store.Store | None]:
    """What 1_train.py left: (history, final model, split, what was mined while training or None)."""
    folder = run_directory.folder(arguments, "train")
    split = data.load_split(folder / "split.h5", command.load_dataset(arguments))
    history = History(folder / "history")
    store = None
    if (folder / "mined").is_dir() and not arguments.evaluate:
        store = online_store.Store.load(folder / "mined")
        if arguments.layer not in (None, store.layer) and {*get_ats.second_half(history)} <= {*history.stored}:
            store = None
    return history, history.final_model(), split, store


def own(arguments: argparse.Namespace) -> tuple[Checkpoints, keras.Model, data.Split, None]:
    """The user's checkpoints: (checkpoints, final model, split of this seed, None)."""
    split = data.half_split(command.load_dataset(arguments), arguments.seed)
    history = Checkpoints(arguments.checkpoints, arguments.scale)

    def build():
        statistics = data.statistics(split.x_train)
        return models.build(arguments.model, split.x_train.shape[1:], len(split.classes), preprocessing=statistics)

    model = history.final_model(build)
    if arguments.model.partition("@")[0] in models.MODELS and shapes(model) != shapes(build()):
        raise ValueError(
            f"{arguments.checkpoints}: of another architecture than {arguments.model}: take them as a net of your own "
            f"with scripts/dare/0_import.py --name <name> --checkpoints {arguments.checkpoints}"
        )
    return history, model, split, None


def shapes(model: keras.Model) -> list[tuple]:
    """The shapes of a model's weights, without those by which images are standardised."""
    return [
        weight.shape for layer in model.layers if "Normalization" != type(layer).__name__ for weight in layer.weights
    ]


def stages(arguments: argparse.Namespace) -> list[str]:
    """The stages that these arguments ask for."""
    return ["get_ats"]


def options() -> command.Parser:
    """The parser of the options."""
    parser = trained_cell.parser(__doc__)
    parser.add_argument("--layer", help="the regression layer (default: the last convolution's output)")
    share = command.real(least=0, most=1)
    parser.add_argument("--min-gain", type=share, default=0.0, help="smallest gain in p(y|x) that counts")
    parser.add_argument("--evaluate", action="store_true", help="evaluate every checkpoint, not what training recorded")
    parser.add_argument(
        "--checkpoints",
        type=command.path,
        metavar="FOLDER",
        help="mine this folder in place of train/: .weights.h5, .keras or .h5 files with the epoch in their name; "
        "weights alone are of --model; the images are x_validation of --seed, which must not have trained them",
    )
    parser.add_argument(
        "--scale",
        type=command.real(above=0),
        help="largest pixel that whole models among --checkpoints were trained on, as in 255 (default: 1)",
    )
    parser.add_argument(
        "--keep",
        choices=["all", "mined"],
        default="all",
        help="mined: delete all weights but the last epoch's afterwards (the checkpoint and swa controls need them)",
    )
    parser.needs(
        ("--evaluate", "--keep"), lambda arguments: not arguments.checkpoints, "train/, not your own --checkpoints"
    )
    parser.needs(("--scale",), lambda arguments: arguments.checkpoints, "--checkpoints, whose whole models it is of")
    return parser


if __name__ == "__main__":
    command.run(main, options())
