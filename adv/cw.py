"""C&W: the Carlini-Wagner attack in L2, by Adam on a variable whose every value is an image in [0, 1]."""

from __future__ import annotations

import dataclasses
import functools
import math
import typing

import keras
import numpy

from adv.base import Attack, check_above_0, check_least
from models import compute, perturb

BETAS = (0.9, 0.999)  # Adam's, as in foolbox


@dataclasses.dataclass(frozen=True, kw_only=True)
class CW(Attack):
    """Minimise |x' - x|^2 + c max(0, z_y - max over i != y of z_i + confidence), x' = (tanh(w) + 1) / 2, by Adam on w.

    Carlini and Wagner 2017, section V and equation 6 of VI, with DARE's numbers [P]; each step is that of foolbox
    3.3.4's L2CarliniWagnerAttack.
    binary_search_steps: searches over c, which grows tenfold until the attack succeeds and is bisected afterwards.
    steps: Adam steps a search, at most.
    stepsize: Adam's learning rate, in w.
    initial_const: the first c.
    confidence: distance beyond the boundary, in logits.
    abort_early: end a search when the loss fell by less than a factor 1e-4 within a tenth of its steps.
    Raises ValueError for a number out of its range.

    Difference from foolbox 3.3.4: [P] a search ends by the image's own loss, as in foolbox 2.3.0, not by the sum over
    its batch. So images do not depend on each other, and later steps are computed only for those still searching.
    """

    title = "C&W"
    citation = "Carlini, Wagner, IEEE S&P 2017"
    norm = "l2"
    binary_search_steps: int = 5
    steps: int = 1000
    stepsize: float = 5e-3
    initial_const: float = 1e-2
    confidence: float = 0.0
    abort_early: bool = True

    def __post_init__(self):
        check_least(self, binary_search_steps=1, steps=1, confidence=0)
        check_above_0(self, stepsize=math.inf, initial_const=math.inf)

    def closest(
        self, model: keras.Model, images: numpy.ndarray, labels: numpy.ndarray, *, batch_size: int = 256
    ) -> tuple[numpy.ndarray, numpy.ndarray]:
        """The nearest adversarial (L2) of all steps; failed images come back unchanged."""
        best, distance = images, numpy.full(len(images), numpy.inf, numpy.float32)
        const = numpy.full(len(images), self.initial_const)
        low, high = numpy.zeros(len(images)), numpy.full(len(images), numpy.inf)
        # 0.999999, as in foolbox: black and white pixels would be infinite in w.
        space = numpy.arctanh((images - numpy.float32(0.5)) / numpy.float32(0.5) * numpy.float32(0.999999))
        step = _step(self.steps, self.stepsize, self.confidence, self.abort_early)
        checks = range(0, self.steps, _interval(self.steps))
        for _ in range(self.binary_search_steps):
            state = compute.repeat(
                model,
                step,
                _begin(best, distance),
                self.steps,
                constants=(images, space, labels, const.astype(numpy.float32)),
                until=State._fields.index("ended"),
                leave=[check + 1 for check in checks],
                batch_size=batch_size,
            )
            _, _, _, best, distance, success, *_ = state
            low, high = numpy.where(success, low, const), numpy.where(success, const, high)
            const = numpy.where(numpy.isinf(high), const * 10, (low + high) / 2)
        return best, numpy.isfinite(distance)


class State(typing.NamedTuple):
    """State of a search, one row an image.

    change: of w (N, H, W, C).
    mean, square: Adam's two moments (N, H, W, C).
    best, distance: the nearest adversarial so far (N, H, W, C) and its L2 distance (N,), infinite if there is none.
    success: whether this search met an adversarial, bool (N,).
    previous: loss at the last check, infinite before the first (N,).
    ended: whether a check ended the search, bool (N,).
    """

    change: typing.Any
    mean: typing.Any
    square: typing.Any
    best: typing.Any
    distance: typing.Any
    success: typing.Any
    previous: typing.Any
    ended: typing.Any


def _begin(best, distance):
    count, zero = len(best), numpy.zeros_like(best)
    infinite = numpy.full(count, numpy.inf, numpy.float32)
    return State(zero, zero, zero, best, distance, numpy.zeros(count, bool), infinite, numpy.zeros(count, bool))


def _interval(steps):
    """Steps from one check of the loss to the next."""
    return math.ceil(steps / 10)


@functools.cache
def _step(steps, stepsize, confidence, abort_early):
    """One Adam step for compute.repeat. Constants: images, their w, labels, c; state: State.

    Once a check has ended an image's search, its later iterates are not recorded.
    """
    step_numbers = numpy.arange(1, 1 + steps, dtype=numpy.float64)
    # Adam's step size over the bias of its first moment, and the inverse bias of its second.
    rates = numpy.float32([stepsize / (1 - BETAS[0] ** step_numbers), 1 / (1 - BETAS[1] ** step_numbers)])
    ops = keras.ops

    def step(call, index, images, space, labels, const, *state):
        state, start = State(*state), _to_image(space)

        def objective(change):
            x = _to_image(space + change)
            logits = call(x)
            own = ops.equal(labels[:, None], ops.arange(logits.shape[-1], dtype=labels.dtype))
            logits = logits + confidence * ops.cast(own, logits.dtype)
            label = ops.sum(ops.where(own, logits, 0.0), 1)
            short = ops.maximum(0.0, label - ops.max(ops.where(own, -numpy.inf, logits), 1))
            return const * short + _squares(x - start), (x, perturb.is_misclassified(logits, labels))

        (loss, (x, fooled)), gradient = compute.gradient(objective, state.change)
        mean = BETAS[0] * state.mean + (1 - BETAS[0]) * gradient
        square = BETAS[1] * state.square + (1 - BETAS[1]) * ops.square(gradient)
        rate, inverse_bias = ops.take(rates[0], index), ops.take(rates[1], index)
        change = state.change - rate * mean / (ops.sqrt(inverse_bias * square) + 1e-8)

        check = ops.equal(index % _interval(steps), 0)
        going = loss <= ops.where(check, 0.9999 * state.previous, numpy.inf)
        fooled = ops.logical_and(fooled, going)
        far = ops.sqrt(_squares(x - images))
        nearer = ops.logical_and(fooled, far < state.distance)
        return State(
            change,
            mean,
            square,
            best=ops.where(perturb.per_image(nearer, x), x, state.best),
            distance=ops.where(nearer, far, state.distance),
            success=ops.logical_or(state.success, fooled),
            previous=ops.where(check, loss, state.previous) if abort_early else state.previous,
            ended=ops.logical_not(going),
        )

    return step


def _to_image(space):
    return keras.ops.tanh(space) * 0.5 + 0.5


def _squares(x):
    return keras.ops.sum(keras.ops.square(x), axis=(1, 2, 3))
