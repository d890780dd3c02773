"""Harden the trained model by every strategy, with its weights and the effort followed, and attack it on the way.

Reads train/ and get_ats/; writes white_box-<strategy>/unit-<learning rate>-<repeat>.json as it goes (a killed run
continues at the first missing one) and row.json, and white_box/ with tables and figure of this seed. All strategies
start from the same model and tune on the same x_validation samples, those that mining selected. Some x_validation
images are held out of them and choose the learning rates; x_test is only measured.
"""

import dataclasses
import json
import logging
import time

import numpy

from results import command, figures, row, run, tables, trained, white_box, white_box_levels
from adv import attacks, evaluate
from dare import controls, feature_adversarial, hardening_targets, test, transform
from data import files
import models

EPSILONS = {3: (2 / 255, 8 / 255), 1: (0.02, 0.1)}
PROBES = attacks.ATTACKS | {"pgd-restarts": attacks.PGD(steps=40, rel_stepsize=0.1, random_start=True)}
SINGLE = {"original": "original", "swa": controls.TITLES["swa"]}
TUNING = ("learning_rates", "bp_epochs", "points", "steps", "batch_size", "samples", "repeats")


def main(arguments):
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # it warns that every unit compiles an update of its own
    bench = None
    for name in ["original", *(name for name in arguments.strategy if name != "original")]:
        settings = command.narrow(arguments, strategy=name)
        if name in SINGLE:
            settings = command.narrow(settings, **dict.fromkeys(TUNING))
        inputs = ["train", "get_ats", *(["white_box-original"] if name != "original" else [])]
        stage = run.begin(f"white_box-{name}", settings, inputs=inputs)
        if stage is None:
            continue
        bench = bench or Bench(arguments)
        paths = bench.single(name) if name in SINGLE else bench.strategy(name, stage.folder)
        facts = write_row(arguments, bench, stage, name, inputs, paths)
        run.finish(stage, **facts)
        print(f"white_box {name}: {json.dumps(facts['measures'])} ({stage.folder})")
    report(arguments)


