"""The projection of FAB: the nearest point of a hyperplane inside the pixel box [0, 1].

Croce and Hein, ICML 2020 (arXiv 1907.02044), section 2.2. For gradient w, gap c = <w, x> - b and s = sign c (0: +),
pixel i may move by room_i: x_i where s w_i > 0, else 1 - x_i. The shortest change is d_i = -sign(s w_i) min(lam v_i,
room_i) with v_i = 1 in Linf and |w_i| in L2, of the smallest lam with sum |w_i| min(lam v_i, room_i) = |c|.

The paper sorts the breakpoints room_i / v_i. Here lam is found by Newton's method on that sum, which is concave and
piecewise linear: iterates never exceed the root, the product of residual and derivative falls at least fourfold a
step, and the last step is exact [D].
"""

from __future__ import annotations

import keras

from models import compute, perturb

ITERATIONS = 40
ENOUGH = 1e-6  # residual at which the search ends, as a fraction of the gap


def project(x: compute.Tensor, gradient: compute.Tensor, gap: compute.Tensor, norm: str) -> compute.Tensor:
    """The smallest change that moves images onto a hyperplane without leaving [0, 1]: float32 (N, H, W, C).

    x: images (N, H, W, C) in [0, 1].
    gradient: w of the hyperplane <w, .> = b, the shape of x.
    gap: <w, x> - b, (N,).
    norm: "linf" or "l2", the norm of the change.
    If the hyperplane does not meet the box, every pixel moves as far as it can. Pixels with w = 0 never move.
    """
    ops = keras.ops
    largest = ops.max(ops.abs(gradient), axis=(1, 2, 3))
    scale = ops.where(largest > 0, largest, 1.0)
    gradient, absolute_gap = gradient / perturb.per_image(scale, x), ops.abs(gap) / scale
    falls = gradient * perturb.per_image(ops.where(gap >= 0, 1.0, -1.0), x)
    room = ops.where(falls > 0, x, 1 - x)
    size = ops.abs(gradient)
    speed = ops.cast(size > 0, "float32") if norm == "linf" else size

    def change_at(lam):
        return ops.minimum(perturb.per_image(lam, x) * speed, room)

    def go_on(count, lam, going):
        return (count < ITERATIONS) & ops.any(going)

    def newton(count, lam, going):
        change = change_at(lam)
        residual = absolute_gap - _total(size * change)
        derivative = _total(ops.where(change < room, size * speed, 0.0))
        going = (residual > ENOUGH * absolute_gap) & (derivative > 0)
        return count + 1, lam + ops.where(going, residual / ops.where(going, derivative, 1.0), 0.0), going

    lam, going = ops.zeros_like(absolute_gap), ops.ones_like(absolute_gap, dtype="bool")
    lam = ops.while_loop(go_on, newton, (0, lam, going))[1]
    reachable = _total(size * room) > absolute_gap
    largest_change = ops.where(size > 0, room, 0.0)
    return -ops.sign(falls) * ops.where(perturb.per_image(reachable, x), change_at(lam), largest_change)


def length(change: compute.Tensor, norm: str) -> compute.Tensor:
    """The norm "linf" or "l2" of each change (N, H, W, C), inside a compiled graph: (N,)."""
    if norm == "linf":
        return keras.ops.max(keras.ops.abs(change), axis=(1, 2, 3))
    return keras.ops.sqrt(_total(keras.ops.square(change)))


def dual(gradients: compute.Tensor, norm: str) -> compute.Tensor:
    """The norm dual to "linf" or "l2" of gradients (..., H, W, C): (...,)."""
    if norm == "linf":
        return keras.ops.sum(keras.ops.abs(gradients), axis=(-3, -2, -1))
    return keras.ops.sqrt(keras.ops.sum(keras.ops.square(gradients), axis=(-3, -2, -1)))


def _total(values):
    return keras.ops.sum(values, axis=(1, 2, 3))
