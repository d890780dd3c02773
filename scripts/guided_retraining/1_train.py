"""Join a data set's images, make them grey, divide them into three, and train the study's net on the training part.

Writes <runs>/guided_retraining/<dataset>-<model>/seed<k>/train/: original.weights.h5 and run.json.
"""

from __future__ import annotations  # its types load no library (pipeline/late.py)

try:
    from pipeline import command, run_directory
    from pipeline.progress import Progress
except ModuleNotFoundError as error:  # another Python than that of the environment
    raise SystemExit(f"no module {error.name}: run it with .venv/bin/python (make quick makes it)") from None

import argparse
import dataclasses

from adv import checks, evaluate
from adv.guided import retraining
import data
from data import pooled
import models
from reporting import marks
from studies.estimate import Cost
from studies.guided_retraining import cell
from train import history


def main(arguments: argparse.Namespace) -> None:
    arguments = command.narrow(arguments, model=cell.net_of(arguments))
    uses = {"recipe": cell.recipe_of(arguments), "shares": pooled.SHARES[arguments.dataset]}
    stage = run_directory.begin("train", arguments, uses=uses)
    if stage is None:
        return
    split = cell.split_of(arguments)
    model, recipe = cell.build(arguments, split), cell.recipe_of(arguments)
    with Progress("train", arguments.quiet) as progress:
        retraining.fit(
            model,
            model.get_weights(),
            split.x_train,
            split.y_train,
            recipe=recipe,
            seed=arguments.seed,
            progress=progress,
        )
    history.save_weights(model, stage.folder / "original.weights.h5")
    parts = {"validation": (split.x_validation, split.y_validation), "test": (split.x_test, split.y_test)}
    measures = {part: retraining.measure(model, *images) for part, images in parts.items()}
    answered = evaluate.classes(model, *parts["test"])
    checked = checks.answers(answered, split.y_test, len(split.classes))
    counts = [len(part) for part in (split.x_train, split.x_validation, split.x_test)]
    run_directory.finish(
        stage, identity=models.fingerprint(model), data=split.fingerprint, verified=split.verified, counts=counts,
        measures=measures, parameters=model.count_params(), checks=list(map(dataclasses.asdict, checked)),
    )  # fmt: skip
    print(
        f"train: {' / '.join(map(str, counts))} images, test accuracy {100 * measures['test']['accuracy']:.2f} % "
        f"after {recipe.epochs} epochs ({stage.folder})"
    )
    marks.warn("train", checked)


def stages(arguments: argparse.Namespace) -> list[str]:
    """The stages that these arguments ask for."""
    return ["train"]


def cost(arguments: argparse.Namespace) -> Cost:
    """The Cost of these arguments."""
    whole = arguments.images or sum(data.DATASETS[arguments.dataset].counts)
    trained = whole - sum(round(share * whole) for share in pooled.SHARES[arguments.dataset])
    return Cost(trained * cell.recipe_of(arguments).epochs, 1)


def options() -> command.Parser:
    """The script's argument parser."""
    parser = cell.parser(__doc__, "--dataset mnist --images 5000")
    parser.add_argument("--images", type=command.whole(30), help="take so many of all images (default: all)")
    parser.add_argument(
        "--test-images",
        type=command.whole(3),
        help="test on so many, of those that --images leaves too (default: a share)",
    )
    parser.add_argument("--gray", choices=list(pooled.GREYS), default="standard", help="as-run: red and blue exchanged")
    parser.add_argument("--epochs", type=command.whole(1), help="of every training (default: the study's)")
    coloured = [name for name in cell.NETS if data.DATASETS[name].shape[-1] == 3]
    parser.needs(["--test-images"], lambda arguments: arguments.images is not None, "--images")
    parser.needs(["--gray"], lambda arguments: arguments.dataset in coloured, f"colour images: {', '.join(coloured)}")
    return parser


if __name__ == "__main__":
    command.run(main, options())
