"""Improve the trained model: DARE, its variants, and the controls that tell what its scores mean.

Reads train/, slice/, get_ats/ and the validation part of one attack's adversarials, which alone chooses the learning
rate (so that the other attacks stay unseen); writes finetune_dare-<variant>/weights-<repeat>.weights.h5.
"""

import contextlib
import dataclasses
import functools
import os

import numpy

from results import command, run, seeds, trained
from adv import attacks, evaluate
from dare import bench, controls, dare, get_ats
from data import files
from train import history as histories
from train import params

KNOWN = (*dare.VARIANTS, *controls.CONTROLS)
ONLY_BY_NAME = ("checkpoints",)  # a test of every checkpoint takes longer than that of all the others
NOISES = ("weight-noise", "logit-noise")


def main(arguments):
    cell = None
    for name, asked in wanted(arguments.variant):
        reason = None if asked or finished(arguments, name) else lacking(arguments, name)
        if reason:
            print(f"finetune_dare {name}: left out, {reason}")
            continue
        settings, inputs = narrow(arguments, name)
        stage = run.begin(f"finetune_dare-{name}", settings, inputs=inputs)
        if stage is None:
            continue
        cell = cell or Cell(arguments)
        made, facts = cell.variant(name, stage.folder) if name in dare.VARIANTS else cell.control(name, settings)
        copied = [cell.history.file(epoch, "weights") for epoch in facts.get("checkpoints", ())]
        changes = []
        for repeat, weights in enumerate(made):
            cell.save(weights, stage.folder / f"weights-{repeat}.weights.h5", copied[repeat] if copied else None)
            changes.append(float(f"{controls.relative_change(cell.original, weights):.4g}"))
        run.finish(stage, **facts, relative_change=changes)
        rate = f", learning rate {facts['learning_rate']:g}" if "learning_rate" in facts else ""
        print(f"finetune_dare {name}: {len(changes)} repeats{rate} ({stage.folder})")


def wanted(names):
    """Yield (variant or control, whether it was asked for by name)."""
    for name in names:
        if name == "all":
            yield from ((one, False) for one in KNOWN if one not in ONLY_BY_NAME)
        else:
            yield name, True


def finished(arguments, name):
    return (run.folder(arguments, f"finetune_dare-{name}") / "run.json").is_file()


def narrow(arguments, name):
    """(the arguments that a variant or control reads, the stages that it reads)."""
    settings = command.narrow(arguments, variant=name, draws=arguments.draws if name in NOISES else None)
    inputs = ["train", "slice", "get_ats", *(f"generate_adv-{attack}" for attack in arguments.choose_on)]
    if name == "other-seed":
        settings.other_seed = other_seed(arguments)
        inputs.append(f"../seed{settings.other_seed}/train")
    else:
        settings.other_seed = None
    if name in controls.CONTROLS and controls.CONTROLS[name].reads_dare:
        inputs.append("finetune_dare-dare")
    return settings, inputs


def other_seed(arguments):
    """--other-seed, or the one that the control was made with before, or the next one trained by the same recipe."""
    if arguments.other_seed is None and finished(arguments, "other-seed"):
        return run.record(run.folder(arguments, "finetune_dare-other-seed"))["arguments"]["other_seed"]
    return seeds.other(arguments, arguments.other_seed)


def lacking(arguments, name):
    """What this cell lacks for a variant or control; None where it can be made."""
    if name == "other-seed":
        try:
            other_seed(arguments)
        except FileNotFoundError as error:
            return str(error)
    if name in ("checkpoint", "swa") or (name in dare.VARIANTS and dare.VARIANTS[name].retargets):
        history = histories.History(run.folder(arguments, "train") / "history")
        if not set(get_ats.second_half(history)) <= set(history.stored):
            return "weights of mined epochs are deleted: train with --keep second-half or all to have them"
    return None


