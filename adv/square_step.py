"""One query of the Square attack for many images at once, its start and its schedule (adv/square.py is the attack)."""

import bisect
import functools
import math

import keras
import numpy

from adv import boundary, search
from adv.attack import of_image
from models import perturb

HALVINGS = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)  # the last queries before p is halved
COLUMNS = {"linf": 2, "l2": 5}  # draws of a query beside a sign a channel: corners, in L2 of two windows, and a turn


def sides(queries, height, width, norm, p):
    """The side of the window at each query, in pixels: int32 (queries,).

    The square root of p H W, rounded, p halved after each of HALVINGS; at least 1 and in "l2" 3 and odd; at most the
    image's.
    """
    made = []
    for query in range(queries):
        side = round(math.sqrt(p / 2 ** bisect.bisect_left(HALVINGS, query) * height * width))
        side = max(side, 1) if norm == "linf" else max(side, 3) // 2 * 2 + 1
        made.append(min(side, height, width))
    return numpy.array(made, numpy.int32)


def pattern(side):
    """The L2 window of a side, float32 (side, side): two halves of opposite sign, each falling from its centre by
    1/1 + 1/4 + 1/9 + ... (paper, equation 2), of L2 norm 1."""
    upper = side // 2
    made = numpy.concatenate([_half(upper, side), -_half(side - upper, side)])
    return (made / numpy.linalg.norm(made)).astype(numpy.float32)


def _half(height, width):
    made = numpy.zeros((height, width))
    row, column = height // 2, width // 2
    for ring in range(max(row, column) + 1):
        top, left = max(row - ring, 0), max(column - ring, 0)
        made[top : row + ring + 1, left : column + ring + 1] += 1 / (ring + 1) ** 2
    return made / max(numpy.linalg.norm(made), 1e-12)


def start(images, seed, norm):
    """Perturbations of norm 1 to begin at, float32 (N, H, W, C): in "linf" a sign a column and channel (stripes down
    the image), in "l2" a grid of five by five windows, each turned or not, a sign a channel."""
    return numpy.stack([_START[norm](of_image(image, seed, "square start"), *image.shape) for image in images])


def _stripes(generator, height, width, channels):
    signs = generator.choice(numpy.float32([-1, 1]), (1, width, channels))
    return numpy.broadcast_to(signs, (height, width, channels))


