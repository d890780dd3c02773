"""Slice the trained model: which connections matter for each class.

Reads train/; writes slice/slice.h5. Layers to slice: the table at the top of dare/nnslicer.py.
"""

try:
    from pipeline import command, run_directory
    from pipeline.progress import Progress
except ModuleNotFoundError as error:  # another Python than that of the environment
    raise SystemExit(f"no module {error.name}: run it with .venv/bin/python (make quick makes it)") from None

import argparse

from dare import nnslicer
from studies.dare import trained_cell


def main(arguments: argparse.Namespace) -> None:
    layers = nnslicer.LAYERS.get(arguments.model, nnslicer.LAYERS.get(arguments.model.partition("@")[0]))
    stage = run_directory.begin("slice", arguments, inputs=["train"], uses={"layers": layers})
    if stage is None:
        return
    cell = trained_cell.load(arguments)
    with Progress("slice", arguments.quiet) as progress:
        model_slice = nnslicer.slice_model(
            cell.model,
            cell.split.x_train,
            cell.split.y_train,
            per=arguments.per,
            rule=arguments.rule,
            theta=arguments.theta,
            representative=arguments.representative,
            layers=layers,
            progress=progress,
        )
    model_slice.save(stage.folder / "slice.h5")
    frozen = model_slice.frozen_share()
    run_directory.finish(stage, frozen_share=frozen, kept_share=model_slice.kept_share())
    shares = ", ".join(f"{layer} {100 * share['intersection']:.0f}" for layer, share in frozen.items())
    print(f"slice: % of connections outside the classes' intersection: {shares} ({stage.folder})")


def stages(arguments: argparse.Namespace) -> list[str]:
    """The stages that these arguments ask for."""
    return ["slice"]


def options() -> command.Parser:
    """The parser of the options."""
    parser = trained_cell.parser(__doc__)
    share = command.real(above=0, most=1)
    parser.add_argument("--per", type=share, default=0.95, help="kept share of each neuron's incoming connections")
    parser.add_argument("--rule", choices=["dare", "nnslicer"], default="dare", help="how connections are cut")
    parser.add_argument("--theta", type=command.real(least=0), help="tolerance of rule nnslicer")
    parser.add_argument("--representative", choices=["mean", "first"], default="mean", help="what stands for a class")
    parser.needs(["--theta"], lambda arguments: arguments.rule == "nnslicer", "--rule nnslicer")
    parser.needs(["--per"], lambda arguments: arguments.rule == "dare", "--rule dare")
    return parser


if __name__ == "__main__":
    command.run(main, options())
