"""A cell of the repair study: problems for the methods, and what a repaired model is measured on."""

from __future__ import annotations

import argparse
import dataclasses
import pathlib
from collections.abc import Callable
from typing import Any

import numpy

import models
from adv import checks, evaluate, evaluation, scoring
from dare import controls
from dare.flags import Flags
from dare.repair import arachne, catalogue, metrics, problem
from pipeline import run_directory
from pipeline.progress import Progress
from studies.dare import trained_cell
from studies.repair import reduced
from train import history as histories
from train import seeds

NOISE = "noise-"  # measures of weight noise of the method's own norm
GIVEN = ("original", "dare")  # weights that are there already


class Cell:
    """The trained model, the parts of its images, its adversarial sets, and the model's own flags.

    epsilon: Linf radius of the white-box attack, in [0, 1] pixel scale
    attacked: rows of x_test under white-box attack
    """

    def __init__(self, arguments):
        self.arguments, self.trained = arguments, trained_cell.load(arguments)
        self.split, self.history, self.model = self.trained.split, self.trained.history, self.trained.model
        self.original = self.trained.original
        self.sets = trained_cell.adversarial_sets(arguments, self.trained, arguments.attack)
        self.epsilon = arguments.epsilon or scoring.EPSILONS[self.split.x_test.shape[-1]][0]
        order = seeds.stream(arguments.seed, "images under AutoAttack").permutation(len(self.split.x_test))
        self.attacked = numpy.sort(order[: arguments.images])
        self.predicted = evaluate.classes(self.model, self.split.x_test, self.split.y_test)
        self.before = self.predicted == self.split.y_test

    def problem(
        self, repeat: int, state: pathlib.Path | None = None, progress: Callable | None = None
    ) -> problem.Problem:
        """What a repeat of a method may read: nothing of x_test. state: file in the stage's folder."""
        arguments, split = self.arguments, self.split
        order = seeds.stream(arguments.seed, "images of batch norm").permutation(len(split.x_train))
        adversarial = {}
        if arguments.failures == "adversarial":
            adversarial = {"adversarial": self._part("train"), "judged": self._part("validation")}

        def train(place, fraction):
            folder = state.parent / f"reduced-{place}"
            return reduced.train(self.trained, folder, arguments.seed, place, fraction, progress)

        return problem.make(
            self.model,
            self.history,
            split.x_validation,
            split.y_validation,
            x_train=split.x_train[numpy.sort(order[: arguments.norm_images])],
            most_failures=arguments.most_failures,
            most_kept=arguments.most_kept,
            seed=seeds.of_repeat(arguments.seed, repeat),
            split_seed=arguments.seed,
            state=state,
            progress=progress,
            train=None if state is None else train,
            **adversarial,
        )

    def repaired(self, name: str, repeat: int, state: pathlib.Path | None = None) -> problem.Repaired:
        """The result of a repeat of a method, or the weights of the original or of a repeat of DARE."""
        if name == "original":
            return problem.Repaired(weights=self.original)
        if name == "dare":
            return self._dare(repeat)
        with Progress(f"repair {name} {repeat}", self.arguments.quiet) as progress:
            return method(self.arguments, name).repair(self.problem(repeat, state, progress))

    def repeats(self, name: str) -> int:
        """The repeats of a method: 1 of one that draws no random number."""
        if name == "dare":
            record = run_directory.record(run_directory.folder(self.arguments, "finetune_dare-dare"))
            return record["arguments"]["repeats"]
        return self.arguments.repeats if name in catalogue.DRAWN else 1

    def flags(self, name: str, repeat: int, repaired: problem.Repaired, folder: pathlib.Path) -> tuple[Flags, dict]:
        """(the Flags of a repaired model and of weight noise of the same norm, facts on the weights and on the noise).

        folder: where AutoAttack keeps its flags.
        """
        attacked = attacks(self.arguments, name) and repeat < self.arguments.attack_repeats
        repaired_images = None
        if name not in (*GIVEN, *catalogue.OF_HISTORY):
            task = self.problem(repeat)
            pair = repaired.facts.get("confusion")
            repaired_images = task.failures if pair is None else arachne.confused(task, tuple(pair))[0]
        attack_folder = folder / f"autoattack-{repeat}" if attacked else None
        predicted, checked = self._measured(repaired, repaired_images, attack_folder)
        facts = {"forward": repaired.forward, "backward": repaired.backward, "facts": repaired.facts}
        facts |= {"changed": None, "relative_change": None, "noise_checks": []}
        if repaired.weights is not None:
            change = controls.relative_change(self.original, repaired.weights)
            facts |= {"changed": metrics.changed(self.original, repaired.weights), "relative_change": change}
        if name != "original" and repaired.weights is not None:
            noise = noise_like(self.problem(repeat), repaired.weights)
            noise_folder = folder / f"noise-{repeat}" if attacked else None
            noisy, of_noise = self._measured(
                dataclasses.replace(repaired, weights=noise), repaired_images, noise_folder
            )
            predicted |= {NOISE + measure: part for measure, part in noisy.items()}
            facts["noise_checks"] = list(of_noise)
        groups = ({name: part[place] for name, part in predicted.items()} for place in range(3))
        identity = models.fingerprint(self.model)
        return Flags(*groups, {}, model=identity, data=self.split.fingerprint, checks=checked), facts

    def _measured(self, repaired, repaired_images, folder):
        """(measure -> (predicted, label, rows), checks) of a model on images that no method saw, and that it repaired.

        repaired_images: the images that it repaired; None: it read none
        folder: where AutoAttack keeps its flags; None: it does not run
        """
        split, checked = self.split, []
        with models.keeping_weights(self.model, self.original):
            model = repaired.model or self.model
            if repaired.model is None:
                self.model.set_weights(repaired.weights)
            clean = _classes(model, split.x_test, split.y_test)
            after = clean == split.y_test
            by_measure = {"clean": (clean, split.y_test, numpy.arange(len(clean)))}
            for name, (rows, flags) in metrics.rates(self.before, after).items():
                by_measure[name] = flags.astype("int32"), numpy.ones(len(flags), "int32"), rows
            if "confusion" in repaired.facts:
                label, other = repaired.facts["confusion"]
                confused = numpy.flatnonzero((split.y_test == label) & (self.predicted == other))
                if len(confused):
                    by_measure["rr-confusion"] = clean[confused], split.y_test[confused], confused
            if repaired_images is not None:
                numbers = numpy.arange(len(repaired_images)) if repaired_images.rows is None else repaired_images.rows
                by_measure["rr-seen"] = (
                    _classes(model, repaired_images.x, repaired_images.y),
                    repaired_images.y,
                    numbers,
                )
            for attack, adversarials in self.sets.items():
                for part, measure in (("test", "er"), ("heldout", "er-heldout")):
                    images = adversarials.parts[part]
                    if len(images.labels):
                        predicted = _classes(model, images.images, images.labels)
                        by_measure[f"{measure}/{attack}"] = predicted, images.labels, images.index
            if folder is not None:
                withstood, checked = self._attacked(model, after, folder)
                by_measure[f"white-box/{scoring.ball('autoattack', self.epsilon)}"] = withstood
        whole = {name: (_int(a), _int(b), numpy.asarray(c, "int64")) for name, (a, b, c) in by_measure.items()}
        return whole, tuple(map(dataclasses.asdict, checked))

    def _attacked(self, model, after, folder):
        """AutoAttack on the model itself, and its checks: images that withstand it keep their label, others have none.

        Returns ((predicted, label, rows), list of checks.Check).
        """
        x, y = self.split.x_test[self.attacked], self.split.y_test[self.attacked]
        robust = after[self.attacked]
        if robust.any():  # a net that classifies no image correctly withstands nothing
            with Progress(f"AutoAttack {folder.name}", self.arguments.quiet) as progress:
                result = evaluation.benchmark(
                    model, x, y, epsilon=self.epsilon, seed=self.arguments.seed, folder=folder, progress=progress
                )
            robust, checked = [*result.flags.values()][-1], result.checks
        else:
            checked = checks.brief(model, x, y)
        return (numpy.where(robust, y, -1), y, self.attacked), checked

    def _part(self, part):
        parts = [self.sets[name].parts[part] for name in self.arguments.repair_on]
        return problem.Images(
            numpy.concatenate([each.images for each in parts]), numpy.concatenate([each.labels for each in parts])
        )

    def _dare(self, repeat):
        folder = run_directory.folder(self.arguments, "finetune_dare-dare")
        record = run_directory.record(folder)
        with models.keeping_weights(self.model, self.original):
            histories.load_weights(self.model, folder / f"weights-{repeat}.weights.h5")
            weights = self.model.get_weights()
        trained = record["steps"] * record["batch_size"]
        facts = {"learning_rate": record["learning_rate"], "passes": "of the tuning alone"}
        return problem.Repaired(weights=weights, forward=trained, backward=trained, facts=facts)


