"""Apricot: adjust weights towards models that are correct on an image, off those that misclassify it.

For each failing image in turn, with R the correct ones of the reduced models w_1 .. w_T and S the others,

    w <- w - eta (|R|/T (w - mean_R) - |S|/T (w - mean_S)),

an affine combination of w and the reduced models. So w stays kappa w_E + sum of c_t w_t, and T + 1 numbers follow any
number of images. An image on which all models agree is skipped. Zhang, Chan, ASE 2019.

1. [P] `toward`, the sign of the abstract: to the correct models, off the others. [P] The public re-implementation has
   the opposite sign ("as-released").
"""

import dataclasses

import numpy

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
