"""Put your own unlabelled images in the order in which to label them, by a metric of guided retraining.

    python scripts/guided_retraining/rank.py --weights mine.keras --images folder:new
    python scripts/guided_retraining/rank.py --weights mine.keras --images folder:new@32x32 --dataset cifar10

Reads a whole Keras model (.keras or .h5) of images in [0, 1] (or 0..255, with --scale 255), whose final softmax is
removed, and all images below the folder. lsa and dsa compare with the training images of --dataset. Writes a CSV of
place, file, score and predicted class, most useful first.
"""

try:
    from pipeline import command
except ModuleNotFoundError as error:  # another Python than that of the environment
    raise SystemExit(f"no module {error.name}: run it with .venv/bin/python (make quick makes it)") from None

import argparse
import pathlib

from adv import guided, search
from adv.guided import ordering
import data
from data import files, folder
import models

COLUMNS = ("place", "file", "score", "predicted")


def main(arguments: argparse.Namespace) -> None:
    metric = arguments.metric or ("dsa" if arguments.dataset else "deepgini")
    path, size = arguments.images
    model = models.load(arguments.weights, arguments.scale)
    images, names = folder.read_unlabelled(path, size=size, channels=model.inputs[0].shape[-1])
    x_train, y_train = None, None
    if arguments.dataset:
        dataset = command.load_dataset(arguments)
        x_train, y_train = dataset.x_train, dataset.y_train
    order, scores = guided.rank(model, x_train, y_train, images, metric, seed=arguments.seed)
    predicted = search.classes(model, data.to_unit(images))
    out = pathlib.Path(arguments.out or f"{path.name}-{metric}.csv")
    rows = [
        {"place": place, "file": names[row], "score": repr(float(scores[row])), "predicted": int(predicted[row])}
        for place, row in enumerate(order, start=1)
    ]
    files.write_csv(out, COLUMNS, rows)
    print(f"rank: {len(names)} images by {metric}, {ordering.ties(scores)} ties, first {names[order[0]]} ({out})")


def images(text: str) -> tuple:
    """An argument's type: folder:<path> or folder:<path>@<height>x<width>, as (Path, size)."""
    kind, _, where = text.partition(":")
    if kind != "folder":
        raise argparse.ArgumentTypeError(f"{text!r} given, expected folder:<path> or folder:<path>@<height>x<width>")
    try:
        return folder.parse(where)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


images.metavar = "FOLDER"


def options() -> command.Parser:
    """The parser of the options."""
    parser = command.Parser(description=__doc__, usage="%(prog)s --weights PATH --images folder:PATH [options]")
    parser.add_argument("--weights", type=command.path, required=True, help="a whole Keras model, .keras or .h5")
    parser.add_argument("--images", type=images, required=True, help="images below it; @32x32 resizes them")
    known = command.name("data set", data.DATASETS, "folder:")
    parser.add_argument("--dataset", type=known, help="training images, for lsa and dsa")
    labelled = {name: definition for name, definition in ordering.METRICS.items() if not definition.by_fol}
    metric = command.name("metric", labelled)
    parser.add_argument("--metric", type=metric, help="what orders (default: dsa with --dataset, else deepgini)")
    parser.add_argument("--scale", type=command.real(above=0), help="255 for a net of pixels in 0..255")
    parser.add_argument("--out", type=command.path, help="the CSV file (default: <folder>-<metric>.csv)")
    parser.add_argument("--seed", type=command.whole(0, 2**32 - 1), default=0, help="of the random order")
    command.add_data(parser)
    command.add_running(parser)
    return parser


if __name__ == "__main__":
    command.run(main, options())
