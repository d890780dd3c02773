"""Apricot: adjust weights towards models that are right on an image, off those that are wrong (Zhang, Chan, ASE 2019).

For each failing image in turn, with R and S the reduced models w_1 .. w_T that are right and wrong on it,

    w <- w - eta (|R|/T (w - mean_R) - |S|/T (w - mean_S)),

an affine combination of w and the reduced models. So w stays kappa w_E + sum of c_t w_t, and T + 1 numbers follow any
number of images. An image on which all models agree is skipped.
  1. [P] `toward`, the sign of the abstract: to the right models, off the wrong ones. [P] The public re-implementation
     has the other sign ("as-released").
"""

import dataclasses

import numpy

SIGNS = ("toward", "as-released")
PARTS = (None, "right", "wrong")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Adjustment:
    """The rule. sign: of SIGNS; only: "right" or "wrong" for that part of the rule alone (None: both)."""

    sign: str = "toward"
    only: str | None = None

    def __post_init__(self):
        for name, valid in (("sign", SIGNS), ("only", PARTS)):
            if getattr(self, name) not in valid:
                raise ValueError(f"{name} is {getattr(self, name)!r}, expected one of {', '.join(map(str, valid))}")


def coefficients(right: numpy.ndarray, adjustment: Adjustment, *, eta: float) -> tuple[float, numpy.ndarray]:
    """(kappa, c (T,)), float64, after all images; kappa + sum(c) = 1.

    right: bool (images, T), which reduced models are right on each image, in the order of the images.
    eta: the step size, positive.
    """
    kappa, c = 1.0, numpy.zeros(right.shape[1])
    step = (eta if adjustment.sign == "toward" else -eta) / right.shape[1]
    for row in right:
        if row.all() or not row.any():
            continue
        to = numpy.where(row, float(adjustment.only != "wrong"), -float(adjustment.only != "right"))
        kappa, c = kappa * (1 - step * to.sum()), c * (1 - step * to.sum()) + step * to
    return float(kappa), c
