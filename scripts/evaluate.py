"""Evaluate a Keras classifier with AutoAttack: clean and robust accuracy, saturated fraction, checks, a JSON row.

    python scripts/evaluate.py --weights mine.keras --dataset cifar10 --norm linf --epsilon 8/255

Reads a whole Keras model (.keras or .h5) of images in [0, 1] (or 0..255, with --scale 255); a softmax at its end is
taken off. Runs apgd-ce, apgd-t, fab-t and square (version standard) on the test images, each on those that withstood
the ones before it, and writes <out>/<attack>.h5, the predicted class of every image, and <out>/row.json. The same
command continues where a killed one stopped.
"""

try:
    from pipeline import command, progress, provenance
except ModuleNotFoundError as error:  # another Python than that of the environment
    raise SystemExit(f"no module {error.name}: run it with .venv/bin/python (make quick makes it)") from None

import argparse
import fractions
import pathlib

import numpy

from adv import autoattack, evaluation
import data
from data import files
import models
from train.seeds import stream


def main(arguments: argparse.Namespace) -> None:
    model = models.load(arguments.weights, arguments.scale)
    dataset = command.load_dataset(arguments)
    order = stream(arguments.seed, "test images").permutation(len(dataset.x_test))
    rows = numpy.sort(order[: arguments.images])
    out = pathlib.Path(arguments.out or default_folder(arguments))
    with progress.Progress("evaluate", arguments.quiet) as bar:
        result = evaluation.benchmark(
            model,
            dataset.x_test[rows],
            dataset.y_test[rows],
            norm=arguments.norm,
            epsilon=arguments.epsilon,
            version=arguments.version,
            seed=arguments.seed,
            batch_size=arguments.batch_size,
            folder=out,
            progress=bar,
        )
    about = {"weights": str(arguments.weights), "dataset": dataset.name, "images": rows.tolist()}
    files.write_json(out / "row.json", {**about, **result.row(), **provenance.facts()})
    print(result.table())
    print(f"evaluate: robust {100 * result.robust.value:.2f} % ({out / 'row.json'})")


def default_folder(arguments: argparse.Namespace) -> str:
    """<weights>-<norm>-<epsilon>-<version>, and the seed if it is not 0: another run gets another folder."""
    whole = 255 * arguments.epsilon
    size = f"{whole:.0f}-255" if abs(whole - round(whole)) < 1e-9 else f"{arguments.epsilon:g}"
    seed = f"-seed{arguments.seed}" if arguments.seed else ""
    return f"{pathlib.Path(arguments.weights).with_suffix('')}-{arguments.norm}-{size}-{arguments.version}{seed}"


def epsilon(text: str) -> float:
    """An argument's type: a number above 0, also as a fraction ("8/255")."""
    try:
        value = float(fractions.Fraction(text))
    except (ValueError, ArithmeticError):
        value = 0.0
    if not value > 0:
        raise argparse.ArgumentTypeError(f"{text!r} given, expected a number above 0, as 8/255 or 0.5")
    return value


epsilon.metavar = "X"


def options() -> command.Parser:
    """The parser of the options."""
    count = command.whole(1)
    usage = "%(prog)s --weights PATH --dataset NAME [options]"
    parser = command.Parser(description=__doc__, usage=usage)
    parser.add_argument("--weights", type=command.path, required=True, help="a whole Keras model, .keras or .h5")
    known = command.name("data set", data.DATASETS, "folder:")
    parser.add_argument("--dataset", required=True, type=known, help="images")
    parser.add_argument("--norm", choices=("linf", "l2"), default="linf", help="of the perturbation")
    parser.add_argument("--epsilon", type=epsilon, default=8 / 255, help="radius of the ball (default: 8/255)")
    parser.add_argument("--version", choices=autoattack.VERSIONS, default="standard", help="which attacks")
    parser.add_argument("--images", type=count, default=10_000, help="test images attacked")
    parser.add_argument("--batch-size", type=count, default=256, help="images attacked together")
    parser.add_argument("--scale", type=command.real(above=0), help="255 for a net of pixels in 0..255")
    parser.add_argument("--out", type=command.path, help="folder of what is written (default: beside the weights)")
    parser.add_argument("--seed", type=command.whole(0, 2**32 - 1), default=0, help="of images and attacks")
    command.add_data(parser)
    command.add_running(parser)
    return parser


if __name__ == "__main__":
    command.run(main, options())
