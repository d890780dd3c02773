"""METRICS that rank inputs, the order of their scores, and APFD: how early an order has the failures."""

import dataclasses
from collections.abc import Callable

import numpy

from adv.guided import coverage, selection, surprise, uncertainty
from train.seeds import stream

TIES = "of equal scores the input that stands first in the pool"


@dataclasses.dataclass(frozen=True)
class Context:
    """The input of a metric: results of the original model.

    reference_activations, reference_classes: activations (M, D) and predicted classes (M,) of clean training inputs.
    activations, classes, probabilities: the same (N, D), (N,) and softmax (N, K) of the inputs to rank.
    fol: first-order loss (N,) of adversarial inputs (adv/guided/fol.py); None: the orders by FOL are refused.
    seed: of the random orders.
    """

    reference_activations: numpy.ndarray
    reference_classes: numpy.ndarray
    activations: numpy.ndarray
    classes: numpy.ndarray
    probabilities: numpy.ndarray
    fol: numpy.ndarray | None = None
    seed: int = 0


def order(scores: numpy.ndarray) -> numpy.ndarray:
    """Indices from the highest score to the lowest: int64 (N,); ties as in TIES.

    scores: floats (N,). Raises ValueError for NaN.
    """
    scores = numpy.asarray(scores, numpy.float64)
    if scores.ndim != 1 or numpy.isnan(scores).any():
        raise ValueError(f"scores of shape {scores.shape} with {numpy.isnan(scores).sum()} NaN, expected numbers (N,)")
    return numpy.argsort(-scores, kind="stable")


def descending(scores: numpy.ndarray, seed: int) -> numpy.ndarray:
    """`order` of the scores; the seed is not used. The arrangement of most metrics."""
    return order(scores)


@dataclasses.dataclass(frozen=True)
class Metric:
    """A metric.

    score: Context -> float64 (N,).
    arrange: (scores (n,) of a pool, seed) -> its order, indices (n,); by default higher scores come first.
    ours: not in the study [D], but ours or RobOT's.
    by_fol: an order by FOL: of inputs whose originals and labels are known.
    referenced: compares with clean training inputs.
    """

    title: str
    citation: str
    score: Callable
    arrange: Callable = descending
    ours: bool = False
    by_fol: bool = False
    referenced: bool = False


def _surprise(function):
    def score(context):
        reference = context.reference_activations, context.reference_classes
        return function(*reference, context.activations, context.classes)

    return score


def _selector(select):
    """A selector of RobOT as an arrangement; in a pool of fewer than SECTIONS inputs each is a section [D]."""

    def arrange(scores, seed):
        if select is selection.be_st:
            return select(scores)
        return select(scores, sections=min(selection.SECTIONS, len(scores)), seed=seed)

    return arrange


def _fol(context):
    return selection.checked(context.fol)


KIM, FENG = "Kim, Feldt, Yoo, ICSE 2019", "Feng, Shi, Gao, Wan, Fang, Chen, ISSTA 2020"
WANG = "Wang, Chen, Sun, Ma, Wang, Sun, Cheng, ICSE 2021"
METRICS = {
    "lsa": Metric("likelihood-based surprise adequacy", KIM, _surprise(surprise.lsa), referenced=True),
    "dsa": Metric("distance-based surprise adequacy", KIM, _surprise(surprise.dsa), referenced=True),
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
    "be-st": Metric("both ends of FOL", WANG, _fol, _selector(selection.be_st), ours=True, by_fol=True),
    "km-st": Metric("sections of FOL", WANG, _fol, _selector(selection.km_st), ours=True, by_fol=True),
    "km-st-released": Metric(
        "blocks of ranks of FOL", WANG, _fol, _selector(selection.km_st_released), ours=True, by_fol=True
    ),
}


def ties(scores: numpy.ndarray) -> int:
    """How many scores equal another score: inputs whose place is decided by TIES."""
    _, counts = numpy.unique(scores, return_counts=True)
    return int(counts[counts > 1].sum())


def apfd(ranked: numpy.ndarray, failed: numpy.ndarray) -> float:
    """Average percentage of faults detected: 1 - sum of the places of failures / (k n) + 1 / (2 n).

    Rothermel et al., ICSM 1999, with each failing input as a fault; places count from 1, k inputs of n fail.
    ranked: the order, indices (N,).
    failed: bool (N,), which inputs fail.
    Raises ValueError if none fails.
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
        raise ValueError("no input fails, so APFD is undefined: expected at least one failure")
    return float(1 - places.sum() / (len(places) * len(ranked)) + 1 / (2 * len(ranked)))