class Bench:
    """The cell, read once: model, samples, which images choose and which are attacked, and by what."""

    def __init__(self, arguments):
        self.arguments, cell = arguments, trained.load(arguments)
        self.split, self.history, self.model, self.original = cell.split, cell.history, cell.model, cell.original
        near, far = EPSILONS[self.split.x_test.shape[-1]]
        self.epsilons = {"near": arguments.epsilon or near, "far": arguments.far_epsilon or far}
        self.attacks = list(probes(arguments))
        self.tested = self.draw(len(self.split.x_test), arguments.images, 10)
        count = len(self.split.x_validation)
        self.held = self.draw(count, min(arguments.held_out, count // 4), 11)
        self.images = {"clean": len(self.split.x_test), "near": len(self.tested), "far": len(self.tested)}
        self.images |= {"choice clean": len(self.held), "choice near": min(len(self.held), arguments.choice_images)}
        self.samples, self.made = self.select(trained.targets(arguments, cell)), {}
        regression = transform.transform(self.model, self.samples.mined.layer)
        self.nets = {"weight_change": self.model, "weight_change_regression": regression}
        self.before = {name: feature_adversarial.weights(net) for name, net in self.nets.items()}

    def draw(self, count, wanted, stream):
        """`wanted` of `count` rows, in random order."""
        return numpy.random.default_rng([self.arguments.seed, 2**31, stream]).permutation(count)[:wanted]

    def select(self, mined):
        """The samples that all strategies tune on: of those that mining selected, none that is held out."""
        rows = numpy.flatnonzero(~numpy.isin(mined.index, self.held))
        rows = rows[numpy.sort(self.draw(len(rows), self.arguments.samples, 13))]
        if not len(rows):
            raise ValueError("mining selected no sample beside those held out: hold out fewer (--held-out)")
        x, y = (array[mined.index[rows]] for array in (self.split.x_validation, self.split.y_validation))
        return hardening_targets.Source(self.model, self.history, mined, rows, x, y)

    def single(self, name):
        """The one-point trajectory of a model that is not trained here."""
        if name == "swa":
            some = numpy.sort(self.draw(len(self.split.x_train), self.arguments.swa_images, 12))
            self.model.set_weights(controls.swa(self.model, self.history, self.split.x_train[some]))
        point = {"updates": 0, "bp_epochs": 0.0, **self.changes(), **self.accuracies()}
        self.model.set_weights(self.original)
        return [self.trajectory(None, 0, [point])]

    def strategy(self, name, folder):
        """The trajectories of all learning rates and repeats; finished units are read back."""
        units = [(rate, repeat) for rate in self.arguments.learning_rates for repeat in range(self.arguments.repeats)]
        found = []
        with command.Progress(f"white_box {name}", self.arguments.quiet) as progress:
            for rate, repeat in units:
                path = folder / f"unit-{rate:g}-{repeat}.json"
                if not path.is_file():
                    files.write_json(path, self.unit(feature_adversarial.STRATEGIES[name], rate, repeat))
                found.append(read(path))
                progress(len(found), len(units), f"learning rate {rate:g}")
        return found

    def unit(self, strategy, rate, repeat):
        """One trajectory: the original's point, and one at each of the log-spaced stops; shorter if it diverges."""
        asked, targets = self.arguments, self.targets(strategy.targets)[0]
        effort = {"passes": strategy.passes(asked.steps), "batch_size": asked.batch_size, "samples": len(targets)}
        budgets = [asked.bp_epochs / 2**halving for halving in range(asked.points)]
        stops = sorted({feature_adversarial.updates_for(budget, **effort) for budget in budgets})
        points = [read(run.folder(asked, "white_box-original") / "row.json")["trajectories"][0]["points"][0]]
        tuning = feature_adversarial.harden(
            self.model,
            self.samples.x,
            targets,
            strategy,
            layer=self.samples.mined.layer,
            epsilon=self.epsilons["near"],
            steps=asked.steps,
            learning_rate=rate,
            batch_size=asked.batch_size,
            stops=stops,
            seed=1000 * asked.seed + repeat,
        )
        seconds, begun = 0.0, time.monotonic()
        try:
            for updates, _ in tuning:
                seconds += time.monotonic() - begun
                point = {"updates": updates, "bp_epochs": feature_adversarial.bp_epochs(updates, **effort)}
                points.append(point | self.changes() | self.finite_accuracies())
                begun = time.monotonic()
        except ArithmeticError:  # the trajectory ends where loss, weights or logits are no longer finite
            pass
        self.model.set_weights(self.original)
        return self.trajectory(rate, repeat, points) | {"train_s": round(seconds, 2)}

    def trajectory(self, rate, repeat, points):
        samples = len(self.samples.rows)
        facts = {"seed": self.arguments.seed, "samples": samples, "learning_rate": rate, "repeat": repeat}
        return facts | {"points": points}

    def targets(self, name):
        """(targets of the samples, passes a sample that they took), kept for the strategies that share them."""
        if name not in self.made:
            self.made[name] = hardening_targets.TARGETS[name](self.samples)
        return self.made[name]

    def changes(self):
        """How far the weights are from the original's: of the whole net, and of its layers up to R."""
        found = {
            name: controls.relative_change(self.before[name], feature_adversarial.weights(net))
            for name, net in self.nets.items()
        }
        if not numpy.isfinite(list(found.values())).all():
            raise ArithmeticError("the weights are no longer finite")
        return found

    def accuracies(self):
        """Accuracies of the model as it is now, in percent: clean and attacked, on x_test and the held-out images."""
        x, y = self.split.x_test, self.split.y_test
        held = self.split.x_validation[self.held], self.split.y_validation[self.held]
        few = self.images["choice near"]
        flags = {
            "clean": evaluate.correct(self.model, x, y),
            "near": self.worst(x[self.tested], y[self.tested], self.epsilons["near"]),
            "far": self.worst(x[self.tested], y[self.tested], self.epsilons["far"]),
            "choice clean": evaluate.correct(self.model, *held),
            "choice near": self.worst(held[0][:few], held[1][:few], self.epsilons["near"]),
        }
        return {name: 100 * float(found.mean()) for name, found in flags.items()}

    def finite_accuracies(self):
        """As `accuracies`; ArithmeticError where the logits have overflowed."""
        try:
            return self.accuracies()
        except ValueError as error:
            raise ArithmeticError(str(error)) from error

    def worst(self, x, y, epsilon):
        """Right under every attack, each run on what the earlier ones left: bool (N,)."""
        flags = evaluate.correct(self.model, x, y)
        for attack in self.attacks:
            rows = numpy.flatnonzero(flags)
            if len(rows):
                flags[rows] = evaluate.robust_flags(self.model, x[rows], y[rows], attack, epsilon=epsilon)
        return flags


def probes(arguments):
    """The attacks to withstand, one entry a restart of those that draw random numbers."""
    for name in arguments.attack:
        attack = PROBES[name]
        if attack.norm != "linf":
            raise ValueError(f"attack {name} measures {attack.norm}, but the balls are linf: name another attack")
        if arguments.attack_steps and hasattr(attack, "steps"):
            attack = dataclasses.replace(attack, steps=arguments.attack_steps)
        random = hasattr(attack, "seed") and getattr(attack, "random_start", True)
        for seed in range(arguments.restarts if random else 1):
            yield dataclasses.replace(attack, seed=seed) if random else attack


def read(path):
    """A unit or row that was written before. Raises ValueError where it is damaged."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(found, dict):
            raise ValueError("no object")
    except ValueError as error:
        raise ValueError(f"{path}: damaged ({error}): delete it and run this again") from error
    return found


def write_row(arguments, bench, stage, name, inputs, found):
    """row.json in the stage's folder; returns the facts for run.json."""
    strategy = feature_adversarial.STRATEGIES.get(name)
    hyperparameters = {"width": models.parse(arguments.model)[1], "source_epochs": bench.history.last}
    budget, role = 0, {"original": "original", "swa": "control"}.get(name)
    if strategy is not None:
        role = {"labels": "baseline", "own": "control"}.get(strategy.targets, "method")
        budget = arguments.bp_epochs
        hyperparameters |= {
            "epsilon": bench.epsilons["near"],
            **{one: getattr(arguments, one) for one in ("steps", "bp_epochs", "batch_size", "learning_rates")},
            "passes": strategy.passes(arguments.steps),
            "preparation": bench.targets(strategy.targets)[1],
            "layer": bench.samples.mined.layer,
            "targets": strategy.targets,
        }
    best = white_box_levels.chosen(found, "bp_epochs", budget)
    if best is None:
        raise ArithmeticError(f"{name}: no learning rate stays finite for {budget:g} BP-epochs: give lower ones")
    named = {"clean": "clean"} | {
        size: f"white-box/{test.ball('worst', bench.epsilons[size])}" for size in bench.epsilons
    }
    measures = {}
    for part, measure in named.items():
        count = bench.images[part]
        measures[measure] = row.share([numpy.arange(count) < round(count * one[part] / 100) for one in best[1]])
    made_by = run.ancestors(arguments, inputs)
    result = {
        "study": "white_box",
        "dataset": bench.split.name,
        "model": arguments.model,
        "method": name,
        "title": strategy.title if strategy else SINGLE[name],
        "role": role,
        "verified": bench.split.verified,
        "hyperparameters": {**hyperparameters, "learning_rate": best[0]} if strategy else hyperparameters,
        "seeds": [arguments.seed],
        "repeats": len(best[1]),
        "measures": measures,
        "epsilons": bench.epsilons,
        "images": bench.images,
        "attacks": {
            "white-box/worst": {
                "worst case of": ", ".join(arguments.attack),
                "restarts": arguments.restarts,
                "runs": {str(place): attack.specification() for place, attack in enumerate(bench.attacks)},
            }
        },
        "trajectories": found,
        **run.provenance(),
        "commands": {one: run.literal(record["command"]) for one, record in made_by.items()},
        "wall_s": {one: record["wall_s"] for one, record in made_by.items()},
    }
    files.write_json(stage.folder / "row.json", result)
    return {"measures": {measure: one["value"] for measure, one in measures.items()}}


def report(arguments):
    """Print and write the tables of this seed's finished rows, and draw them."""
    stages = run.folder(arguments, "white_box-original").parent.glob("white_box-*")
    rows = [read(stage / "row.json") for stage in sorted(stages) if (stage / "run.json").is_file()]
    made = white_box.white_box_tables(rows)
    for table in made:
        tables.print_table(table)
    folder = run.folder(arguments, "white_box")
    tables.write(made, folder)
    figures.save(white_box.trajectories(rows), folder / "trajectories.png")
    print(f"white_box: {len(rows)} rows ({folder})")


if __name__ == "__main__":
    parser = command.parser(__doc__, study="dare")
    known = [*feature_adversarial.STRATEGIES, "swa"]
    count, above, ball = command.whole(1), command.real(above=0), command.real(above=0, most=1)
    parser.add_argument(
        "--strategy", nargs="+", type=command.name("strategy", known), default=known, help=", ".join(known)
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
    known = command.name("attack", PROBES)
    parser.add_argument(
        "--attack", nargs="+", type=known, default=["fgsm", "pgd-restarts"], help="each on what the earlier ones left"
    )
    parser.add_argument("--attack-steps", type=count, help="instead of each attack's own number of steps")
    parser.add_argument("--restarts", type=count, default=3, help="runs of an attack that starts at random")
    parser.add_argument("--swa-images", type=count, default=5000, help="images that re-estimate swa's statistics")
    command.run(main, parser)
