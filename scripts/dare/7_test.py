"""Test every model made so far on every adversarial set, clean images and white-box attacks; write one row a method.

Reads train/, generate_adv-*/, finetune_dare-*/ and finetune_adv-*/ (whatever is finished); writes test-<method>/
flags-<repeat>.h5 and row.json.
"""

import json

import numpy

from results import command, published, row, run
from adv import adversarial_set, attacks
from dare import controls, dare, test
import data
from data import files
import models
from train import history as histories

TUNING = ("learning_rate", "combine", "steps", "epochs", "batch_size", "images")
EPSILONS = {3: (2 / 255, 8 / 255), 1: (0.02, 0.1)}


def main(arguments):
    bench = None
    for method, inputs, role, title in methods():
        if inputs and not (run.folder(arguments, inputs[0]) / "run.json").is_file():
            continue
        stage = run.begin(
            f"test-{method}",
            arguments,
            inputs=["train", *(f"generate_adv-{attack}" for attack in arguments.attack), *inputs],
        )
        if stage is None:
            continue
        bench = bench or Bench(arguments)
        made = bench.test(method, inputs, stage.folder)
        write_row(arguments, bench, stage, method, role, title, inputs, made)


def methods():
    """(name, stages read, role, title) of the original and of every method, in the order of the tables."""
    yield "original", [], "original", "original"
    for name, variant in dare.VARIANTS.items():
        yield name, [f"finetune_dare-{name}"], "method", variant.title
    for name in attacks.ATTACKS:
        yield f"adv-{name}", [f"finetune_adv-{name}"], "baseline", f"fine-tuned on {name} adversarials"
    for name, title in controls.TITLES.items():
        yield name, [f"finetune_dare-{name}"], "control", title


class Bench:
    """The architecture compiled once, the images and the adversarial sets."""

    def __init__(self, arguments):
        self.arguments = arguments
        trained = run.folder(arguments, "train")
        self.split = data.load_split(trained / "split.h5", command.load_dataset(arguments))
        self.history = histories.History(trained / "history")
        self.model = self.history.final_model()
        identity = models.fingerprint(self.model)
        self.sets = {
            name: adversarial_set.load(
                run.folder(arguments, f"generate_adv-{name}") / "adversarials.h5",
                model=identity,
                data=self.split.fingerprint,
            )
            for name in arguments.attack
        }
        generator = numpy.random.default_rng([arguments.seed, 2**31 + 7])
        count = min(arguments.white_box_images, len(self.split.x_test))
        self.rows = numpy.sort(generator.permutation(len(self.split.x_test))[:count])
        self.epsilons = arguments.epsilons or EPSILONS[self.split.x_test.shape[-1]]

    def test(self, method, inputs, folder):
        """The Flags of every repeat of a method; finished repeats are read back."""
        found = run.folder(self.arguments, inputs[0]).glob("weights-*.weights.h5") if inputs else []
        weights = sorted(found, key=lambda path: int(path.name.split(".")[0].split("-")[1])) or [None]
        made = []
        for repeat, path in enumerate(weights):
            target = folder / f"flags-{repeat}.h5"
            if not target.is_file():
                if path is None:
                    self.history.load_weights(self.model, self.history.last)
                else:
                    histories.load_weights(self.model, path)
                with command.Progress(f"test {method} {repeat + 1}/{len(weights)}", self.arguments.quiet) as progress:
                    flags = test.test(
                        self.model,
                        self.split,
                        self.sets,
                        fingerprint=models.fingerprint(self.model),
                        white_box={
                            test.ball("pgd", epsilon): (attacks.ATTACKS["pgd"], epsilon) for epsilon in self.epsilons
                        },
                        minimal={"fgsm": attacks.ATTACKS["fgsm"]},
                        rows=self.rows,
                        progress=progress,
                    )
                flags.save(target)
            made.append(test.Flags.load(target))
        return made


def write_row(arguments, bench, stage, method, role, title, inputs, made):
    """row.json in the stage's folder: the measures of all repeats, with the published values beside them."""
    measures = {
        name: row.share(
            [flags.flags[name] for flags in made], published.dare(arguments.dataset, arguments.model, method, name)
        )
        for name in made[0].flags
    }
    if any(name.startswith("er/") for name in made[0].flags):
        measures["er/worst"] = row.share([test.worst_case(flags, "er/") for flags in made])
    measures |= {name: row.median([flags.distance[name] for flags in made]) for name in made[0].distance}
    made_by = run.ancestors(arguments, ["train", *(f"generate_adv-{attack}" for attack in arguments.attack), *inputs])
    trained = run.record(run.folder(arguments, "train"))
    source = run.record(run.folder(arguments, inputs[0])) if inputs else trained
    result = {
        "study": arguments.study,
        "dataset": bench.split.name,
        "model": arguments.model,
        "method": method,
        "title": title,
        "role": role,
        "verified": bench.split.verified,
        "hyperparameters": {
            "width": models.parse(arguments.model)[1],
            "source_epochs": bench.history.last,
            **{name: source[name] for name in TUNING if source.get(name)},
        },
        "chosen_on": source.get("chosen_on", []),
        "frozen_share": source.get("frozen_share"),
        "seeds": [arguments.seed],
        "repeats": len(made),
        "measures": measures,
        "attacks": {name: one.attack for name, one in bench.sets.items()}
        | {"white-box/pgd": attacks.ATTACKS["pgd"].specification() | {"epsilons": list(bench.epsilons)}},
        **run.provenance(),
        "commands": {name: run.literal(record["command"]) for name, record in made_by.items()},
        "wall_s": {name: record["wall_s"] for name, record in made_by.items()},
    }
    files.write_json(stage.folder / "row.json", result)
    run.finish(stage)
    shown = {name: measure["value"] for name, measure in measures.items() if name == "clean" or name.startswith("er/")}
    print(f"test {method}: {json.dumps(shown)} ({stage.folder})")


if __name__ == "__main__":
    parser = command.parser(__doc__, study="dare")
    parser.add_argument(
        "--attack",
        nargs="+",
        type=command.name("attack", attacks.ATTACKS),
        default=["fgsm", "pgd", "deepfool"],
        help="the adversarial sets",
    )
    count, epsilon = command.whole(1), command.real(above=0, most=1)
    parser.add_argument("--white-box-images", type=count, default=1000, help="test images attacked anew on each model")
    parser.add_argument("--epsilons", nargs="+", type=epsilon, help="of the white-box attack (default: by data set)")
    command.run(main, parser)
