"""Apply variants of DARE to one trained model. Their inputs are read once; each tuning gives a weight set."""

import contextlib
import dataclasses
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy

import models
from dare import dare, get_ats, key_neurons, learning_rate, nnslicer, retarget
from dare.variants import Variant
from data import files
from train import seeds


@contextlib.contextmanager
def _silent(title):
    yield None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tuner:
    """The inputs of all variants of one model.

    model, original: the final model and its weights.
    history: its train.history.History.
    targets: the mined targets.
    slices: the slice of the final model.
    x, y: x_validation and its labels.
    score: (weights, rows of x_validation) -> {"clean", "er"} in percent: the accuracy on these rows, and on the
        validation part of the adversarials.
    frozen_below: as in dare.improve.
    seed: of the cell.
    progress: title -> a context manager that gives a progress function or None.
    """

    model: "keras.Model"
    original: list = dataclasses.field(repr=False)
    history: Any
    targets: get_ats.Targets
    slices: nnslicer.Slice
    x: numpy.ndarray = dataclasses.field(repr=False)
    y: numpy.ndarray = dataclasses.field(repr=False)
    score: Callable
    frozen_below: str | None = None
    seed: int = 0
    progress: Callable = _silent

    def variant(
        self, variant: Variant, *, rates: Sequence[float] | None = None, path: str | pathlib.Path | None = None
    ) -> tuple[Callable, dict]:
        """(make, facts) of a Variant: make(repeat) gives the weights, facts the settings that it has in this model.

        rates: learning rates in place of the variant's own.
        path: temporary file for targets other than the mined ones.
        With the source "random", epochs are drawn again for every repeat.
        """
        targets = self.targets_of(variant, 0, path)
        rate, facts = self.choose_rate(variant, targets, rates or variant.learning_rates)
        facts |= {"learning_rate": rate, "combine": variant.combine, "layer": targets.layer, "source": variant.source}
        facts |= {"steps": variant.steps, "epochs": variant.epochs, "batch_size": variant.batch_size}
        if variant.combine:
            masks = dare.slice_masks(self.model, self.slices, variant.combine, targets.layer)
            facts["frozen_share"] = {layer: round(1 - float(mask.mean()), 4) for layer, mask in masks.items()}
        if variant.neurons:
            key = key_neurons.key_channels(self.model, self.slices, targets.layer, variant.neurons)
            facts["key_share"] = [round(float(share), 4) for share in key.mean(axis=1)]

        def make(repeat):
            draw = variant.source == "random" and repeat > 0
            return self.tuned(variant, self.targets_of(variant, repeat, path) if draw else targets, rate, repeat)

        return make, facts

    def targets_of(self, variant: Variant, repeat: int, path: str | pathlib.Path | None = None) -> get_ats.Targets:
        """The targets of a variant. The file at `path` is unlinked at once, and can be read while it is open.

        repeat: number of the tuning, from 0; it seeds random epochs.
        """
        try:
            with self.progress(f"targets of {variant.title}") as progress:
                return retarget.of_variant(
                    variant,
                    self.model,
                    self.history,
                    self.targets,
                    self.x,
                    seed=self.repeat_seed(repeat),
                    path=path,
                    progress=progress,
                )
        finally:
            if path is not None:
                files.remove(path)

    def tuned(self, variant: Variant, targets: get_ats.Targets, rate: float, repeat: int) -> list:
        """The weights of a variant, tuned from the original ones at one learning rate.

        targets: as targets_of returns them; repeat: number of the tuning, from 0.
        """
        with models.keeping_weights(self.model, self.original):
            self.model.set_weights(self.original)
            with self.progress(f"{variant.title} at {rate:g}") as progress:
                dare.improve(
                    self.model,
                    variant,
                    targets,
                    self.x,
                    self.y,
                    slices=self.slices,
                    learning_rate=rate,
                    seed=self.repeat_seed(repeat),
                    frozen_below=self.frozen_below,
                    progress=progress,
                )
            return self.model.get_weights()

    def choose_rate(self, variant: Variant, targets: get_ats.Targets, rates: Sequence[float]) -> tuple[float, dict]:
        """(learning rate, facts on how it was chosen: none for a single rate); see dare.learning_rate.

        targets: as targets_of returns them; rates: those that are tried.
        Raises ValueError where every sample is among the images that judge a rate.
        """
        if len(rates) == 1:
            return rates[0], {}
        judges = learning_rate.held_out(len(self.y), self.seed)
        rows = numpy.flatnonzero(~numpy.isin(targets.index, judges))
        if not len(rows):
            raise ValueError(
                f"all {len(targets.index)} selected samples are among the images that judge a learning rate: give one "
                "value to --learning-rates"
            )
        tuning_targets = targets.subset(rows)
        clean = self.score(self.original, judges)["clean"]
        rate, grid = learning_rate.choose(
            rates,
            lambda rate: self.tuned(variant, tuning_targets, rate, 0),
            lambda weights: self.score(weights, judges),
            clean=clean,
        )
        judged = {"images": len(judges), "clean": clean, "least": round(clean - learning_rate.LOSS, 3)}
        return rate, {"grid": {f"{tried:g}": score for tried, score in grid.items()}, "judged_by": judged}

    def repeat_seed(self, repeat: int) -> int:
        """The seed of a repeat's batches and, with the source "random", of its epochs."""
        return seeds.of_repeat(self.seed, repeat)
