"""Harden the trained model by every strategy, with its weights and the effort followed, and attack it on the way.

Reads train/ and get_ats/; writes harden-<strategy>/unit-<learning rate>-<repeat>.json as it goes (a killed run
continues at the first missing one) and row.json, and harden/ with tables and figure of this seed. All strategies
start from the same model and tune on the same x_validation samples, those that mining selected. Some x_validation
images are held out of them and choose the learning rates; x_test is only measured.
"""

from __future__ import annotations  # its types load no library (pipeline/late.py)

try:
    from pipeline import command, run_directory
    from pipeline.progress import Progress
except ModuleNotFoundError as error:  # another Python than that of the environment
    raise SystemExit(f"no module {error.name}: run it with .venv/bin/python (make quick makes it)") from None


import argparse
import pathlib

from adv import probes, scoring
from dare import controls
from dare.hardening import hardener, strategies
from data import files
from reporting import figures
from reporting import row as result_row
from studies import seed_report
from studies.dare import trained_cell
from studies.hardening import cell as hardening_cell
from studies.hardening import figures as hardening_figures
from studies.hardening import row as hardening_row
from studies.hardening import tables as hardening_tables
from train import seeds

TUNING = ("learning_rates", "bp_epochs", "points", "steps", "batch_size", "samples", "repeats")


def main(arguments: argparse.Namespace) -> None:
    study = None
    for name in chosen_strategies(arguments):
        settings = command.narrow(arguments, strategy=name)
        if name in hardening_row.SINGLE:
            settings = command.narrow(settings, **dict.fromkeys(TUNING))
        inputs = ["train", "get_ats", *(["harden-original"] if name != "original" else [])]
        stage = run_directory.begin(f"harden-{name}", settings, inputs=inputs, uses=uses(arguments, name))
        if stage is None:
            continue
        study = study or Study(arguments)
        trajectories, preparation = study.of(name, stage.folder)
        row = hardening_row.make(arguments, study.cell, stage, name, trajectories, preparation=preparation)
        result_row.save(row, stage.folder / "row.json")
        facts = {"measures": {measure: values["value"] for measure, values in row["measures"].items()}}
        run_directory.finish(stage, **facts)
        summary = ", ".join(
            f"{measure} {'-' if value is None else f'{value:.4g}'}" for measure, value in facts["measures"].items()
        )
        saturated = result_row.saturated(row["checks"])
        summary += "" if saturated is None else f", saturated {saturated:g} %"
        print(f"harden {name}: {summary} ({stage.folder})")
    rows, folder = seed_report.write(arguments, "harden", hardening_tables.tables)
    figures.save(hardening_figures.trajectories(rows), folder / "trajectories.png")


def uses(arguments: argparse.Namespace, name: str) -> dict:
    """The strategy or control, and what attacks it."""
    strategy = strategies.STRATEGIES.get(name) or controls.CONTROLS.get(name)
    attacks = probes.probes(arguments.attack, steps=arguments.attack_steps, restarts=arguments.restarts)
    shape = trained_cell.shape_of(arguments)
    return {
        **({} if strategy is None else {"strategy": strategy}),
        "attacks": {str(place): attack for place, attack in enumerate(attacks)},
        "epsilons": scoring.EPSILONS[shape[-1]] if shape else scoring.EPSILONS,
    }


class Study:
    """The cell and its hardener, for all strategies."""

    def __init__(self, arguments):
        self.arguments, self.cell = arguments, hardening_cell.Cell(arguments)
        cell = self.cell
        self.hardener = hardener.Hardener(cell.samples, cell.accuracies, epsilon=cell.epsilons["near"])

    def of(self, name: str, folder: pathlib.Path) -> tuple[list[dict], float | None]:
        """(the trajectories of a strategy or of a single model, passes a sample that its targets took)."""
        if name in strategies.STRATEGIES:
            strategy = strategies.STRATEGIES[name]
            return self.tuned(name, strategy, folder), self.hardener.targets(strategy.targets)[1]
        weights = self.cell.averaged() if name == "swa" else None
        return [self.trajectory(None, 0, [self.hardener.standing(weights)])], None

    def tuned(self, name: str, strategy: strategies.Strategy, folder: pathlib.Path) -> list[dict]:
        """The trajectories of all learning rates and repeats, a file each; finished ones are read back."""
        arguments = self.arguments
        units = [(rate, repeat) for rate in arguments.learning_rates for repeat in range(arguments.repeats)]
        trajectories = []
        with Progress(f"harden {name}", arguments.quiet) as progress:
            for rate, repeat in units:
                path = folder / f"unit-{rate:g}-{repeat}.json"
                if not path.is_file():
                    files.write_sealed(path, self.unit(strategy, rate, repeat))
                trajectories.append(files.read_sealed(path))
                progress(len(trajectories), len(units), f"learning rate {rate:g}")
        return trajectories

    def unit(self, strategy: strategies.Strategy, rate: float, repeat: int) -> dict:
        """One trajectory, from the original's point on."""
        arguments = self.arguments
        original = result_row.load(run_directory.folder(arguments, "harden-original") / "row.json")
        points, seconds = self.hardener.trajectory(
            strategy,
            learning_rate=rate,
            steps=arguments.steps,
            batch_size=arguments.batch_size,
            bp_epochs=arguments.bp_epochs,
            points=arguments.points,
            seed=seeds.of_repeat(arguments.seed, repeat),
        )
        points = [original["trajectories"][0]["points"][0], *points]
        return self.trajectory(rate, repeat, points) | {"train_s": round(seconds, 2)}

    def trajectory(self, rate: float | None, repeat: int, points: list[dict]) -> dict:
        """One trajectory with the facts that identify it, as the row keeps it."""
        samples = len(self.cell.samples.rows)
        facts = {"seed": self.arguments.seed, "samples": samples, "learning_rate": rate, "repeat": repeat}
        return facts | {"points": points}


