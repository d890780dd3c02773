"""Test every model made so far on every adversarial set, clean images and white-box attacks; write one row a method.

Reads train/, generate_adv-*/, finetune_dare-*/ and finetune_adv-*/ (whatever is finished); writes test-<method>/
flags-<repeat>.h5 and row.json. Checks that are raised (docs/checks.md) are printed and stored in the row.
"""

from __future__ import annotations  # its types load no library (pipeline/late.py)

try:
    from pipeline import command, lineage, run_directory
except ModuleNotFoundError as error:  # another Python than that of the environment
    raise SystemExit(f"no module {error.name}: run it with .venv/bin/python (make quick makes it)") from None

import argparse
from collections.abc import Iterator
import pathlib

import numpy

from adv import adversarial_set, attacks, checks, evaluate, scoring
from dare import controls
from dare.flags import Flags
from dare.repair import metrics
from reporting import row
from studies import tested
from studies.dare import measured, methods, mined, trained_cell
from train.seeds import stream

TUNING = (
    "learning_rate",
    "combine",
    "layer",
    "source",
    "steps",
    "epochs",
    "batch_size",
    "images",
    "temperature",
    "checkpoints",
)
LINF = [name for name, attack in attacks.ATTACKS.items() if attack.norm == "linf"]
WHITE_BOX = [name for name in ("pgd", "apgd-ce", "apgd-t") if name in LINF]


def main(arguments: argparse.Namespace) -> None:
    tester = None
    models = chosen(arguments)
    del arguments.method  # a model's test is the same beside whichever others
    for method, inputs, role, title in models:
        stage = run_directory.begin(
            f"test-{method}",
            arguments,
            inputs=["train", *(f"generate_adv-{attack}" for attack in arguments.attack), *inputs],
            uses=uses(arguments),
        )
        if stage is None:
            continue
        tester = tester or Tester(arguments)
        tested_repeats = tester.test(method, inputs, stage.folder)
        write_row(arguments, tester, stage, method, role, title, inputs, *tested_repeats)


def chosen(arguments: argparse.Namespace) -> list[tuple]:
    """(method, inputs, role, title) of the models that --method names, of all that are made so far without it.

    Raises FileNotFoundError for a method that is not made.
    """
    made = {each[0]: each for each in finished(arguments)}
    missing = [name for name in arguments.method or () if name not in made]
    if missing:
        raise FileNotFoundError(f"no model of {', '.join(missing)} is made yet; made so far: {', '.join(made)}")
    return [made[name] for name in arguments.method or made]


def uses(arguments: argparse.Namespace) -> dict:
    """The attacks that are run on each model, and within which radii."""
    shape = trained_cell.shape_of(arguments)
    return {
        **{f"white-box attack {name}": attacks.ATTACKS[name] for name in arguments.white_box},
        **{f"minimal attack {name}": attacks.ATTACKS[name] for name in arguments.minimal},
        "epsilons": arguments.epsilons or (scoring.EPSILONS[shape[-1]] if shape else scoring.EPSILONS),
    }


class Tester:
    """The architecture compiled once, the images, the adversarial sets, and what the original's adversarials are."""

    def __init__(self, arguments):
        self.arguments = arguments
        self.trained = trained_cell.load(arguments)
        self.split, self.history, self.model = self.trained.split, self.trained.history, self.trained.model
        self.sets = trained_cell.adversarial_sets(arguments, self.trained, arguments.attack)
        self.drawn = {
            name: adversarial_set.draw(self.split, adversarials.drawn, arguments.seed)["test"]
            for name, adversarials in self.sets.items()
        }
        order = stream(arguments.seed, "test images").permutation(len(self.split.x_test))
        self.rows = numpy.sort(order[: arguments.white_box_images])
        self.epsilons = arguments.epsilons or scoring.EPSILONS[self.split.x_test.shape[-1]]
        self.checked = order[: checks.IMAGES]
        images = self.split.x_test[self.checked], self.split.y_test[self.checked]
        self.before = evaluate.classes(self.model, self.split.x_test, self.split.y_test)  # by the original
        self.transferred = checks.transferable(self.model, *images, epsilon=max(self.epsilons))

    def test(self, method: str, inputs: list[str], folder: pathlib.Path) -> tuple[list[Flags], dict]:
        """(the Flags of every repeat of a method, what the repeats changed); finished repeats are read back."""
        files, flags_of_repeats, moved = trained_cell.weight_files(folder.parent, inputs), [], []
        for repeat, path in enumerate(files):
            trained_cell.load_weights(self.trained, path)
            weights = self.model.get_weights()
            change = controls.relative_change(self.trained.original, weights)
            moved.append((metrics.changed(self.trained.original, weights), float(f"{change:.4g}")))
            target, note = folder / f"flags-{repeat}.h5", f"test {method} {repeat + 1}/{len(files)}"
            flags_of_repeats.append(tested.test_and_keep(target, self.model, self.split, note=note, **self.how()))
        weights_changed, relative_change = map(list, zip(*moved, strict=True))
        return flags_of_repeats, {"weights_changed": weights_changed, "relative_change": relative_change}

    def how(self) -> dict:
        """How every model is tested."""
        catalogue, arguments = attacks.ATTACKS, self.arguments
        return {
            "quiet": arguments.quiet,
            "checked": self.checked,
            "epsilons": self.epsilons,
            "rows": self.rows,
            "sets": self.sets,
            "drawn": self.drawn,
            "white_box": {name: catalogue[name] for name in arguments.white_box},
            "minimal": {name: catalogue[name] for name in arguments.minimal},
            "transferred": self.transferred,
        }


