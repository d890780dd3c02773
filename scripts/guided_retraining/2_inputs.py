"""Make the adversarial inputs on the original model: of training images to retrain on, of test images to measure by.

Reads train/; writes inputs/inputs.h5. With --export the arrays are also written as .npy files into a folder, as the
study's package keeps them.
"""

from __future__ import annotations  # its types load no library (pipeline/late.py)

try:
    from pipeline import command, run_directory
    from pipeline.progress import Progress
except ModuleNotFoundError as error:  # another Python than that of the environment
    raise SystemExit(f"no module {error.name}: run it with .venv/bin/python (make quick makes it)") from None

import argparse
import pathlib

import numpy

from adv import evaluate
from adv.guided import inputs
import data
from data import files
from studies.guided_retraining import cell as guided_cell

PROFILES = "as-run", "as-named"  # the keys of inputs.PROFILES, which needs foolbox


def main(arguments: argparse.Namespace) -> None:
    arguments = command.narrow(arguments, model=guided_cell.net_of(arguments))
    export, narrowed = arguments.export, command.narrow(arguments, export=None)
    uses = {"attacks": inputs.PROFILES[arguments.profile], "epsilon": inputs.EPSILON}
    stage = run_directory.begin("inputs", narrowed, inputs=["train"], uses=uses)
    if stage is not None:
        make(arguments, stage)
    if export is not None:
        cell = guided_cell.load(arguments)
        write(pathlib.Path(export), cell, guided_cell.inputs(arguments, cell))


def make(arguments: argparse.Namespace, stage: run_directory.Stage) -> None:
    """Attack training and test images, and finish the stage with the inputs."""
    cell = guided_cell.load(arguments)
    split = cell.split
    parts = {name: {} for name in ("images", "labels", "rows", "attack")}
    for place, (part, x, y, count) in enumerate(
        (
            ("train", split.x_train, split.y_train, guided_cell.attacked(arguments, cell)),
            ("test", split.x_test, split.y_test, len(split.y_test)),
        )
    ):
        rows = inputs.choose(min(count, len(y)), len(y), arguments.seed, place)
        with Progress(f"attack {part}", arguments.quiet) as progress:
            images, names = inputs.attack(
                cell.model, x[rows], y[rows], profile=arguments.profile, duplicate_fgsm=arguments.duplicate_fgsm,
                progress=progress,
            )  # fmt: skip
        rows = inputs.duplicated(rows) if arguments.duplicate_fgsm else rows
        for name, values in zip(parts, (images, y[rows], rows, names), strict=True):
            parts[name][part] = values
    adversarial = guided_cell.Inputs(**parts, model=cell.identity, data=split.fingerprint)
    adversarial.save(stage.folder / "inputs.h5")
    correct = evaluate.correct(cell.model, adversarial.images["test"], adversarial.labels["test"])
    shares = {
        name: float(correct[adversarial.attack["test"] == name].mean())
        for name in dict.fromkeys(adversarial.attack["test"])
    }
    run_directory.finish(stage, counts={part: len(labels) for part, labels in adversarial.labels.items()}, right=shares)
    accuracies = ", ".join(f"{name} {100 * value:.1f} %" for name, value in shares.items())
    counts = " and ".join(str(len(labels)) for labels in adversarial.labels.values())
    print(f"inputs: {counts}, original correct: {accuracies} ({stage.folder})")


def write(folder: pathlib.Path, cell: guided_cell.Cell, adversarial: guided_cell.Inputs) -> None:
    """Every array as <name>.npy: images float32 (n, H, W, 1) in [0, 1], labels int64 (n,)."""
    folder.mkdir(parents=True, exist_ok=True)
    split = cell.split
    arrays = {
        "x_train": data.to_unit(split.x_train), "y_train": split.y_train,
        "x_val": data.to_unit(split.x_validation), "y_val": split.y_validation,
        "x_test": data.to_unit(split.x_test), "y_test": split.y_test,
    }  # fmt: skip
    for part in guided_cell.PARTS:
        arrays |= {f"x_adv_{part}": adversarial.images[part], f"y_adv_{part}": adversarial.labels[part]}
    for name, array in arrays.items():
        with files.atomic(folder / f"{name}.npy") as temporary, open(temporary, "wb") as file:
            numpy.save(file, array)
    print(f"inputs: {len(arrays)} arrays exported ({folder})")


def stages(arguments: argparse.Namespace) -> list[str]:
    """The stages that these arguments ask for."""
    return ["inputs"]


def options() -> command.Parser:
    """The script's argument parser."""
    parser = guided_cell.parser(__doc__, "--dataset mnist --profile as-named")
    parser.add_argument("--profile", choices=PROFILES, default="as-run", help="which three attacks")
    parser.add_argument(
        "--duplicate-fgsm", action="store_true", help="a third overwritten by another, as once published"
    )
    parser.add_argument("--export", type=command.path, help="also write the arrays as .npy files into this folder")
    return parser


if __name__ == "__main__":
    command.run(main, options())