def noise_like(repair_problem: problem.Problem, weights: list) -> list:
    """M's weights with Gaussian noise in every trainable array, of the norm of a method's change there.

    Batch-norm statistics get no noise, which could make a variance negative; where the method changed them they are
    measured again, as the method does. [D]
    """
    trainable = {id(variable) for variable in repair_problem.model.trainable_variables}
    drawn = [id(variable) in trainable for variable in repair_problem.model.weights]
    changed = [
        after if draw else before for before, after, draw in zip(repair_problem.original, weights, drawn, strict=True)
    ]
    noise = controls.weight_noise(repair_problem.original, changed, seed=repair_problem.seed)
    pairs = zip(repair_problem.original, weights, drawn, strict=True)
    moved = any(not draw and (before != after).any() for before, after, draw in pairs)
    return repair_problem.remeasured(noise) if moved else noise


def attacks(arguments: argparse.Namespace, name: str) -> bool:
    """Whether AutoAttack is run on a method's net."""
    return arguments.attack_repeats > 0 and bool({"all", name} & {*arguments.attacked})


def method(arguments: argparse.Namespace, name: str) -> Any:
    """The method of a name with the sizes, and for the confusion, that the arguments ask for."""
    sizes = {"particles": arguments.particles, "generations": arguments.generations}
    return catalogue.method(name, **sizes, confusion=arguments.confusion)


def _classes(model, x, y):
    """Predicted classes; -1 for every image of a model whose logits are not finite."""
    try:
        return evaluate.classes(model, x, y)
    except models.NonFiniteLogits:
        return numpy.full(len(y), -1)


def _int(values):
    return numpy.asarray(values).astype("int32")
