"""METRICS that rank inputs, the orders they give, and how well an order finds failures."""

import dataclasses
from collections.abc import Callable

import numpy

from adv.guided import coverage, surprise, uncertainty
from train.seeds import stream


@dataclasses.dataclass(frozen=True)
class Context:
    """What a metric may use: outputs of the original model, from one forward pass over each set.

    reference_activations (M, D), reference_classes (M,): activations and predicted classes of clean training inputs.
    activations (N, D), classes (N,), probabilities (N, K): activations, predicted classes and softmax of the inputs to
        rank.
    seed: seed of the random order.
    """

    reference_activations: numpy.ndarray
    reference_classes: numpy.ndarray
    activations: numpy.ndarray
    classes: numpy.ndarray
    probabilities: numpy.ndarray
    seed: int = 0


@dataclasses.dataclass(frozen=True)
class Metric:
    """One metric. score: Context -> float64 (N,), higher comes first; ours: not in the study [D]."""

    title: str
    citation: str
    score: Callable
    ours: bool = False


def _surprise(function):
    def score(context):
        reference = context.reference_activations, context.reference_classes
        return function(*reference, context.activations, context.classes)

    return score


KIM, FENG = "Kim, Feldt, Yoo, ICSE 2019", "Feng, Shi, Gao, Wan, Fang, Chen, ISSTA 2020"
METRICS = {
    "lsa": Metric("likelihood-based surprise adequacy", KIM, _surprise(surprise.lsa)),
    "dsa": Metric("distance-based surprise adequacy", KIM, _surprise(surprise.dsa)),
    "deepgini": Metric("DeepGini", FENG, lambda context: uncertainty.deepgini(context.probabilities)),
    "softmax_entropy": Metric(
        "entropy of the softmax",
        "Weiss, Tonella, ISSTA 2022",
        lambda context: uncertainty.softmax_entropy(context.probabilities),
    ),
    "neuron_coverage": Metric(
        "neuron coverage",
        "Pei, Cao, Yang, Jana, SOSP 2017",
        lambda context: coverage.neuron_coverage(context.activations),
    ),
    "random": Metric(
        "random order", "-", lambda context: stream(context.seed, "random order").random(len(context.classes))
    ),
    "margin": Metric(
        "margin of the softmax", "-", lambda context: uncertainty.margin(context.probabilities), ours=True
    ),
    "max_softmax": Metric(
        "largest softmax", "-", lambda context: uncertainty.max_softmax(context.probabilities), ours=True
    ),
}
TIES = "of equal scores the input that stands first in the pool"


def order(scores):
    """Indices from the highest score to the lowest, infinity first: int64 (N,); ties as TIES says.

    Raises ValueError for a score that is NaN.
    """
    scores = numpy.asarray(scores, numpy.float64)
    if scores.ndim != 1 or numpy.isnan(scores).any():
        raise ValueError(f"scores of shape {scores.shape} with {numpy.isnan(scores).sum()} NaN, expected numbers (N,)")
    return numpy.argsort(-scores, kind="stable")


def ties(scores):
    """How many scores are not alone: the inputs whose place TIES decides."""
    _, counts = numpy.unique(scores, return_counts=True)
    return int(counts[counts > 1].sum())


def apfd(ranked, failed):
    """Average percentage of faults detected by an order: 1 - sum of the failures' places / (k n) + 1 / (2 n).

    Rothermel et al., ICSM 1999, each failing input a fault of its own. ranked: indices (N,), the order; failed: bool
    (N,), which inputs fail, of which there are k, places counted from 1. Raises ValueError where none fails.
    """
    ranked, failed = numpy.asarray(ranked), numpy.asarray(failed)
    if (
        failed.dtype != bool
        or ranked.shape != failed.shape
        or not numpy.array_equal(numpy.sort(ranked), numpy.arange(len(ranked)))
    ):
        raise ValueError(
            f"an order of shape {ranked.shape} and failures of {failed.shape}, expected a permutation and bool"
        )
    places = 1 + numpy.flatnonzero(failed[ranked])
    if not len(places):
        raise ValueError("no input fails: there is no fault whose place an order could have")
    return float(1 - places.sum() / (len(places) * len(ranked)) + 1 / (2 * len(ranked)))