def _grid(generator, height, width, channels):
    side = max(min(height, width) // 5, 1)
    made, window = numpy.zeros((height, width, channels), numpy.float32), pattern(side)
    margin = max(height - 5 * side, 0) // 2
    for row in range(margin, height - side + 1, side):
        for column in range(margin, width - side + 1, side):
            turned = window.T if generator.random() > 0.5 else window
            signs = generator.choice(numpy.float32([-1, 1]), channels)
            made[row : row + side, column : column + side] += turned[..., None] * signs
    return made / search.norm(made[None], "l2").astype(numpy.float32)[0]


_START = {"linf": _stripes, "l2": _grid}


def judge(call, images, labels):
    """(margin z_y minus the largest other logit, whether the predicted class is another) of images: (N,) each."""
    logits = call(images)
    return -perturb.margin(logits, labels), perturb.is_misclassified(logits, labels)


@functools.cache
def query(norm, p, queries, as_released):
    """A step of compute.repeat: constants images, labels, epsilon, draws (N, count, columns) of 16 bits and the number
    of the first query (N,); state: the point of least margin, that margin, and whether it is misclassified."""
    propose = _PROPOSE[norm]

    def step(call, index, images, labels, epsilon, draws, first, best, margin, fooled):
        ops = keras.ops
        schedule = sides(queries, *images.shape[1:3], norm, p)
        drawn = ops.cast(ops.take(draws, index, axis=1), "int32")
        number = first[0] + index
        moved = propose(schedule, number, drawn, as_released, images, epsilon, best)
        value, hit = judge(call, moved, labels)
        better = ops.logical_not(fooled) & (hit | (value < margin))
        best = ops.where(perturb.per_image(better, images), moved, best)
        return best, ops.where(better, value, margin), fooled | hit

    return step


def _propose_linf(schedule, number, drawn, as_released, images, epsilon, best):
    """2 epsilon in a window, a sign a channel, clipped to the ball and the box."""
    side = keras.ops.take(schedule, number)
    inside = _window(side, drawn[:, 0], drawn[:, 1], as_released, images)[0]
    change = 2 * perturb.per_image(epsilon, images) * _signs(drawn[:, 2:])
    return perturb.project(best + keras.ops.where(inside, change, 0.0), images, epsilon, "linf")


def _propose_l2(schedule, number, drawn, as_released, images, epsilon, best):
    """One window takes the budget that is unused, its own and that of another window, which is emptied."""
    ops = keras.ops
    known = numpy.unique(schedule)
    most = int(known[-1])
    patterns = numpy.zeros((len(known), most, most), numpy.float32)
    for place, side in enumerate(known):
        patterns[place, :side, :side] = pattern(int(side))
    side = ops.take(schedule, number)
    window = ops.take(patterns.reshape(len(known), -1), ops.take(numpy.searchsorted(known, schedule), number), axis=0)

    inside, rows, columns = _window(side, drawn[:, 0], drawn[:, 1], as_released, images)
    other = _window(side, drawn[:, 2], drawn[:, 3], as_released, images)[0]
    rows, columns = (ops.clip(place, 0, most - 1) for place in (rows[:, :, None], columns[:, None, :]))
    turned = drawn[:, 4, None, None] < 1 << 15
    shape = ops.take(window, ops.where(turned, columns * most + rows, rows * most + columns))[..., None]

    change, epsilon = best - images, perturb.per_image(epsilon, images)
    own = ops.where(inside, change, 0.0)
    new = ops.where(inside, shape * _signs(drawn[:, 5:]), 0.0) + own / (1e-12 + _channels(own))
    used, size = ops.where(inside | other, change, 0.0), perturb.per_image(boundary.length(change, "l2"), images)
    unused = ops.maximum(epsilon**2 - size**2, 0.0) / images.shape[-1]
    budget = ops.sqrt(unused + ops.sum(ops.square(used), axis=(1, 2, 3), keepdims=True))
    new = budget * new / (1e-12 + _channels(new))
    change = ops.where(inside, new, ops.where(other, 0.0, change))
    change = epsilon * change / (1e-12 + perturb.per_image(boundary.length(change, "l2"), images))
    return ops.clip(images + change, 0.0, 1.0)


_PROPOSE = {"linf": _propose_linf, "l2": _propose_l2}


def _window(side, row, column, as_released, images):
    """(Where a window is, (N, H, W, 1); its rows (N, H) and columns (N, W) counted from its corner), of 16-bit draws
    of its corner (N,)."""
    ops = keras.ops
    counted = []
    for drawn, size in ((row, images.shape[1]), (column, images.shape[2])):
        places = ops.maximum(size - side + (0 if as_released else 1), 1)
        corner = drawn * places // (1 << 16)
        counted.append(ops.arange(size, dtype="int32") - corner[:, None])
    rows, columns = counted
    inside = ((rows >= 0) & (rows < side))[:, :, None] & ((columns >= 0) & (columns < side))[:, None, :]
    return inside[..., None], rows, columns


def _signs(drawn):
    """Draws of 16 bits (N, C) as -1.0 and 1.0: (N, 1, 1, C)."""
    return keras.ops.where(drawn < 1 << 15, -1.0, 1.0)[:, None, None, :]


def _channels(x):
    """The L2 norm of each channel: (N, 1, 1, C)."""
    return keras.ops.sqrt(keras.ops.sum(keras.ops.square(x), axis=(1, 2), keepdims=True))