def write_row(
    arguments: argparse.Namespace,
    tester: Tester,
    stage: run_directory.Stage,
    method: str,
    role: str,
    title: str,
    inputs: list[str],
    flags_of_repeats: list[Flags],
    change: dict,
) -> None:
    """row.json in the stage's folder: the measures of all repeats, with the published values beside them."""
    measures = measured.measures(
        flags_of_repeats,
        dataset=arguments.dataset,
        model=arguments.model,
        method=method,
        before=tester.before,
        failed=scoring.failures(flags_of_repeats[0].index, tester.sets),
    )
    source = run_directory.record(run_directory.folder(arguments, inputs[0] if inputs else "train"))
    mined_from = run_directory.folder(arguments, "get_ats")
    selected = run_directory.record(mined_from)["selected"] if "get_ats" in source["inputs"] else 0
    method_row = row.of_stage(
        stage,
        study=arguments.study,
        dataset=tester.split.name,
        method=method,
        title=title,
        role=role,
        verified=tester.split.verified,
        hyperparameters={
            "width": command.width(arguments),
            "source_epochs": tester.history.last,
            **{name: tester.history.origin[name] for name in ("precision",) if name in tester.history.origin},
            **{name: source[name] for name in TUNING if source.get(name)},
        },
        repeats=len(flags_of_repeats),
        measures=measures,
        checks=[*row.checks([flags.checks for flags in flags_of_repeats]), *mined.checks_of(lineage.above(stage))],
        attacks=specifications(tester),
        details={
            "chosen_on": source.get("chosen_on", []),
            "frozen_share": source.get("frozen_share"),
            **change,
            "passes": [measured.passes(source, selected) if inputs else 0] * len(flags_of_repeats),
            "saturated": saturated(arguments),
        },
    )
    row.save(method_row, stage.folder / "row.json")
    run_directory.finish(stage)
    headline = {
        name: measure["value"] for name, measure in measures.items() if name == "clean" or name.startswith("er/")
    }
    print(f"test {method}: {', '.join(f'{name} {value:.1f} %' for name, value in headline.items())} ({stage.folder})")
    if row.raised(method_row.checks):
        print(f"test {method}: {row.raised(method_row.checks)}")


def saturated(arguments: argparse.Namespace) -> dict[str, dict]:
    """attack -> how many images of its set were saturated when attacked; sets made before that count are left out."""
    folders = {name: run_directory.folder(arguments, f"generate_adv-{name}") for name in arguments.attack}
    records = {name: run_directory.record(folder) for name, folder in folders.items()}
    return {name: record["saturated"] for name, record in records.items() if "saturated" in record}


def specifications(tester: Tester) -> dict:
    """Every attack with all its settings: of the sets by name, "white-box/<name>", and "minimal/<name>" of no set."""
    arguments = tester.arguments
    by_name = {name: adversarials.attack for name, adversarials in tester.sets.items()}
    for name in arguments.white_box:
        by_name[f"white-box/{name}"] = attacks.ATTACKS[name].specification() | {"epsilons": list(tester.epsilons)}
    for name in arguments.minimal:
        if name not in by_name:
            by_name[f"minimal/{name}"] = attacks.ATTACKS[name].specification()
    return by_name


def finished(arguments: argparse.Namespace) -> Iterator[tuple[str, list[str], str, str]]:
    """(method, stages read, role, title) of all that has been made."""
    for method, inputs, role, title in methods.methods():
        if not inputs or run_directory.finished(run_directory.folder(arguments, inputs[0])):
            yield method, inputs, role, title


def stages(arguments: argparse.Namespace) -> list[str]:
    """The stages that these arguments ask for, of what has been made so far."""
    return [f"test-{method}" for method, *_ in chosen(arguments)]


def options() -> command.Parser:
    """The parser of the options."""
    parser = trained_cell.parser(__doc__, "--white-box-images 500")
    attack = command.name("attack", attacks.ATTACKS)
    command.add_attacks(parser, "the adversarial sets")
    count, epsilon = command.whole(1), command.real(above=0, most=1)
    parser.add_argument("--method", nargs="+", metavar="NAME", help="test only these (default: all made so far)")
    parser.add_argument(
        "--white-box-images", type=count, default=1000, help="test images of the white-box attacks on each model"
    )
    parser.add_argument(
        "--white-box",
        nargs="+",
        type=command.name("attack in Linf", LINF),
        default=WHITE_BOX,
        help="white-box attacks, in this order, each on the images that are still classified correctly",
    )
    parser.add_argument("--epsilons", nargs="+", type=epsilon, help="of the white-box attacks (default: by data set)")
    parser.add_argument(
        "--minimal", nargs="*", type=attack, default=["fgsm"], help="attacks whose smallest perturbations are measured"
    )
    return parser


if __name__ == "__main__":
    command.run(main, options())
