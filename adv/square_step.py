"""A query of the Square attack for many images at once, its start and its schedule (adv/square.py is the attack)."""

from __future__ import annotations

import bisect
import functools
import math
from collections.abc import Callable

import keras
import numpy

from adv import boundary, search
from adv.base import of_image
from models import compute, perturb

HALVINGS = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)  # p is halved after these queries
COLUMNS = {"linf": 2, "l2": 5}  # random numbers a query beside the signs: a corner; in L2 two, and a turn


def sides(queries: int, height: int, width: int, norm: str, p: float) -> numpy.ndarray:
    """The side of the window at each query, in pixels: int32 (queries,).

    height, width: of the images. norm: "linf" or "l2".
    It is sqrt(p H W) rounded, with p halved after each of HALVINGS; at least 1, in "l2" at least 3 and odd, and at most
    the side of the image.
    """
    schedule = []
    for query in range(queries):
        side = round(math.sqrt(p / 2 ** bisect.bisect_left(HALVINGS, query) * height * width))
        side = max(side, 1) if norm == "linf" else max(side, 3) // 2 * 2 + 1
        schedule.append(min(side, height, width))
    return numpy.array(schedule, numpy.int32)


def pattern(side: int) -> numpy.ndarray:
    """The L2 window of a side: float32 (side, side) of L2 norm 1 (paper, equation 2).

    Two halves of opposite sign; in each, values fall from the centre as 1 + 1/4 + 1/9 + ...
    """
    upper = side // 2
    window = numpy.concatenate([_half(upper, side), -_half(side - upper, side)])
    return (window / numpy.linalg.norm(window)).astype(numpy.float32)


def _half(height, width):
    half = numpy.zeros((height, width))
    row, column = height // 2, width // 2
    for ring in range(max(row, column) + 1):
        top, left = max(row - ring, 0), max(column - ring, 0)
        half[top : row + ring + 1, left : column + ring + 1] += 1 / (ring + 1) ** 2
    return half / max(numpy.linalg.norm(half), 1e-12)


def start(images: numpy.ndarray, seed: int, norm: str) -> numpy.ndarray:
    """The first perturbations, of norm 1: float32 (N, H, W, C).

    images: float32 (N, H, W, C); with `seed`, their pixels choose the random numbers.
    "linf": vertical stripes, a random sign for each column and channel. "l2": a grid of five by five windows, each
    transposed or not, with a random sign for each channel.
    """
    return numpy.stack([_START[norm](of_image(image, seed, "square start"), *image.shape) for image in images])


def _stripes(generator, height, width, channels):
    signs = generator.choice(numpy.float32([-1, 1]), (1, width, channels))
    return numpy.broadcast_to(signs, (height, width, channels))


