"""A trained cell on which DARE's variants and the controls are made: its images, and what judges a learning rate."""

import dataclasses
import functools

import numpy

import models
from adv import evaluate
from dare import controls, dare, tuner
from data import files
from pipeline import command, run_directory
from pipeline.progress import Progress
from studies.dare import trained_cell
from train import history as histories
from train import params
from train.seeds import stream


class Cell:
    """The tuner of a trained cell, and its images and validation adversarials."""

    def __init__(self, arguments):
        self.arguments = arguments
        opened = trained_cell.load(arguments)
        self.model, self.original = opened.model, opened.original
        self.history, self.split = opened.history, opened.split
        sets = trained_cell.adversarial_sets(arguments, opened, arguments.choose_on).values()
        self.validation = [one.parts["validation"] for one in sets if len(one.parts["validation"].labels)]
        self.tuner = tuner.Tuner(
            model=self.model,
            original=self.original,
            history=self.history,
            targets=trained_cell.targets(arguments, opened),
            slices=trained_cell.slices(arguments, opened),
            x=self.split.x_validation,
            y=self.split.y_validation,
            score=self.score,
            frozen_below=params.first_tuned(arguments.model),
            seed=arguments.seed,
            progress=functools.partial(Progress, quiet=arguments.quiet),
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
        make, facts = self.tuner.variant(dare.VARIANTS[name], rates=self.arguments.learning_rates, path=path)
        facts |= {"chosen_on": list(self.arguments.choose_on)} if "grid" in facts else {}
        return map(make, range(self.arguments.repeats)), facts

    def control(self, name, settings):
        """The same of a control; DARE's own change of weights and its budget are read from its stage."""
        control = controls.CONTROLS[name]
        context = controls.Context(
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
            record = run_directory.record(run_directory.folder(self.arguments, "finetune_dare-dare"))
            facts["learning_rate"] = record["learning_rate"]
            budget = {what: record[what] for what in ("learning_rate", "steps", "batch_size")}
            draws, tunings = settings.draws or settings.repeats, record["arguments"]["repeats"]
            changes = (
                {"tuned": self.dare_weights(draw % tunings), "budget": budget, "seed": self.tuner.repeat_seed(draw)}
                for draw in range(draws)
            )
        elif name == "other-seed":
            path = run_directory.folder(command.narrow(self.arguments, seed=settings.other_seed), "train")
            changes = [{"other": histories.History(path / "history")}]
        return (self.make(control, dataclasses.replace(context, **change)) for change in changes), facts

    def make(self, control, context):
        self.model.set_weights(self.original)
        return control.make(context)

    def dare_weights(self, repeat):
        """What DARE's own stage made; a control with more draws than it has repeats takes these in turn."""
        folder = run_directory.folder(self.arguments, "finetune_dare-dare")
        histories.load_weights(self.model, folder / f"weights-{repeat}.weights.h5")
        return self.model.get_weights()

    def save(self, weights, path, copied=None):
        """Write weights; of a file `copied` that holds them already, make a link."""
        if copied is not None:
            files.link(copied, path)
            return
        with models.keeping_weights(self.model, self.original):
            self.model.set_weights(weights)
            histories.save_weights(self.model, path)

    def some(self, images, count):
        """`count` images drawn at random: the first ones may all be of one class."""
        order = stream(self.arguments.seed, "logit sample").permutation(len(images))
        return images[numpy.sort(order[:count])]
