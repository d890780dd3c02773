"""Factors of single classes in robust training: levers for the class that is robust least, ours [D].

From the robust accuracy of each class on held-out images, a training says of each class how much its loss weighs, how
large its perturbations are, or how much its clean and adversarial outputs have to agree.
"""

import dataclasses

import numpy

KINDS = ("weight", "epsilon", "beta")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClassFactors:
    """weight, epsilon, beta: one factor a class of what the whole training has, () where it is 1 for all."""

    weight: tuple = ()
    epsilon: tuple = ()
    beta: tuple = ()

    def __post_init__(self):
        for kind in KINDS:
            if any(not 0 <= factor < float("inf") for factor in getattr(self, kind)):
                raise ValueError(f"{kind} is {getattr(self, kind)}, expected finite factors of at least 0")

    def of(self, kind, labels):
        """The factors of the labels (N,): float32 (N,), or 1.0 where the kind has none.

        Raises ValueError for a label without a factor.
        """
        factors = getattr(self, kind)
        if not factors:
            return 1.0
        if numpy.max(labels, initial=0) >= len(factors):
            raise ValueError(f"{len(factors)} factors of {kind}, but labels up to {numpy.max(labels)}: one a class")
        return numpy.array(factors, "float32")[labels]


def from_accuracy(kind, accuracy, *, strength=2.0):
    """ClassFactors of one kind, of the mean 1, from the robust accuracy of each class, shares (K,).

    weight: exp(strength (mean - accuracy)), more on classes that are robust less; epsilon and beta: the inverse, less
    of them there, as in the class-wise calibrated training of Wei, Wang, Guo, Wang (CVPR 2023), whose factors are
    linear. A negative strength turns either round. Raises ValueError for another kind or no shares.
    """
    accuracy = numpy.asarray(accuracy, float)
    if kind not in KINDS:
        raise ValueError(f"kind is {kind!r}, expected one of {', '.join(KINDS)}")
    if accuracy.ndim != 1 or len(accuracy) < 2 or not ((accuracy >= 0) & (accuracy <= 1)).all():
        raise ValueError(f"accuracy is {accuracy}, expected shares of at least two classes, from 0 to 1")
    factors = numpy.exp((strength if kind == "weight" else -strength) * (accuracy.mean() - accuracy))
    return ClassFactors(**{kind: tuple(round(float(one), 6) for one in factors / factors.mean())})