def chosen_strategies(arguments: argparse.Namespace) -> list[str]:
    """The original, and the strategies that were asked for."""
    return ["original", *(name for name in arguments.strategy if name != "original")]


def stages(arguments: argparse.Namespace) -> list[str]:
    """The stages that these arguments ask for."""
    return [f"harden-{name}" for name in chosen_strategies(arguments)]


def options() -> command.Parser:
    """The parser of the options."""
    parser = trained_cell.parser(__doc__, "--strategy regression swa")
    known = [*strategies.STRATEGIES, "swa"]
    count, above, ball = command.whole(1), command.real(above=0), command.real(above=0, most=1)
    parser.add_argument(
        "--strategy",
        nargs="+",
        type=command.name("strategy", known),
        default=known,
        help="what to tune by, swa: not tuned",
    )
    parser.add_argument(
        "--epsilon", type=ball, help="Linf radius, in training and attack (default: 0.02; colour 2/255)"
    )
    parser.add_argument(
        "--far-epsilon", type=ball, help="a larger radius to attack within (default: 0.1; colour 8/255)"
    )
    parser.add_argument("--steps", type=count, default=3, help="gradient steps of a training perturbation")
    parser.add_argument("--learning-rates", nargs="+", type=above, default=[1e-4, 3e-4, 1e-3], help="Adam's")
    parser.add_argument("--bp-epochs", type=above, default=4.0, help="budget: passes as a share of the samples")
    parser.add_argument(
        "--points", type=count, default=5, help="measurements, each at twice the effort of the one before"
    )
    parser.add_argument("--batch-size", type=count, default=128, help="samples an update")
    parser.add_argument(
        "--samples", type=count, help="tune on so many of the samples that mining selected (default: all)"
    )
    parser.add_argument("--repeats", type=count, default=1, help="tunings a learning rate, from different batches")
    parser.add_argument("--images", type=count, default=1000, help="x_test images that are attacked")
    parser.add_argument(
        "--held-out", type=count, default=2000, help="x_validation images to choose with (at most a quarter of them)"
    )
    parser.add_argument("--choice-images", type=count, default=500, help="how many of these are attacked")
    known = command.name("attack", probes.PROBES)
    parser.add_argument(
        "--attack",
        nargs="+",
        type=known,
        default=["fgsm", "pgd-restarts", "apgd-t"],
        help="each on what the earlier ones left; one has to be apgd-t",
    )
    parser.add_argument("--attack-steps", type=count, help="instead of each attack's own number of steps")
    parser.add_argument("--restarts", type=count, default=3, help="runs of an attack that starts at random")
    parser.add_argument("--swa-images", type=count, default=5000, help="images that re-estimate swa's statistics")
    tuned = [f"--{name.replace('_', '-')}" for name in TUNING]
    parser.needs(tuned, lambda arguments: {*arguments.strategy} - {*hardening_row.SINGLE}, "a --strategy that is tuned")
    parser.needs(["--swa-images"], lambda arguments: "swa" in arguments.strategy, "--strategy swa")
    random = {name for name, attack in probes.PROBES.items() if probes.draws(attack)}
    parser.needs(
        ["--restarts"], lambda arguments: random & {*arguments.attack}, "an --attack that draws random numbers"
    )
    stepped = {name for name, attack in probes.PROBES.items() if hasattr(attack, "steps")}
    parser.needs(["--attack-steps"], lambda arguments: stepped & {*arguments.attack}, "an --attack of several steps")
    return parser


if __name__ == "__main__":
    command.run(main, options())
