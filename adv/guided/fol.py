"""FOL, the first-order loss of RobOT: how far an adversarial input is from the worst of its ball (Wang et al. 2021).

FOL(x') = max over the ball of <x'' - x', g> = epsilon ||g||_* - <g, x' - x>, with g the gradient of the cross-entropy
at x'; ||g||_* is the l1 norm of g for a ball in "linf" and the l2 norm in "l2". FOL is 0 where an attack has converged.
"""

from __future__ import annotations

import keras
import numpy
import scipy.special

from adv import search
from models import compute, contract, perturb

NORMS = "linf", "l2"
ROUNDING = 1e-6  # by which a float32 image may leave its ball
BLOCK = 4096  # inputs whose gradients are in memory


def fol(
    model: keras.Model,
    attacked: numpy.ndarray,
    x: numpy.ndarray,
    y: numpy.ndarray,
    *,
    epsilon: float | numpy.ndarray,
    norm: str = "linf",
    batch_size: int = 256,
) -> numpy.ndarray:
    """The first-order loss of each input: float64 (N,), at least 0.

    Wang, Chen, Sun, Ma, Wang, Sun, Cheng, RobOT, ICSE 2021, definition 3 and equation 5.
    model: the model that was attacked; returns logits.
    attacked: the inputs x', images (N, H, W, C), uint8 or floats in [0, 1].
    x: the images at the centres of their balls, (N, H, W, C).
    y: integer labels (N,).
    epsilon: radius of the ball in [0, 1] pixel scale, a number or (N,).
    norm: "linf" or "l2".
    batch_size: inputs in one backward pass.
    Raises ValueError for another norm, for an input outside its ball, and as adv.search.minimal.
    1. [D] g is (1 - p_y) times the gradient of the log-odds, multiplied in float64. The released code takes the
       cross-entropy of probabilities clipped at 1e-7, whose gradient is exactly 0 where a failure is saturated [I]: the
       input then seems converged.
    2. [D] In "linf" the sum is taken of |g_i| (epsilon - sign(g_i) (x'_i - x_i)), which cannot cancel.
    """
    if norm not in NORMS:
        raise ValueError(f"norm is {norm!r}, expected one of {', '.join(NORMS)}")
    images, labels = contract.admit(model, attacked, y, batch_size=batch_size)
    centres, _ = contract.admit(model, x)
    if centres.shape != images.shape:
        raise ValueError(f"attacked images of shape {images.shape}, originals of {centres.shape}: expected the same")
    radius = numpy.asarray(epsilon)
    if radius.dtype.kind not in "fiu" or radius.shape not in ((), labels.shape) or not numpy.isfinite(radius).all():
        raise ValueError(f"epsilon is {epsilon!r}, expected a finite number, or one for each of {len(images)} images")
    radius = numpy.broadcast_to(radius.astype(numpy.float64), len(images))
    values = numpy.empty(len(images))
    for start in range(0, len(images), BLOCK):
        rows = slice(start, start + BLOCK)
        change = images[rows].astype(numpy.float64) - centres[rows]
        _check_inside(change, radius[rows], norm)
        odds, gradient = compute.predict(
            compute.compiled(model, _odds), images[rows], labels[rows], batch_size=batch_size
        )
        contract.check_finite(odds[:, None])
        largest = _largest(gradient.astype(numpy.float64), change, radius[rows, None, None, None], norm)
        values[rows] = scipy.special.expit(odds.astype(numpy.float64)) * largest
    return values


def _largest(gradient, change, radius, norm):
    """radius ||gradient||_* - <gradient, change>, float64 (N,)."""
    if norm == "linf":
        return (abs(gradient) * numpy.maximum(radius - numpy.sign(gradient) * change, 0)).sum(axis=(1, 2, 3))
    length = numpy.sqrt((gradient**2).sum(axis=(1, 2, 3)))
    return numpy.maximum(radius[:, 0, 0, 0] * length - (gradient * change).sum(axis=(1, 2, 3)), 0)


def _check_inside(change, radius, norm):
    beyond = search.norm(change, norm) - radius
    outside = ~(beyond <= ROUNDING) | (radius < 0)
    if outside.any():
        raise ValueError(
            f"{outside.sum()} inputs lie outside their ball of epsilon {radius[outside].max():g} in {norm}, by up to "
            f"{beyond[outside].max():g}: expected the epsilon of the attack"
        )


def _odds(call, images, labels):
    """Log-odds of a misclassification (N,) and its gradient (N, H, W, C)."""
    (odds, _), gradient = compute.gradient(lambda image: (perturb.log_odds(call(image), labels), None), images)
    return odds, gradient
