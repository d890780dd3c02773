"""Attack every model that the other studies made of a cell, each attack on all images, and divide the result by class.

Reads <runs>/dare/ and <runs>/robust_training/ (whatever is finished); writes <runs>/classwise/<dataset>-<model>/
seed<k>/attack-<method>/: flags.h5, with the classes named under attack, and row.json.
"""

try:
    from pipeline import command, run_directory
except ModuleNotFoundError as error:  # another Python than that of the environment
    raise SystemExit(f"no module {error.name}: run it with .venv/bin/python (make quick makes it)") from None

import argparse

from studies.classwise import attack, models_to_attack


def main(arguments: argparse.Namespace) -> None:
    contestants = {contestant.method: contestant for contestant in models_to_attack.find(arguments)}
    unknown = [name for name in arguments.method or [] if name not in contestants]
    if unknown:
        raise ValueError(f"no trained model {', '.join(unknown)} in this cell, expected of {', '.join(contestants)}")
    for name in arguments.method or contestants:
        contestant = contestants[name]
        epsilon = arguments.epsilon or contestant.epsilon
        uses = attack.uses(arguments, radius=epsilon)
        narrowed = command.narrow(arguments, method=name, of=contestant.of)
        stage = run_directory.begin(f"attack-{name}", narrowed, inputs=contestant.stages, uses=uses)
        if stage is None:
            continue
        model, split = contestant.open()
        about = {"method": name, "title": contestant.title, "role": contestant.role, "hyperparameters": {}}
        how = {"epsilon": epsilon, "reach_images": arguments.reach_images}
        attack.score(arguments, stage, model, split, about=about, details={"of": contestant.of}, **how)


def stages(arguments: argparse.Namespace) -> list[str]:
    """The stages that these arguments ask for, of what has been trained so far."""
    return [
        f"attack-{name}"
        for name in arguments.method or [contestant.method for contestant in models_to_attack.find(arguments)]
    ]


def options() -> command.Parser:
    """The script's argument parser."""
    parser = command.parser(
        __doc__,
        study="classwise",
        example="--dataset fashion_mnist --model small_cnn@0.5 --test-images 500",
    )
    attack.add_options(parser)
    parser.add_argument("--method", nargs="+", metavar="NAME", help="models to attack (default: every one of the cell)")
    parser.add_argument(
        "--reach-images", type=command.whole(0), default=300, help="of the attacked images, attacked into every class"
    )
    return parser


if __name__ == "__main__":
    command.run(main, options())
