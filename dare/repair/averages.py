"""Averages of the history, without tuning: the exponential means, the median, the greedy soup, and swa.

All but `ema-step` measure batch-norm statistics again on x_train (`images` of it, None: all). Nothing is drawn.
"""

from __future__ import annotations  # its types load no library (pipeline/late.py)

import dataclasses
import math

import numpy

import models
from dare import controls
from dare.repair import past
from dare.repair.problem import Problem, Repaired
from train import step_average

TOGETHER = 1 << 27  # values held at once by the median


@dataclasses.dataclass(frozen=True, kw_only=True)
class Swa:
    """The mean of epochs E/2 .. E, as the control of DARE's study (dare/controls.py)."""

    title: str = "mean of the checkpoints of the second half"
    citation: str = "Izmailov, Podoprikhin, Garipov, Vetrov, Wilson, UAI 2018"
    images: int | None = None

    def repair(self, problem: Problem) -> Repaired:
        """The mean."""
        epochs = [*problem.mined, problem.history.last]
        with models.keeping_weights(problem.model, problem.original):
            weights = controls.swa(problem.model, problem.history, problem.x_train[: self.images], epochs=epochs)
        return Repaired(weights=weights, forward=remeasuring(problem, self.images), facts={"checkpoints": len(epochs)})


@dataclasses.dataclass(frozen=True, kw_only=True)
class EmaEpoch:
    """e <- tau e + (1 - tau) w_t over the epochs E/2 .. E, e = w_E/2 at first; tau by choice. [D]"""

    title: str = "exponential mean of the checkpoints of the second half"
    citation: str | None = None
    taus: tuple = (0.5, 0.7, 0.9)
    images: int | None = None

    def repair(self, problem: Problem) -> Repaired:
        """The mean with the tau that does best on the choice part."""
        epochs = [*problem.mined, problem.history.last]
        candidates = {tau: self.mean(problem, epochs, tau) for tau in self.taus}
        weights, facts = best(problem, candidates, "tau")
        passes = len(candidates) * (remeasuring(problem, self.images) + problem.scored)
        return Repaired(weights=weights, forward=passes, facts=facts | {"checkpoints": len(epochs)})

    def mean(self, problem: Problem, epochs: list[int], tau: float) -> list:
        """The exponential mean of some epochs with one tau: weights."""
        mean = past.mean_of_epochs(problem, coefficients(epochs, tau))
        return problem.remeasured(as_float32(problem, mean), self.images)


@dataclasses.dataclass(frozen=True, kw_only=True)
class EmaStep:
    """e <- tau e + (1 - tau) w after every training step, tau = min(.999, (t + 1) / (t + 10)), kept while training.

    Batch-norm statistics are averaged too, and not measured again. The training has to be asked for it (train/fit.py).
    """

    title: str = "exponential mean of the weights after every training step"
    citation: str = "Wang, Wang, ICLR 2022"

    def repair(self, problem: Problem) -> Repaired:
        """The mean. Raises ValueError where the training kept none."""
        mean, steps = step_average.of_history(problem.history, len(problem.original))
        return Repaired(weights=as_float32(problem, mean), facts={"steps": steps})


@dataclasses.dataclass(frozen=True, kw_only=True)
class Median:
    """The element-wise median of the last epochs of training; of an even number, the mean of the middle two.

    first: the fraction of the training after which epochs count [P: 75 of 120].
    1. [D] The released loop never raises its counter, so that its median is of epoch 75 alone.
    """

    title: str = "element-wise median of the last checkpoints"
    citation: str = "MEAT: median ensemble adversarial training, released code"
    first: float = 0.625
    images: int | None = None

    def repair(self, problem: Problem) -> Repaired:
        """The median; a tensor at a time, from the disk. Raises ValueError for fewer than two epochs."""
        first = math.ceil(self.first * problem.history.last)
        epochs = [epoch for epoch in problem.history.stored if epoch >= first]
        if len(epochs) < 2:
            kept = f"weights of {len(epochs)} epochs from epoch {first} on"
            raise ValueError(f"{problem.history.path}: {kept}, expected two for a median: train with --keep all")
        weights = problem.remeasured(median_of(problem, epochs), self.images)
        facts = {"checkpoints": len(epochs)}
        return Repaired(weights=weights, forward=remeasuring(problem, self.images), facts=facts)


