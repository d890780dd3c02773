"""The choice of an epoch for each sample: the epoch whose activation becomes the sample's target.

    most_confident   the choice of DARE (TOSEM 33(3) 2024, section 3.2), from all recorded epochs
    Candidates       the same choice while training runs, from two epochs a sample (dare/online.py)
    at_random        a control: any mined epoch

`most_confident` uses the final model M for two things only: its confidence is the least that an epoch must exceed, and
where M misclassifies the sample, the epoch must classify it correctly. So only two epochs of a sample can be chosen by
any M, and mining while training runs keeps only these [D]: the most confident correct epoch, and the most confident
misclassified epoch while it is more confident than every correct one. Of equal epochs the first wins.
"""

from __future__ import annotations  # its types load no library (pipeline/late.py)

import dataclasses
from collections.abc import Sequence

import numpy

from train.seeds import stream

MISCLASSIFIED, CORRECT = 0, 1  # the rows of Candidates


def most_confident(
    log_probability: numpy.ndarray,
    prediction: numpy.ndarray,
    epochs: Sequence[int],
    y: numpy.ndarray,
    final_log_probability: numpy.ndarray,
    final_prediction: numpy.ndarray,
) -> numpy.ndarray:
    """The chosen epoch of each sample, 0 for none: int64 (N,).

    Epochs are tried in ascending order. Epoch t is taken where p_t(y|x) exceeds the best up to now, which starts at
    p_M(y|x) of the final model M; where M misclassifies the sample, t must be correct. The comparison is strict, so
    the first epoch wins ties [P].
    log_probability, prediction: log p_t(y|x) and predicted classes (epochs, N), in the order of `epochs`.
    y: labels (N,).
    final_log_probability, final_prediction: those of M (N,).
    """
    best = numpy.array(final_log_probability)
    final_correct = final_prediction == y
    chosen = numpy.zeros(len(y), "int64")
    order = numpy.argsort(epochs)
    for row in order:
        better = (log_probability[row] > best) & (final_correct | (prediction[row] == y))
        chosen[better] = epochs[row]
        best[better] = log_probability[row][better]
    return chosen


def at_random(index: numpy.ndarray, epochs: Sequence[int], seed: int) -> numpy.ndarray:
    """A uniformly drawn epoch for each sample: int64 (K,).

    epochs: the epochs to draw from; seed: of the drawing.
    index: the samples (K,); each gets the same epoch whatever their order.
    """
    chosen = numpy.empty(len(index), "int64")
    chosen[numpy.argsort(index)] = stream(seed, "random epochs").choice(numpy.sort(epochs), len(index))
    return chosen


@dataclasses.dataclass(frozen=True, eq=False)
class Candidates:
    """The two epochs of each of N samples that can still be chosen, in rows MISCLASSIFIED and CORRECT.

    epoch: int32 (2, N), 0 for none.
    log_probability: log p(y|x) under that epoch, float32 (2, N), -inf for none.
    """

    epoch: numpy.ndarray
    log_probability: numpy.ndarray

    @classmethod
    def none(cls, samples: int) -> Candidates:
        """No candidate yet, for so many samples."""
        return cls(numpy.zeros((2, samples), "int32"), numpy.full((2, samples), -numpy.inf, "float32"))

    def update(
        self, epoch: int, log_probability: numpy.ndarray, correct: numpy.ndarray
    ) -> tuple[Candidates, numpy.ndarray, numpy.ndarray]:
        """The candidates after one more epoch, and which of them are that epoch: (Candidates, kinds (K,), rows (K,)).

        log_probability: float32 (N,); correct: bool (N,), whether the epoch classifies each sample correctly.
        kinds: MISCLASSIFIED or CORRECT; rows: the samples, ascending.
        """
        epochs, best = self.epoch.copy(), self.log_probability.copy()
        rows = numpy.flatnonzero(log_probability > numpy.where(correct, best[CORRECT], best.max(0)))
        kinds = numpy.where(correct[rows], CORRECT, MISCLASSIFIED)
        epochs[kinds, rows], best[kinds, rows] = epoch, log_probability[rows]
        # A misclassified epoch can no longer be chosen once a correct one is more confident.
        beaten = best[CORRECT] > best[MISCLASSIFIED]
        epochs[MISCLASSIFIED, beaten], best[MISCLASSIFIED, beaten] = 0, -numpy.inf
        return Candidates(epochs, best), kinds, rows

    def same(self, other: Candidates) -> bool:
        """Whether all epochs and confidences are equal."""
        fields = ("epoch", "log_probability")
        return all(numpy.array_equal(getattr(self, field), getattr(other, field)) for field in fields)
