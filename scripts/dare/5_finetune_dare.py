"""Improve the trained model: DARE, its variants, and the controls that tell what its scores mean.

Reads train/, slice/, get_ats/ and the validation part of one attack's adversarials, which alone chooses the learning
rate (so that the other attacks stay unseen); writes finetune_dare-<variant>/weights-<repeat>.weights.h5.
"""

import numpy

from results import command, run
from adv import adversarial_set, attacks, evaluate
from dare import controls, dare, get_ats, nnslicer
import data
import models
from train import history as histories
from train import params

NEEDS_DARE = ("weight-noise", "logit-noise", "tune-clean")


def main(arguments):
    bench = None
    for name in arguments.variant:
        settings = command.narrow(arguments, variant=name)
        inputs = ["train", "slice", "get_ats", *(f"generate_adv-{attack}" for attack in arguments.choose_on)]
        stage = run.begin(f"finetune_dare-{name}", settings, inputs=[*inputs, *_also(name)])
        if stage is None:
            continue
        bench = bench or Bench(arguments)
        facts = bench.improve(name, stage.folder)
        run.finish(stage, **facts)
        rate = f", learning rate {facts['learning_rate']:g}" if "learning_rate" in facts else ""
        print(f"finetune_dare {name}: {bench.repeats(name)} repeats{rate} ({stage.folder})")


