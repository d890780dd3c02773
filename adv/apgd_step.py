"""One step of APGD for many images at once, and its schedule (adv/apgd.py is the attack)."""

import functools
import typing
from collections.abc import Callable

import keras
import numpy

from models import compute, perturb

LOSSES = {
    "ce": lambda logits, labels, targets: perturb.log_odds(logits, labels),
    "dlr": lambda logits, labels, targets: perturb.dlr(logits, labels),
    "dlr-targeted": perturb.targeted_dlr,
}


def checkpoints(steps: int) -> list[int]:
    """The iterates w_j = ceil(p_j steps) at which the step size may be halved: ascending, without repeats.

    p_0 = 0, p_1 = .22 and p_(j+1) = p_j + max(p_j - p_(j-1) - .03, .06) up to 1 (section 3 of the paper).
    """
    percent = [0, 22]
    while (after := percent[-1] + max(percent[-1] - percent[-2] - 3, 6)) <= 100:
        percent.append(after)
    return sorted({-(-fraction * steps // 100) for fraction in percent})


def windows(steps: int) -> numpy.ndarray:
    """For each iterate: the steps in the window that ends there, -1 if none ends there. int32 (steps,)."""
    due = checkpoints(steps)
    lengths = numpy.full(steps + 1, -1, numpy.int32)
    lengths[due] = numpy.diff(due, prepend=0)
    return lengths[:-1]


class State(typing.NamedTuple):
    """State of a run, one row an image.

    current, previous: iterates (N, H, W, C).
    best, gradient: the point of highest loss and the gradient there (N, H, W, C).
    size: step size (N,).
    value: loss where the current step starts (N,).
    highest, checked: highest loss now and at the last checkpoint (N,).
    rises: steps since the last checkpoint that raised the loss, int32 (N,).
    steady: whether the step size was kept at the last checkpoint, bool (N,).
    fooled: whether an iterate was misclassified, bool (N,).
    fooling: the last misclassified iterate (N, H, W, C).
    """

    current: typing.Any
    previous: typing.Any
    best: typing.Any
    gradient: typing.Any
    size: typing.Any
    value: typing.Any
    highest: typing.Any
    checked: typing.Any
    rises: typing.Any
    steady: typing.Any
    fooled: typing.Any
    fooling: typing.Any


def begin(start: numpy.ndarray, epsilon: numpy.ndarray) -> State:
    """The first State, NumPy arrays; the step size starts at twice epsilon."""
    count = len(start)
    numbers = (numpy.full(count, value, numpy.float32) for value in (numpy.inf, -numpy.inf, numpy.inf))
    return State(
        start, start.copy(), start.copy(), numpy.zeros_like(start), 2 * epsilon, *numbers,
        rises=numpy.zeros(count, numpy.int32), steady=numpy.ones(count, bool), fooled=numpy.zeros(count, bool),
        fooling=start.copy(),
    )  # fmt: skip


@functools.cache
def step(loss: str, norm: str, rho: float, alpha: float, steps: int, passes: int = 1) -> Callable:
    """The step function for compute.repeat. Constants: images, labels, targets, epsilon; state: State.

    steps: length of the run.
    passes: forward and backward passes whose gradients are averaged, each with its own random numbers. With more than
        one an image goes on after a misclassified iterate, which may be a lucky draw.
    """
    lengths = windows(steps)

    def advance(call, index, images, labels, targets, epsilon, *state):
        state, ops = State(*state), keras.ops
        judged = compute.redrawn(call, index * passes + 1) if passes > 1 else call
        judge = functools.partial(_value, loss, judged, labels, targets)
        (value, fooled), gradient = compute.gradient(judge, state.current)
        fooling = ops.where(_wide(fooled), state.current, state.fooling)
        if passes > 1:
            gradient = _averaged(loss, call, index, passes, labels, targets, state.current, gradient)
        # The best point so far, and the gradient there.
        better, best, highest = _keep_best(state, value)
        best_gradient = ops.where(_wide(better), gradient, state.gradient)
        rises = state.rises + ops.cast(value > state.value, "int32")

        # At a checkpoint: halve the step size if the loss rises too rarely, and return to the best point.
        window = ops.take(lengths, index)
        due = window >= 0
        rare = ops.cast(rises, "float32") < rho * ops.cast(window, "float32")
        halve = due & (rare | (state.steady & (highest == state.checked)))
        size = ops.where(halve, state.size / 2, state.size)
        origin = ops.where(_wide(halve), best, state.current)
        gradient = ops.where(_wide(halve), best_gradient, gradient)

        # The step, with momentum.
        target = perturb.move(origin, images, gradient, epsilon, size, norm)
        weight = ops.where(index == 0, 1.0, alpha)
        candidate = origin + weight * (target - origin) + (1 - weight) * (origin - state.previous)
        candidate = perturb.project(candidate, images, epsilon, norm)
        return State(
            current=candidate if passes > 1 else ops.where(_wide(fooled), state.current, candidate),
            previous=origin,
            best=best,
            gradient=best_gradient,
            size=size,
            value=ops.where(halve, highest, value),
            highest=highest,
            checked=ops.where(due, highest, state.checked),
            rises=ops.where(due, 0, rises),
            steady=ops.where(due, ops.logical_not(halve), state.steady),
            fooled=state.fooled | fooled,
            fooling=fooling,
        )

    return advance


@functools.cache
def judge(loss: str, number: int | None = None) -> Callable:
    """The last call of compute.repeat: the loss of the last iterate, and whether it is misclassified.

    number: of the random numbers of this pass (None: the model's own).
    """

    def look(call, images, labels, targets, epsilon, *state):
        state = State(*state)
        judged = call if number is None else compute.redrawn(call, number)
        value, fooled = _value(loss, judged, labels, targets, state.current)
        _, best, highest = _keep_best(state, value)
        fooling = keras.ops.where(_wide(fooled), state.current, state.fooling)
        return state._replace(best=best, highest=highest, fooled=state.fooled | fooled, fooling=fooling)

    return look


def _averaged(loss, call, index, passes, labels, targets, images, first):
    """The mean of the gradient `first` and those of the other passes, each with its own random numbers."""

    def add(number, total):
        redrawn = compute.redrawn(call, index * passes + 1 + number)
        return total + compute.gradient(functools.partial(_value, loss, redrawn, labels, targets), images)[1]

    return keras.ops.fori_loop(1, passes, add, first) / passes


def _value(loss, call, labels, targets, images):
    logits = call(images)
    return LOSSES[loss](logits, labels, targets), perturb.is_misclassified(logits, labels)


def _keep_best(state, value):
    """(whether the current iterate is the best so far, best points, highest loss); NaN once a loss was not finite."""
    better = value > state.highest
    highest = keras.ops.where(better, value, state.highest)
    highest = keras.ops.where(keras.ops.isfinite(value), highest, float("nan"))
    return better, keras.ops.where(_wide(better), state.current, state.best), highest


def _wide(values):
    return keras.ops.reshape(values, (-1, 1, 1, 1))
