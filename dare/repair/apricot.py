"""Apricot: adjust weights towards models that are correct on an image, off those that misclassify it.

For each failing image in turn, with R the correct ones of the reduced models w_1 .. w_T and S the others,

    w <- w - eta (|R|/T (w - mean_R) - |S|/T (w - mean_S)),

an affine combination of w and the reduced models. So w stays kappa w_E + sum of c_t w_t, and T + 1 numbers follow any
number of images. An image on which all models agree is skipped. Zhang, Chan, ASE 2019.

1. [P] `toward`, the sign of the abstract: to the correct models, off the others. [P] The public re-implementation has
   the opposite sign ("as-released").
2. [D] One pass over the failures in a seeded order with eta = theta / |N|; theta by choice. At theta = 1 the means have
   largely replaced w_E. Batch-norm statistics are measured again. The public re-implementation trains after every batch
   for hundreds of hours.
"""

from __future__ import annotations  # its types load no library (pipeline/late.py)

import dataclasses

import numpy

import models
from dare import controls
from dare.repair import averages
from dare.repair.problem import Problem, Repaired
from dare.repair.references import Checkpoints, Reduced
from train.seeds import stream

SIGNS = ("toward", "as-released")
PARTS = (None, "right", "wrong")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Adjustment:
    """The rule. sign: of SIGNS; only: "right" (R) or "wrong" (S) for that part alone (None: both)."""

    sign: str = "toward"
    only: str | None = None

    def __post_init__(self):
        for name, valid in (("sign", SIGNS), ("only", PARTS)):
            if getattr(self, name) not in valid:
                raise ValueError(f"{name} is {getattr(self, name)!r}, expected one of {', '.join(map(str, valid))}")


def coefficients(correct: numpy.ndarray, adjustment: Adjustment, *, eta: float) -> tuple[float, numpy.ndarray]:
    """(kappa, c (T,)), float64, after all images; kappa + sum(c) = 1.

    correct: bool (images, T), which reduced models are correct on each image, in the order of the images.
    eta: the step size, positive.
    """
    kappa, c = 1.0, numpy.zeros(correct.shape[1])
    step = (eta if adjustment.sign == "toward" else -eta) / correct.shape[1]
    for row in correct:
        if row.all() or not row.any():
            continue
        to = numpy.where(row, float(adjustment.only != "wrong"), -float(adjustment.only != "right"))
        kappa, c = kappa * (1 - step * to.sum()), c * (1 - step * to.sum()) + step * to
    return float(kappa), c


@dataclasses.dataclass(frozen=True, kw_only=True)
class Apricot:
    """The method.

    references: the models that it adjusts towards.
    adjustment: the rule, with its sign.
    thetas: tried step sizes times |N|.
    steps, batch_size, learning_rate: of the training that follows (steps 0: none); DARE's budget.
    images: of x_train, for batch-norm statistics (None: all).
    """

    title: str
    citation: str = "Zhang, Chan, ASE 2019"
    references: Checkpoints | Reduced = dataclasses.field(default_factory=Checkpoints)
    adjustment: Adjustment = dataclasses.field(default_factory=Adjustment)
    thetas: tuple = (0.03, 0.1, 0.3, 1.0)
    steps: int = 0
    batch_size: int = 128
    learning_rate: float = 1e-4
    images: int | None = None

    def repair(self, problem: Problem) -> Repaired:
        """The adjusted weights with the theta that does best on the choice part."""
        count, references = len(problem.failures), self.references.of(problem)
        correct = references.correct.T[stream(problem.seed, "order of failures").permutation(count)]
        factors = {theta: coefficients(correct, self.adjustment, eta=theta / count) for theta in self.thetas}
        candidates = {theta: self.adjusted(problem, references.mean(*each)) for theta, each in factors.items()}
        weights, facts = averages.best(problem, candidates, "theta")
        kappa, c = factors[facts["theta"]]
        facts |= {"kappa": round(kappa, 6), "of_references": [round(float(value), 6) for value in c]}
        measured = len(candidates) * (averages.remeasuring(problem, self.images) + problem.scored)
        trained = self.steps * self.batch_size
        if self.steps:
            weights = self.tuned(problem, weights)
        passes = {"forward": references.forward + measured + trained, "backward": references.backward + trained}
        return Repaired(weights=weights, facts=facts, **passes)

    def adjusted(self, problem: Problem, mean: list) -> list:
        """The weights of a mean, with batch-norm statistics of its own."""
        return problem.remeasured(averages.as_float32(problem, mean), self.images)

    def tuned(self, problem: Problem, weights: list) -> list:
        """The weights after some training steps on the repair part, as the control tune-clean takes them."""
        with models.keeping_weights(problem.model, problem.original):
            problem.model.set_weights(weights)
            return controls.tune_clean(
                problem.model,
                problem.repair.x,
                problem.repair.y,
                steps=self.steps,
                batch_size=self.batch_size,
                learning_rate=self.learning_rate,
                seed=problem.seed,
            )
