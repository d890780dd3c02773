"""Which images the checkpoints of the history classify correctly, and with what confidence.

Of x_validation images the history records both; of adversarials they are computed, one forward pass an image and epoch.
"""

from __future__ import annotations  # its types load no library (pipeline/late.py)

import numpy

import models
from dare.repair.problem import Images, Problem
from train import history as histories


def outcomes(problem: Problem, images: Images, epochs: list[int]) -> tuple[numpy.ndarray, numpy.ndarray, int]:
    """(correct: bool (T, n), log p_t(y|x): float32 (T, n), forward passes) of some images under some epochs."""
    if not len(images):
        return numpy.zeros((len(epochs), 0), bool), numpy.zeros((len(epochs), 0), "float32"), 0
    correct, confidence = [], []
    with models.keeping_weights(problem.model, problem.original):
        for epoch in epochs:
            if images.rows is not None:
                log_probability, predicted, _ = problem.history.record(epoch)
                log_probability, predicted = log_probability[images.rows], predicted[images.rows]
            else:
                problem.history.load_weights(problem.model, epoch)
                log_probability, predicted = histories.confidence(problem.model, images.x, images.y)
            correct.append(predicted == images.y)
            confidence.append(log_probability)
    passes = 0 if images.rows is not None else len(epochs) * len(images)
    return numpy.array(correct), numpy.array(confidence), passes


def mean_of_epochs(problem: Problem, counts: dict[int, float]) -> list[numpy.ndarray]:
    """The weighted mean of the weights of several epochs, float64 (sum of counts 1 or not; it is divided by it).

    counts: epoch -> weight. The epochs are read once, one after the other.
    """
    total, sum_ = None, float(sum(counts.values()))
    with models.keeping_weights(problem.model, problem.original):
        for epoch, count in counts.items():
            problem.history.load_weights(problem.model, epoch)
            weights = [count * numpy.asarray(array, "float64") for array in problem.model.get_weights()]
            total = weights if total is None else [a + b for a, b in zip(total, weights, strict=True)]
    return [array / sum_ for array in total]