def _grid(generator, height, width, channels):
    side = max(min(height, width) // 5, 1)
    grid, window = numpy.zeros((height, width, channels), numpy.float32), pattern(side)
    margin = max(height - 5 * side, 0) // 2
    for row in range(margin, height - side + 1, side):
        for column in range(margin, width - side + 1, side):
            turned = window.T if generator.random() > 0.5 else window
            signs = generator.choice(numpy.float32([-1, 1]), channels)
            grid[row : row + side, column : column + side] += turned[..., None] * signs
    return grid / search.norm(grid[None], "l2").astype(numpy.float32)[0]


TIE = 1e-6  # a fall of the margin below this fraction of the largest logit is rounding
_START = {"linf": _stripes, "l2": _grid}


def judge(call: Callable, images: compute.Tensor, labels: compute.Tensor) -> tuple[compute.Tensor, compute.Tensor]:
    """(margin: z_y minus the largest other logit; misclassified) of images: (N,) each.

    call: the model's forward pass. labels: integers (N,).
    """
    logits = call(images)
    return -perturb.margin(logits, labels), perturb.is_misclassified(logits, labels)


@functools.cache
def query(norm: str, p: float, queries: int, as_released: bool) -> Callable:
    """A query as step for compute.repeat.

    norm, p, queries, as_released: as of square.Square.
    Constants: images, labels, epsilon, random numbers of 16 bits (N, count, columns), number of the first query (N,).
    State: the point of least margin, that margin, and whether the point is misclassified.
    """
    propose = _PROPOSE[norm]

    def step(call, index, images, labels, epsilon, draws, first, best, margin, fooled):
        ops = keras.ops
        schedule = sides(queries, *images.shape[1:3], norm, p)
        numbers = ops.cast(ops.take(draws, index, axis=1), "int32")
        number = first[0] + index
        proposed = propose(schedule, number, numbers, as_released, images, epsilon, best)
        logits = call(proposed)
        value, hit = -perturb.margin(logits, labels), perturb.is_misclassified(logits, labels)
        rounding = TIE * ops.max(ops.abs(logits), axis=1)
        better = ops.logical_not(fooled) & (hit | (value < margin - rounding))
        best = ops.where(perturb.per_image(better, images), proposed, best)
        return best, ops.where(better, value, margin), fooled | hit

    return step


def _propose_linf(schedule, number, numbers, as_released, images, epsilon, best):
    """Add +-2 epsilon in a window, with a sign for each channel; clip to the ball and to [0, 1]."""
    side = keras.ops.take(schedule, number)
    inside = _window(side, numbers[:, 0], numbers[:, 1], as_released, images)[0]
    change = 2 * perturb.per_image(epsilon, images) * _signs(numbers[:, 2:])
    return perturb.project(best + keras.ops.where(inside, change, 0.0), images, epsilon, "linf")


def _propose_l2(schedule, number, numbers, as_released, images, epsilon, best):
    """A window takes over the unused budget, its own, and that of a second window, which is set to 0."""
    ops = keras.ops
    # The pattern of this query's side, from a table of all sides.
    known = numpy.unique(schedule)
    most = int(known[-1])
    patterns = numpy.zeros((len(known), most, most), numpy.float32)
    for place, side in enumerate(known):
        patterns[place, :side, :side] = pattern(int(side))
    side = ops.take(schedule, number)
    window = ops.take(patterns.reshape(len(known), -1), ops.take(numpy.searchsorted(known, schedule), number), axis=0)

    # Both windows, and the pattern (transposed or not) at the place of the first.
    first, rows, columns = _window(side, numbers[:, 0], numbers[:, 1], as_released, images)
    second = _window(side, numbers[:, 2], numbers[:, 3], as_released, images)[0]
    rows, columns = (ops.clip(place, 0, most - 1) for place in (rows[:, :, None], columns[:, None, :]))
    turned = numbers[:, 4, None, None] < 1 << 15
    shape = ops.take(window, ops.where(turned, columns * most + rows, rows * most + columns))[..., None]

    # The new perturbation: pattern plus old direction in the first window, with the budget of both and the unused rest.
    change, epsilon = best - images, perturb.per_image(epsilon, images)
    own = ops.where(first, change, 0.0)
    new = ops.where(first, shape * _signs(numbers[:, 5:]), 0.0) + own / (1e-12 + _channels(own))
    used, size = ops.where(first | second, change, 0.0), perturb.per_image(boundary.length(change, "l2"), images)
    unused = ops.maximum(epsilon**2 - size**2, 0.0) / images.shape[-1]
    budget = ops.sqrt(unused + ops.sum(ops.square(used), axis=(1, 2, 3), keepdims=True))
    new = budget * new / (1e-12 + _channels(new))
    change = ops.where(first, new, ops.where(second, 0.0, change))
    change = epsilon * change / (1e-12 + perturb.per_image(boundary.length(change, "l2"), images))
    return ops.clip(images + change, 0.0, 1.0)


_PROPOSE = {"linf": _propose_linf, "l2": _propose_l2}


def _window(side, row, column, as_released, images):
    """A window from the 16-bit numbers of its corner (N,).

    Returns (inside, bool (N, H, W, 1); rows (N, H) and columns (N, W) counted from the corner).
    """
    ops = keras.ops
    counted = []
    for number, size in ((row, images.shape[1]), (column, images.shape[2])):
        places = ops.maximum(size - side + (0 if as_released else 1), 1)
        corner = number * places // (1 << 16)
        counted.append(ops.arange(size, dtype="int32") - corner[:, None])
    rows, columns = counted
    inside = ((rows >= 0) & (rows < side))[:, :, None] & ((columns >= 0) & (columns < side))[:, None, :]
    return inside[..., None], rows, columns


def _signs(numbers):
    """16-bit random numbers (N, C) as signs -1.0 and 1.0: (N, 1, 1, C)."""
    return keras.ops.where(numbers < 1 << 15, -1.0, 1.0)[:, None, None, :]


def _channels(x):
    """The L2 norm of each channel: (N, 1, 1, C)."""
    return keras.ops.sqrt(keras.ops.sum(keras.ops.square(x), axis=(1, 2), keepdims=True))