class Cell:
    """The bench of a trained cell, and its images and validation adversarials."""

    def __init__(self, arguments):
        self.arguments = arguments
        opened = trained.load(arguments)
        self.model, self.original = opened.model, opened.original
        self.history, self.split = opened.history, opened.split
        sets = trained.adversarial_sets(arguments, opened, arguments.choose_on).values()
        self.validation = [one.parts["validation"] for one in sets if len(one.parts["validation"].labels)]
        self.bench = bench.Bench(
            model=self.model,
            original=self.original,
            history=self.history,
            targets=trained.targets(arguments, opened),
            slices=trained.slices(arguments, opened),
            x=self.split.x_validation,
            y=self.split.y_validation,
            score=self.score,
            frozen_below=params.first_tuned(arguments.model),
            seed=arguments.seed,
            progress=functools.partial(command.Progress, quiet=arguments.quiet),
        )

    def score(self, weights, rows):
        """What chooses a learning rate, in percent: accuracy on rows of x_validation, ER on the validation parts."""
        if not self.validation:
            raise ValueError(
                "the validation parts hold no adversarial image to choose a learning rate with: make sets with a "
                "larger validation part, or give one value to --learning-rates"
            )
        self.model.set_weights(weights)
        clean = evaluate.correct(self.model, self.split.x_validation[rows], self.split.y_validation[rows]).mean()
        flags = [evaluate.correct(self.model, part.images, part.labels).mean() for part in self.validation]
        return {"clean": round(100 * float(clean), 3), "er": round(100 * float(numpy.mean(flags)), 3)}

    def variant(self, name, folder):
        """(the weights of each repeat, one after the other; facts) of a variant."""
        path = folder / f"{files.TEMPORARY}targets.h5"
        make, facts = self.bench.variant(dare.VARIANTS[name], rates=self.arguments.learning_rates, path=path)
        facts |= {"chosen_on": list(self.arguments.choose_on)} if "grid" in facts else {}
        return map(make, range(self.arguments.repeats)), facts

    def control(self, name, settings):
        """The same of a control; DARE's own change of weights and its budget are read from its stage."""
        control = controls.CONTROLS[name]
        given = controls.Given(
            model=self.model,
            original=self.original,
            history=self.history,
            x_train=self.some(self.split.x_train, self.arguments.swa_images),
            sample=self.some(self.split.x_validation, 1000),
            x_validation=self.split.x_validation,
            y_validation=self.split.y_validation,
        )
        facts, changes = {}, [{}]
        if control.epochs is not None:
            facts["checkpoints"] = control.epochs(self.history)
            changes = [{"epoch": epoch} for epoch in facts["checkpoints"]]
        elif control.reads_dare:
            record = run.record(run.folder(self.arguments, "finetune_dare-dare"))
            facts["learning_rate"] = record["learning_rate"]
            budget = {what: record[what] for what in ("learning_rate", "steps", "batch_size")}
            draws, tunings = settings.draws or settings.repeats, record["arguments"]["repeats"]
            changes = (
                {"tuned": self.dare_weights(draw % tunings), "budget": budget, "seed": self.bench.repeat_seed(draw)}
                for draw in range(draws)
            )
        elif name == "other-seed":
            path = run.folder(command.narrow(self.arguments, seed=settings.other_seed), "train")
            changes = [{"other": histories.History(path / "history")}]
        return (self.make(control, dataclasses.replace(given, **change)) for change in changes), facts

    def make(self, control, given):
        self.model.set_weights(self.original)
        return control.make(given)

    def dare_weights(self, repeat):
        """What DARE's own stage made; a control with more draws than it has repeats takes these in turn."""
        folder = run.folder(self.arguments, "finetune_dare-dare")
        histories.load_weights(self.model, folder / f"weights-{repeat}.weights.h5")
        return self.model.get_weights()

    def save(self, weights, path, copied=None):
        """Write weights; of a file `copied` that holds them already, make a link where the file system can."""
        path.unlink(missing_ok=True)
        if copied is not None:
            with contextlib.suppress(OSError):
                os.link(copied, path)
                return
        self.model.set_weights(weights)
        histories.save_weights(self.model, path)
        self.model.set_weights(self.original)

    def some(self, images, count):
        """`count` images drawn at random: the first ones may all be of one class."""
        order = numpy.random.default_rng([self.arguments.seed, 2**31]).permutation(len(images))
        return images[numpy.sort(order[:count])]


if __name__ == "__main__":
    parser = command.parser(__doc__, study="dare")
    parser.add_argument(
        "--variant",
        nargs="+",
        type=command.name("variant", ["all", *KNOWN]),
        default=["all"],
        help=f"what to make, in this order: {', '.join(KNOWN)}; all: whatever this cell has the files for, but "
        f"{', '.join(ONLY_BY_NAME)} only by name",
    )
    parser.add_argument(
        "--repeats", type=command.whole(1), default=3, help="tuning repeats of each variant, from different batches"
    )
    parser.add_argument(
        "--draws", type=command.whole(1), help="draws of each noise (default: one for each repeat of dare)"
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
    parser.add_argument(
        "--other-seed",
        type=command.whole(0, 2**32 - 1),
        help="whose net other-seed is (default: the next seed that is trained by the same recipe)",
    )
    command.run(main, parser)
