"""A trained cell with everything that DARE's variants and the controls need."""

import argparse
import dataclasses
import functools
import pathlib

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
    """The tuner of a trained cell, its images, and the validation adversarials that score a learning rate."""

    def __init__(self, arguments):
        self.arguments = arguments
        trained = trained_cell.load(arguments)
        self.model, self.original = trained.model, trained.original
        self.history, self.split = trained.history, trained.split
        sets = trained_cell.adversarial_sets(arguments, trained, arguments.choose_on).values()
        self.validation = [each.parts["validation"] for each in sets if len(each.parts["validation"].labels)]
        self.tuner = tuner.Tuner(
            model=self.model,
            original=self.original,
            history=self.history,
            targets=trained_cell.targets(arguments, trained),
            slices=trained_cell.slices(arguments, trained),
            x=self.split.x_validation,
            y=self.split.y_validation,
            score=self.score,
            frozen_below=params.first_tuned(arguments.model),
            seed=arguments.seed,
            progress=functools.partial(Progress, quiet=arguments.quiet),
        )

    def score(self, weights: list, rows: numpy.ndarray) -> dict[str, float]:
        """The scores that choose a learning rate, in percent: accuracy on rows of x_validation, ER on validation parts.

        Raises ValueError if no set has a validation part.
        """
        if not self.validation:
            raise ValueError(
                "the validation parts hold no adversarial image to choose a learning rate with: make sets with a "
                "larger validation part, or give one value to --learning-rates"
            )
        self.model.set_weights(weights)
        clean = evaluate.correct(self.model, self.split.x_validation[rows], self.split.y_validation[rows]).mean()
        flags = [evaluate.correct(self.model, part.images, part.labels).mean() for part in self.validation]
        return {"clean": round(100 * float(clean), 3), "er": round(100 * float(numpy.mean(flags)), 3)}

    def variant(self, name: str, folder: pathlib.Path) -> tuple:
        """(iterator over the weights of each repeat, facts) of the variant `name`.

        folder: of the stage, for a temporary file
        """
        path = folder / f"{files.TEMPORARY}targets.h5"
        make, facts = self.tuner.variant(dare.VARIANTS[name], rates=self.arguments.learning_rates, path=path)
        facts |= {"chosen_on": list(self.arguments.choose_on)} if "grid" in facts else {}
        return map(make, range(self.arguments.repeats)), facts

    def control(self, name: str, settings: argparse.Namespace) -> tuple:
        """(iterator over the weights of each repeat, facts) of a control.

        name: of the control; settings: its arguments (repeats, draws, other_seed)
        DARE's weights and budget are read from its stage.
        """
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
            facts |= budget if name == "tune-clean" else {}
            # A control with more draws than DARE has repeats uses these in turn.
            draws, tunings = settings.draws or settings.repeats, record["arguments"]["repeats"]
            changes = (
                {"tuned": self.dare_weights(draw % tunings), "budget": budget, "seed": self.tuner.repeat_seed(draw)}
                for draw in range(draws)
            )
        elif name == "other-seed":
            path = run_directory.folder(command.narrow(self.arguments, seed=settings.other_seed), "train")
            changes = [{"other": histories.History(path / "history")}]
        return (self.make(control, dataclasses.replace(context, **change)) for change in changes), facts

    def make(self, control: controls.Control, context: controls.Context) -> list:
        """The weights of a control, made from the original weights."""
        self.model.set_weights(self.original)
        return control.make(context)

    def dare_weights(self, repeat: int) -> list:
        """The weights of one of DARE's own repeats."""
        folder = run_directory.folder(self.arguments, "finetune_dare-dare")
        histories.load_weights(self.model, folder / f"weights-{repeat}.weights.h5")
        return self.model.get_weights()

    def save(self, weights: list, path: str | pathlib.Path, copied: str | pathlib.Path | None = None) -> None:
        """Write weights to `path`, or link to the file `copied` that already holds them."""
        if copied is not None:
            files.link(copied, path)
            return
        with models.keeping_weights(self.model, self.original):
            self.model.set_weights(weights)
            histories.save_weights(self.model, path)

    def some(self, images: numpy.ndarray, count: int) -> numpy.ndarray:
        """`count` random images; not the first, which may all be of one class."""
        order = stream(self.arguments.seed, "logit sample").permutation(len(images))
        return images[numpy.sort(order[:count])]
