"""Factors for single classes in robust training, to help the least robust class; ours [D].

The robust accuracy of each class on held-out images decides the weight of its loss, the radius of its perturbations, or
the weight of the agreement of its clean and adversarial outputs.
"""

import dataclasses

import numpy

KINDS = ("weight", "epsilon", "beta")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClassFactors:
    """Factors on the loss (weight), the radius (epsilon) and beta, one for each class; (): 1 for all classes."""

    weight: tuple = ()
    epsilon: tuple = ()
    beta: tuple = ()

    def __post_init__(self):
        for kind in KINDS:
            if any(not 0 <= factor < float("inf") for factor in getattr(self, kind)):
                raise ValueError(f"{kind} is {getattr(self, kind)}, expected finite factors of at least 0")

    def of(self, kind: str, labels: numpy.ndarray) -> numpy.ndarray | float:
        """The factors for labels (N,): float32 (N,), or 1.0 if the kind has none.

        Raises ValueError for a label without a factor.
        """
        factors = getattr(self, kind)
        if not factors:
            return 1.0
        if numpy.max(labels, initial=0) >= len(factors):
            raise ValueError(f"{len(factors)} factors of {kind}, but labels up to {numpy.max(labels)}: one a class")
        return numpy.array(factors, "float32")[labels]


def from_accuracy(kind: str, accuracy: numpy.ndarray, *, strength: float = 2.0) -> ClassFactors:
    """ClassFactors of one kind with mean 1, from the robust accuracy of each class.

    kind: "weight", exp(strength (mean - accuracy)), larger for less robust classes; "epsilon" or "beta", the inverse,
        as in the class-wise calibrated training of Wei, Wang, Guo, Wang (CVPR 2023), whose factors are linear.
    accuracy: fractions (K,).
    strength: negative to reverse the direction.
    Raises ValueError for another kind, and for values that are not fractions.
    """
    accuracy = numpy.asarray(accuracy, float)
    if kind not in KINDS:
        raise ValueError(f"kind is {kind!r}, expected one of {', '.join(KINDS)}")
    if accuracy.ndim != 1 or len(accuracy) < 2 or not ((accuracy >= 0) & (accuracy <= 1)).all():
        raise ValueError(f"accuracy is {accuracy}, expected fractions of at least two classes, from 0 to 1")
    factors = numpy.exp((strength if kind == "weight" else -strength) * (accuracy.mean() - accuracy))
    return ClassFactors(**{kind: tuple(round(float(factor), 6) for factor in factors / factors.mean())})