@dataclasses.dataclass(frozen=True, kw_only=True)
class GreedySoup:
    """Checkpoints of H and E by choice accuracy, descending; one joins where the soup's choice accuracy rises [P].

    trial: images of x_train on which a trial's batch-norm statistics are measured [D].
    """

    title: str = "greedy soup of the checkpoints"
    citation: str = "Wortsman et al., ICML 2022"
    trial: int = 2000
    images: int | None = None

    def repair(self, problem: Problem) -> Repaired:
        """The soup."""
        epochs = [*problem.mined, problem.history.last]
        scores = {epoch: problem.score(self.mean(problem, [epoch], None)) for epoch in epochs}
        order = sorted(epochs, key=lambda epoch: (-scores[epoch], -epoch))
        soup, soup_score, trials = order[:1], scores[order[0]], 0
        for epoch in order[1:]:
            trial_weights = self.mean(problem, [*soup, epoch], self.trial)
            trials += 1
            if (trial_score := problem.score(trial_weights)) > soup_score:
                soup, soup_score = [*soup, epoch], trial_score
        weights = self.mean(problem, soup, self.images)
        passes = (len(epochs) + trials) * problem.scored + trials * remeasuring(problem, self.trial)
        passes += remeasuring(problem, self.images) if len(soup) > 1 else 0
        return Repaired(weights=weights, forward=passes, facts={"checkpoints": len(soup), "epochs": sorted(soup)})

    def mean(self, problem: Problem, soup: list[int], images: int | None) -> list:
        """The mean of some epochs: weights; one epoch keeps its own statistics."""
        weights = as_float32(problem, past.mean_of_epochs(problem, dict.fromkeys(soup, 1.0)))
        return weights if len(soup) == 1 else problem.remeasured(weights, images)


def coefficients(epochs: list[int], tau: float) -> dict[int, float]:
    """epoch -> its weight in the exponential mean of epochs in their order; they sum to 1."""
    result = {epoch: (1 - tau) * tau ** (len(epochs) - 1 - place) for place, epoch in enumerate(epochs)}
    return result | {epochs[0]: tau ** (len(epochs) - 1)}


def median_of(problem: Problem, epochs: list[int]) -> list:
    """The element-wise median of the weights of some epochs. Tensors are held TOGETHER values at a time [D]."""
    ends = numpy.cumsum([array.size for array in problem.original]) * len(epochs) // TOGETHER
    result = []
    with models.keeping_weights(problem.model, problem.original):
        for block in numpy.unique(ends):
            stacks, places = [], numpy.flatnonzero(ends == block)
            for epoch in epochs:
                problem.history.load_weights(problem.model, epoch)
                weights = problem.model.get_weights()
                stacks.append([weights[place] for place in places])
            for tensors in zip(*stacks, strict=True):
                result.append(numpy.median(numpy.stack(tensors), axis=0).astype(tensors[0].dtype))
    return result


def as_float32(problem: Problem, weights: list) -> list:
    """Weights in the dtypes of M's."""
    return [numpy.asarray(array).astype(like.dtype) for array, like in zip(weights, problem.original, strict=True)]


def best(problem: Problem, candidates: dict, name: str) -> tuple[list, dict]:
    """(the weights that do best on the images that choose, facts); the first of equals.

    candidates: value of a hyper-parameter -> weights; name: of the hyper-parameter.
    """
    scores = {value: problem.score(weights) for value, weights in candidates.items()}
    chosen = max(scores, key=scores.get)
    shown = {f"{value:g}": round(100 * score, 2) for value, score in scores.items()}
    return candidates[chosen], {name: chosen, "choice": shown}


def remeasuring(problem: Problem, images: int | None) -> int:
    """The forward passes of measuring batch-norm statistics again: the images, once a layer."""
    return problem.normalised * len(problem.x_train[:images])
