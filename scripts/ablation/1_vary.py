"""What moves DARE's scores: one of its choices changed at a time, each beside weight noise of the same size.

Reads train/, slice/, get_ats/ and generate_adv-*/; writes vary/unit-*.json as it goes (a killed run continues
at the first missing one) and a row a setting, which 8_tables.py collects.
"""

from __future__ import annotations  # its types load no library (pipeline/late.py)

try:
    from pipeline import command, lineage, run_directory
    from pipeline.progress import Progress
except ModuleNotFoundError as error:  # another Python than that of the environment
    raise SystemExit(f"no module {error.name}: run it with .venv/bin/python (make quick makes it)") from None

import argparse
from typing import Any

import numpy

from adv import evaluate
from dare import ablation, controls
from dare import tuner as tuners
from dare.targets import Targets
from dare.variants import Variant
from data import files
import models
from reporting import measures as of_measures
from reporting import row
from studies.ablation import tables
from studies.dare import mined, trained_cell
from train import diverged


def main(arguments: argparse.Namespace) -> None:
    uses = {"setting": ablation.BASE, "levels": {factor: ablation.LEVELS.get(factor) for factor in arguments.factor}}
    stage = run_directory.begin("vary", arguments, inputs=inputs(arguments), uses=uses)
    if stage is None:
        return
    variation = Variation(arguments)
    settings = ablation.settings(variation.cell.model, arguments.factor)
    units = {}
    with Progress("vary", arguments.quiet) as progress:
        for factor, level, variant in settings:
            for repeat in range(arguments.repeats):
                path = stage.folder / f"unit-{factor}-{level}-{repeat}.json"
                if not path.is_file():
                    files.write_sealed(path, variation.unit(variant, repeat))
                units.setdefault((factor, level), []).append(files.read_sealed(path))
                progress(sum(map(len, units.values())), len(settings) * arguments.repeats, f"{factor} {level}")
    for factor, level, variant in settings:
        save_row(arguments, variation, stage, factor, level, variant, units[factor, level])
    run_directory.finish(stage, settings=len(settings), repeats=arguments.repeats)
    print(f"vary: {len(settings)} settings x {arguments.repeats} repeats ({stage.folder})")


def inputs(arguments: argparse.Namespace) -> list[str]:
    """The stages that are read."""
    return ["train", "slice", "get_ats", *(f"generate_adv-{name}" for name in arguments.attack)]


class Variation:
    """The cell, read once, and its adversarial sets."""

    def __init__(self, arguments):
        self.cell = trained_cell.load(arguments)
        self.sets = trained_cell.adversarial_sets(arguments, self.cell, arguments.attack)
        self.tuner = tuners.Tuner(
            model=self.cell.model,
            original=self.cell.original,
            history=self.cell.history,
            targets=trained_cell.targets(arguments, self.cell),
            slices=trained_cell.slices(arguments, self.cell),
            x=self.cell.split.x_validation,
            y=self.cell.split.y_validation,
            score=None,
            seed=arguments.seed,
        )
        self.retargeted = None, None

    def unit(self, variant: Variant, repeat: int) -> dict:
        """Scores of one tuning and of noise of its size, measure -> [correct, images], and the size of the change."""
        targets = self.targets_of(variant, repeat)
        try:
            tuned = self.tuner.tuned(variant, targets, variant.learning_rates[0], repeat)
        except diverged.Diverged:  # the loss is no longer finite: a model that classifies nothing correctly
            tuned = None
        original, seed = self.cell.original, self.tuner.repeat_seed(repeat)
        scores = {"change": None if tuned is None else controls.relative_change(original, tuned)}
        noise = None if tuned is None else controls.weight_noise(original, tuned, seed=seed)
        for prefix, weights in (("", tuned), ("noise-", noise)):
            scores |= {prefix + name: score for name, score in self.scores(weights).items()}
        return scores

    def targets_of(self, variant: Variant, repeat: int) -> Targets:
        """The targets of a setting: kept for the next unit, since the repeats share them unless they are random."""
        key = variant.source, variant.layer, repeat if variant.source == "random" else None
        if self.retargeted[0] != key:
            self.retargeted = key, self.tuner.targets_of(variant, repeat)
        return self.retargeted[1]

    def scores(self, weights: list | None) -> dict[str, list[int]]:
        """measure -> [number correct, number of images] of a weight set; None, or a net without finite logits: 0."""
        split, model = self.cell.split, self.cell.model
        parts = {name: adversarials.parts["test"] for name, adversarials in self.sets.items()}
        probes = {"clean": (split.x_test, split.y_test)}
        probes |= {f"er/{name}": (part.images, part.labels) for name, part in parts.items()}
        try:
            with models.keeping_weights(model, self.cell.original):
                model.set_weights(self.cell.original if weights is None else weights)
                correct = {name: int(evaluate.correct(model, x, y).sum()) for name, (x, y) in probes.items()}
        except models.NonFiniteLogits:
            weights = None
        return {name: [0 if weights is None else correct[name], len(y)] for name, (_, y) in probes.items()}


def save_row(
    arguments: argparse.Namespace,
    variation: Variation,
    stage: run_directory.Stage,
    factor: str,
    level: Any,
    variant: Variant,
    units: list[dict],
) -> None:
    """One row of the study: a setting, its measures over the repeats."""
    measures = {
        name: of_measures.share([numpy.arange(unit[name][1]) < unit[name][0] for unit in units])
        for name in units[0]
        if name != "change"
    }
    ablation_row = row.of_stage(
        stage,
        study="ablation",
        dataset=variation.cell.split.name,
        method=tables.method(factor, level),
        title=f"DARE, {factor} {level}",
        role="original" if factor == "published" else "method",
        verified=variation.cell.split.verified,
        hyperparameters={
            "width": command.width(arguments),
            "source_epochs": variation.cell.history.last,
            **ablation.facts(variant, variation.tuner.targets.layer),
        },
        repeats=len(units),
        measures=measures,
        checks=mined.checks_of(lineage.above(stage)),
        attacks={name: adversarials.attack for name, adversarials in variation.sets.items()},
        details={"factor": factor, "level": level, "change": [unit["change"] for unit in units]},
    )
    row.save(ablation_row, stage.folder / f"row-{ablation_row.method}.json")


def stages(arguments: argparse.Namespace) -> list[str]:
    """The stages that these arguments ask for."""
    return ["vary"]


def options() -> command.Parser:
    """The parser of the options."""
    parser = trained_cell.parser(__doc__, "--factor steps source")
    command.add_attacks(parser, "the adversarial sets that it is scored on")
    parser.add_argument(
        "--factor",
        nargs="+",
        type=command.name("factor", ablation.FACTORS),
        default=list(ablation.FACTORS),
        help="the choices that are changed",
    )
    parser.add_argument("--repeats", type=command.whole(1), default=3, help="tunings a setting, from different batches")
    return parser


if __name__ == "__main__":
    command.run(main, options())
