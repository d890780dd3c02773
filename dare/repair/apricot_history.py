"""Apricot's adjustment with the checkpoints of the history in the place of reduced models. [D]

Which epochs are correct comes from the history, and nothing is trained. One pass over the failures in a seeded order
with eta = theta / |N|; theta by choice, and batch-norm statistics are measured again. At theta = 1 the means have
largely replaced w_E. `steps` continues with so many training steps on the repair part.
"""

from __future__ import annotations  # its types load no library (pipeline/late.py)

import dataclasses

import models
from dare import controls
from dare.repair import apricot, averages, past
from dare.repair.problem import Problem, Repaired
from train.seeds import stream


@dataclasses.dataclass(frozen=True, kw_only=True)
class ApricotHistory:
    """The method.

    adjustment: the rule, with its sign.
    thetas: tried step sizes times |N|.
    steps, batch_size, learning_rate: of the training that follows (steps 0: none); DARE's budget.
    images: of x_train, for batch-norm statistics (None: all).
    """

    title: str
    citation: str = "Zhang, Chan, ASE 2019"
    adjustment: apricot.Adjustment = dataclasses.field(default_factory=apricot.Adjustment)
    thetas: tuple = (0.03, 0.1, 0.3, 1.0)
    steps: int = 0
    batch_size: int = 128
    learning_rate: float = 1e-4
    images: int | None = None

    def repair(self, problem: Problem) -> Repaired:
        """The adjusted weights with the theta that does best on the choice part."""
        epochs, count = problem.mined, len(problem.failures)
        correct, _, passes = past.outcomes(problem, problem.failures, epochs)
        correct = correct.T[stream(problem.seed, "order of failures").permutation(count)]
        candidates = {theta: self.adjusted(problem, epochs, correct, theta / count) for theta in self.thetas}
        weights, facts = averages.best(problem, candidates, "theta")
        kappa, c = apricot.coefficients(correct, self.adjustment, eta=facts["theta"] / count)
        facts |= {"kappa": round(kappa, 6), "of_checkpoints": [round(float(value), 6) for value in c]}
        passes += len(candidates) * (averages.remeasuring(problem, self.images) + problem.scored)
        trained = self.steps * self.batch_size
        if self.steps:
            weights = self.tuned(problem, weights)
        return Repaired(weights=weights, forward=passes + trained, backward=trained, facts=facts)

    def adjusted(self, problem: Problem, epochs: list[int], correct, eta: float) -> list:
        """The weights after the adjustment of every image with one eta."""
        kappa, c = apricot.coefficients(correct, self.adjustment, eta=eta)
        parts = {problem.history.last: kappa} | dict(zip(epochs, map(float, c), strict=True))
        mean = past.mean_of_epochs(problem, parts)  # the coefficients sum to 1
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