class Bench:
    """What every variant needs, read once: the original model, images, targets, slice and validation adversarials."""

    def __init__(self, arguments):
        self.arguments = arguments
        trained = run.folder(arguments, "train")
        self.split = data.load_split(trained / "split.h5", command.load_dataset(arguments))
        self.history = histories.History(trained / "history")
        self.model = self.history.final_model()
        self.original = self.model.get_weights()
        identity = models.fingerprint(self.model)
        self.targets = get_ats.Targets.load(run.folder(arguments, "get_ats") / "targets.h5")
        self.slices = nnslicer.Slice.load(run.folder(arguments, "slice") / "slice.h5")
        self.validation = [
            adversarial_set.load(
                run.folder(arguments, f"generate_adv-{attack}") / "adversarials.h5",
                model=identity,
                data=self.split.fingerprint,
            ).parts["validation"]
            for attack in arguments.choose_on
        ]
        dare.check(self.model, self.targets, self.split.x_validation)
        if self.slices.model != identity:
            raise ValueError("slice/slice.h5 is of another model than train/: run 2_slice.py again with --overwrite")

    def improve(self, name, folder):
        """Write one variant's or control's weights, a file a repeat; returns facts for run.json."""
        if name in dare.VARIANTS:
            variant = dare.VARIANTS[name]
            rate, grid = self.choose_rate(variant)
            budget = {"steps": variant.steps, "epochs": variant.epochs, "batch_size": variant.batch_size}
            facts = {"learning_rate": rate, "grid": grid, "combine": variant.combine, **budget}
            facts |= {"chosen_on": list(self.arguments.choose_on)} if grid else {}
            if variant.combine:
                masks = dare.slice_masks(self.model, self.slices, variant.combine, self.targets.layer)
                facts["frozen_share"] = {layer: round(1 - float(mask.mean()), 4) for layer, mask in masks.items()}

            def make(seed):
                return self.tuned(variant, rate, seed)
        else:
            facts = {}

            def make(seed):
                return self.control(name, seed, facts)

        for repeat in range(self.repeats(name)):
            weights = make(self.seed(repeat))
            self.model.set_weights(weights)
            histories.save_weights(self.model, folder / f"weights-{repeat}.weights.h5")
        self.model.set_weights(self.original)
        return facts

    def repeats(self, name):
        return 1 if name in ("checkpoint", "swa") else self.arguments.repeats

    def seed(self, repeat):
        return 1000 * self.arguments.seed + repeat

    def tuned(self, variant, rate, seed):
        """The weights that a variant makes of the original at one learning rate."""
        self.model.set_weights(self.original)
        with command.Progress(f"{variant.title} at {rate:g}", self.arguments.quiet) as progress:
            dare.improve(
                self.model,
                variant,
                self.targets,
                self.split.x_validation,
                self.split.y_validation,
                slices=self.slices,
                learning_rate=rate,
                seed=seed,
                frozen_below=params.first_tuned(self.arguments.model),
                progress=progress,
            )
        return self.model.get_weights()

    def choose_rate(self, variant):
        """The rate with the highest mean ER on the validation parts, among those that cost x_validation accuracy at
        most 0.5 points; where none qualifies, the lowest rate. Returns (rate, what each rate scored)."""
        rates = self.arguments.learning_rates or variant.learning_rates
        if len(rates) == 1:
            return rates[0], {}
        if not any(len(part.labels) for part in self.validation):
            raise ValueError(
                "the validation parts hold no adversarial image to choose a learning rate with: make sets with a "
                "larger validation part, or give one value to --learning-rates"
            )
        allowed = self.score(self.original)["clean"] - 0.5
        grid = {}
        for rate in rates:
            try:
                grid[rate] = self.score(self.tuned(variant, rate, self.seed(0)))
            except (ArithmeticError, ValueError):  # the loss, or afterwards the logits, are no longer finite
                grid[rate] = {"clean": 0.0, "er": 0.0}
        fit = [rate for rate in rates if grid[rate]["clean"] >= allowed]
        best = max(fit, key=lambda rate: grid[rate]["er"]) if fit else min(rates)
        return best, {f"{rate:g}": score for rate, score in grid.items()}

    def score(self, weights):
        self.model.set_weights(weights)
        clean = evaluate.correct(self.model, self.split.x_validation, self.split.y_validation).mean()
        flags = [
            evaluate.correct(self.model, part.images, part.labels).mean()
            for part in self.validation
            if len(part.labels)
        ]
        return {"clean": round(100 * float(clean), 3), "er": round(100 * float(numpy.mean(flags)), 3)}

    def control(self, name, seed, facts):
        """The weights of one control; DARE's own change of weights and learning rate are read from its stage."""
        model, split = self.model, self.split
        model.set_weights(self.original)
        if name == "checkpoint":
            return controls.checkpoint(model, self.history)
        if name == "swa":
            return controls.swa(model, self.history, self.some(split.x_train, self.arguments.swa_images))
        tuned, record = self.dare_weights(seed - self.seed(0))
        facts["learning_rate"] = record["learning_rate"]
        if name == "weight-noise":
            return controls.weight_noise(self.original, tuned, seed=seed)
        if name == "logit-noise":
            return controls.logit_noise(model, self.original, tuned, self.some(split.x_validation, 1000), seed=seed)
        variant = dare.VARIANTS["dare"]
        return controls.tune_clean(
            model,
            split.x_validation,
            split.y_validation,
            steps=variant.steps,
            batch_size=variant.batch_size,
            learning_rate=record["learning_rate"],
            seed=seed,
        )

    def some(self, images, count):
        """`count` images drawn at random: the first ones may all be of one class."""
        order = numpy.random.default_rng([self.arguments.seed, 2**31]).permutation(len(images))
        return images[numpy.sort(order[:count])]

    def dare_weights(self, repeat):
        folder = run.folder(self.arguments, "finetune_dare-dare")
        histories.load_weights(self.model, folder / f"weights-{repeat}.weights.h5")
        tuned = self.model.get_weights()
        self.model.set_weights(self.original)
        return tuned, run.record(folder)


def _also(name):
    return ["finetune_dare-dare"] if name in NEEDS_DARE else []


if __name__ == "__main__":
    parser = command.parser(__doc__, study="dare")
    known = [*dare.VARIANTS, *controls.TITLES]
    variant = command.name("variant", known)
    parser.add_argument(
        "--variant", nargs="+", type=variant, default=known, help=f"what to make, in this order: {', '.join(known)}"
    )
    parser.add_argument(
        "--repeats", type=command.whole(1), default=3, help="tuning repeats of each variant, from different batches"
    )
    parser.add_argument(
        "--learning-rates", nargs="+", type=command.real(above=0), help="instead of each variant's own grid"
    )
    parser.add_argument(
        "--choose-on",
        nargs="+",
        type=command.name("attack", attacks.ATTACKS),
        default=["fgsm"],
        help="the attacks whose validation parts choose among several learning rates",
    )
    parser.add_argument(
        "--swa-images", type=command.whole(1), default=5000, help="images that re-estimate batch-norm statistics"
    )
    command.run(main, parser)
