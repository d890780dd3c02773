"""The models that Apricot adjusts towards: checkpoints of the history, or models trained on parts of x_train."""

from __future__ import annotations  # its types load no library (pipeline/late.py)

import dataclasses
from collections.abc import Callable

import numpy

import models
from adv import evaluate
from dare.repair import past
from dare.repair.problem import Problem


@dataclasses.dataclass(frozen=True, kw_only=True)
class References:
    """T models beside the final model M.

    correct: which of them are correct on each failure, bool (T, n).
    mean: called as mean(kappa, c (T,)) -> weights kappa M + sum of c_t w_t, float64; kappa and c sum to 1.
    forward, backward: passes that they took, in images.
    """

    correct: numpy.ndarray = dataclasses.field(repr=False)
    mean: Callable
    forward: int
    backward: int = 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Checkpoints:
    """The mined epochs of the history in the place of reduced models: nothing is trained. [D]"""

    def of(self, problem: Problem) -> References:
        """The References of a problem."""
        epochs = problem.mined
        correct, _, passes = past.outcomes(problem, problem.failures, epochs)

        def mean(kappa, c):
            parts = {problem.history.last: kappa} | dict(zip(epochs, map(float, c), strict=True))
            return past.mean_of_epochs(problem, parts)

        return References(correct=correct, mean=mean, forward=passes)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reduced:
    """`count` models of M's architecture, each trained from new weights on a random part of x_train.

    fraction: of x_train.
    The recipe and the number of epochs are M's: 5 models on a fifth cost what M's training cost. [D] The public
    re-implementation: 20 models, 1,000 images a class, 60 epochs of Adam.
    """

    count: int = 5
    fraction: float = 0.2

    def of(self, problem: Problem) -> References:
        """The References of a problem. Raises ValueError where the problem offers no training."""
        if problem.train is None:
            raise ValueError(f"{problem.model.name}: no recipe to train reduced models by, expected Problem.train")
        trained = [problem.train(place, self.fraction) for place in range(self.count)]
        weights, passes = [each for each, _ in trained], sum(each for _, each in trained)
        correct = []
        with models.keeping_weights(problem.model, problem.original):
            for each in weights:
                problem.model.set_weights(each)
                correct.append(evaluate.correct(problem.model, problem.failures.x, problem.failures.y))

        def mean(kappa, c):
            parts = zip((kappa, *c), (problem.original, *weights), strict=True)
            scaled = [[factor * array.astype("float64") for array in each] for factor, each in parts]
            return [sum(arrays) for arrays in zip(*scaled, strict=True)]

        forward = passes + self.count * len(problem.failures)
        return References(correct=numpy.array(correct), mean=mean, forward=forward, backward=passes)
