"""RobOT: retrain on the training images and on attacked ones that a selector takes by their first-order loss.

Reads train/; writes robot/inputs.h5 (the training images that FGSM or PGD turns, and the attacked test images),
robot/<selector>-<n>.json as each model is done, and at the end robot/row-robot-<selector>.json. Killed, it continues
with the next model.
"""

try:
    from pipeline import command, run_directory
    from pipeline.progress import Progress
except ModuleNotFoundError as error:  # another Python than that of the environment
    raise SystemExit(f"no module {error.name}: run it with .venv/bin/python (make quick makes it)") from None

import argparse
import dataclasses

from adv.guided import retraining, robot, selection
from data import files
from studies.guided_retraining import attacked as guided_attacked
from studies.guided_retraining import cell as guided_cell
from studies.guided_retraining import robot as guided_robot
from studies.guided_retraining import row as guided_row

SELECTORS = "be-st", "km-st", "km-st-released", "gini", "random"  # selection.SELECTORS, which needs NumPy


def main(arguments: argparse.Namespace) -> None:
    arguments = command.narrow(arguments, model=guided_cell.net_of(arguments))
    recipe = robot.RECIPES[arguments.dataset]
    if arguments.epochs is not None:
        recipe = dataclasses.replace(recipe, epochs=arguments.epochs)
    epsilon = arguments.epsilon or robot.EPSILONS[arguments.dataset]
    percent = arguments.percent or list(robot.PERCENT[arguments.dataset])
    uses = {"recipe": recipe, "attacks": robot.ATTACKS, "epsilon": epsilon, "percent": percent}
    stage = run_directory.begin("robot", arguments, inputs=["train"], uses=uses)
    if stage is None:
        return
    cell = guided_cell.load(arguments)
    inputs = guided_robot.open_inputs(stage.folder / "inputs.h5", cell, epsilon=epsilon, seed=arguments.seed)
    pool_scores, seconds = guided_robot.evidence(cell, inputs, epsilon=epsilon)
    pool, counts = len(inputs.labels["train"]), guided_robot.counts(cell, inputs, percent)
    sections = min(selection.SECTIONS, pool)
    original = retraining.measure_parts(cell.model, guided_robot.tests_of(cell, inputs))
    jobs = [(selector, n) for n in counts for selector in arguments.selector]
    how = {"recipe": recipe, "seed": arguments.seed, "sections": sections}
    with Progress("robot", arguments.quiet) as progress:
        for done, (selector, n) in enumerate(jobs, start=1):
            path = stage.folder / f"{selector}-{n}.json"
            if not path.is_file():
                guided_robot.retrain(cell, inputs, pool_scores, selector, n, path, epsilon=epsilon, **how)
            progress(done, len(jobs), f"{selector} {n}")
    robust = attacked(arguments, stage, cell, inputs, pool_scores, counts, how) if arguments.attack_images else {}
    for selector in arguments.selector:
        curve = [files.read_sealed(stage.folder / f"{selector}-{n}.json") for n in counts]
        settings = {"epsilon": epsilon, "recipe": recipe, "pool": pool, "seconds": round(seconds, 2)}
        settings |= {"robust": robust.get(selector), "anchor": robust.get("original")}
        row = guided_row.write_robot(arguments, stage, selector, original, curve, **settings)
        best = row["measures"]["best"]["value"]
        anew = row["measures"]["anew"]["value"]
        print(f"robot {selector}: best {best:.2f} % of attacked test images, {anew:.2f} % of those attacked anew")
    run_directory.finish(stage, original=original, pool=pool, counts=counts, sections=sections)
    print(f"robot: original {100 * original['adversarial']['accuracy']:.2f} %, pool {pool} ({stage.folder})")


def attacked(
    arguments: argparse.Namespace,
    stage: run_directory.Stage,
    cell: guided_cell.Cell,
    inputs: guided_cell.Inputs,
    pool_scores: dict,
    counts: list[int],
    how: dict,
) -> dict:
    """AutoAttack on the original model and on the best model of every selector, trained again: selector -> result."""
    clean, results = guided_robot.tests_of(cell, inputs)["clean"], {}
    for name in ("original", *arguments.selector):
        path = stage.folder / "attacked" / f"{name}.json"
        if not path.is_file():
            cell.model.set_weights(cell.original)
            if name != "original":
                measured = {n: files.read_sealed(stage.folder / f"{name}-{n}.json") for n in counts}
                best = max(counts, key=lambda n: measured[n]["adversarial"]["accuracy"])
                guided_robot.fit(cell, inputs, pool_scores, name, best, **how)
        settings = {"images": arguments.attack_images, "epsilon": arguments.attack_epsilon, "seed": arguments.seed}
        with Progress(f"attack {name}", arguments.quiet) as progress:
            results[name] = guided_attacked.autoattack(cell.model, *clean, path, **settings, progress=progress)
    return results


def stages(arguments: argparse.Namespace) -> list[str]:
    """The stages that these arguments ask for."""
    return ["robot"]


def options() -> command.Parser:
    """The script's argument parser."""
    parser = guided_cell.parser(__doc__, "--dataset mnist --percent 5 20")
    selector = command.name("selector", dict.fromkeys(SELECTORS))
    parser.add_argument("--selector", nargs="+", type=selector, default=list(SELECTORS), help="what takes the inputs")
    percentage = command.real(above=0)
    parser.add_argument(
        "--percent", nargs="+", type=percentage, help="selected, of training images (default: published)"
    )
    parser.add_argument("--epsilon", type=percentage, help="of the attacks, Linf (default: published)")
    parser.add_argument("--epochs", type=command.whole(1), help="of every retraining (default: published)")
    guided_cell.add_attack(parser)
    return parser


if __name__ == "__main__":
    command.run(main, options())
