"""Attack losses and gradient steps on images, in keras.ops, for use inside a compiled graph.

Functions are pure; `call` is the model's forward pass (images -> logits). Attacks compile them with
models.compute.compiled, robust training uses them inside its compiled steps. Images are float32 in [0, 1]; epsilon and
step sizes are in the same units, each a number or a value for each image.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import keras
import numpy

from models import compute
from models.compute.variables import Tensor

LEAST = 1e-30  # of 1 - p_y in a gradient: negligible in sums over images, above the underflow of float32


def log_odds(logits: Tensor, labels: Tensor) -> Tensor:
    """log((1 - p_y) / p_y) = logsumexp over i != y of z_i, minus z_y: the log-odds of a misclassification.

    This is the loss of gradient attacks. The cross-entropy is its softplus, so both have gradients of the same
    direction. But in float32 p_y can round to 1; the cross-entropy's gradient then loses the label's part p_y - 1 and
    keeps those of the other classes, so its direction is wrong. The gradient of the log-odds keeps direction and size
    at any scale of the logits. If images depend on each other, as through batch norm in training mode, the weights
    1 - p_y of the images matter, and `cross_entropy` is the loss to use.
    Here and in the losses below: logits (N, K) with K at least 2, integer labels (N,) -> (N,).
    """
    return surrogate_tempered(logits, labels, 1.0)


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Softmax cross-entropy, softplus(log_odds), with a gradient of the exact direction at any scale of the logits.

    The gradient is (1 - p_y) times that of `log_odds`. 1 - p_y is computed without subtraction and is at least LEAST,
    so that a saturated example loses neither the label's part of its gradient nor, by underflow, all of it.
    """
    odds = log_odds(logits, labels)
    return _directed(keras.ops.softplus(odds), keras.ops.sigmoid(odds), odds)


def float32_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """-log_softmax(z)_y: the cross-entropy in foolbox's arithmetic, as used for DARE's adversarials [P].

    Its gradient loses the label's part where p_y rounds to 1 (see `log_odds`). For comparison with published numbers.
    """
    return -_at(keras.ops.log_softmax(logits), labels)


def soft_cross_entropy(logits: Tensor, log_probabilities: Tensor) -> Tensor:
    """-sum over k of q_k log p_k for fixed log q (N, K): KL(q || p) up to the constant entropy of q.

    The gradient p - q is computed as (p_k - q_k) d(z_k - z_c) over all classes but the most likely class c of q, since
    p_c - q_c rounds to 0 if both are saturated. Its size is at least LEAST, as in `cross_entropy`.
    """
    ops = keras.ops
    logits = _at_least_float32(logits)
    log_p, log_q = ops.log_softmax(logits), log_probabilities
    is_top = ops.one_hot(ops.argmax(log_q, -1), logits.shape[-1], dtype="bool")
    leads = logits - ops.sum(ops.where(is_top, logits, 0.0), -1, keepdims=True)
    largest = ops.max(ops.where(is_top, -math.inf, ops.maximum(log_p, log_q)), -1, keepdims=True)
    differences = ops.where(is_top, 0.0, ops.exp(log_p - largest) - ops.exp(log_q - largest))
    value = -ops.sum(ops.exp(log_q) * log_p, -1)
    directed = ops.sum(ops.stop_gradient(differences) * leads, -1)
    return _directed(value, ops.squeeze(ops.exp(largest), -1), directed)


def _directed(value, factor, directed):
    """`value` (N,) with its gradient replaced by max(factor, LEAST) d(directed)."""
    factor = keras.ops.stop_gradient(keras.ops.maximum(factor, LEAST))
    return keras.ops.stop_gradient(value) + factor * (directed - keras.ops.stop_gradient(directed))


def margin(logits: Tensor, labels: Tensor) -> Tensor:
    """max over i != y of z_i, minus z_y: positive if misclassified (Carlini, Wagner 2017, f6 without its bound)."""
    best, runner_up = _largest(logits, 2)
    return keras.ops.where(is_misclassified(logits, labels), best, runner_up) - _at(logits, labels)


def surrogate_tempered(logits: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """T logsumexp over i != y of z_i / T, minus z_y: the attack loss of Temperature-PGD at temperature T.

    The gradient of the tempered cross-entropy -log softmax(z / T)_y is that of this loss times (1 - p_y) / T, which is
    positive. So both have the same sign, but this one does not vanish where p_y rounds to 1. At T = 1 it
    is `log_odds`; towards T = 0 it becomes `margin` (Tian et al., KDD 2021; the form is ours [D]).
    Raises ValueError for a temperature that is not above 0 and finite, and for fewer than two classes.
    """
    if not (temperature > 0 and math.isfinite(temperature)):
        raise ValueError(f"temperature is {temperature}, expected a finite number above 0")
    if logits.shape[-1] < 2:
        raise ValueError(f"logits of {logits.shape[-1]} class, expected at least two")
    logits = _at_least_float32(logits)
    is_label = keras.ops.one_hot(labels, logits.shape[-1], dtype="bool")
    other_logits = keras.ops.where(is_label, -math.inf, logits / temperature)
    return temperature * keras.ops.logsumexp(other_logits, axis=-1) - _at(logits, labels)


@functools.cache
def tempered(temperature: float) -> Callable:
    """`surrogate_tempered` at a temperature as a loss of (logits, labels): one cached object, so compiled only once."""

    def loss(logits, labels):
        return surrogate_tempered(logits, labels, temperature)

    return loss


def dlr(logits: Tensor, labels: Tensor) -> Tensor:
    """Difference of logits ratio: (max over i != y of z_i, minus z_y) / (z_(1) - z_(3)), z_(j) the j-th largest.

    Croce and Hein 2020, equation 6; 1e-12 is added to the denominator as in their code [P]. With two classes there is
    no third logit and the loss is the margin [D].
    """
    difference = margin(logits, labels)
    if logits.shape[-1] < 3:
        return difference
    first, _, third = _largest(logits, 3)
    return difference / (first - third + 1e-12)


def targeted_dlr(logits: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
    """The DLR towards a class t: (z_t - z_y) / (z_(1) - (z_(3) + z_(4)) / 2), with integer targets (N,).

    Croce and Hein 2020, equation 7; 1e-12 as in `dlr`. With fewer than four classes there is no fourth logit and the
    loss is z_t - z_y [D].
    """
    difference = _at(logits, targets) - _at(logits, labels)
    if logits.shape[-1] < 4:
        return difference
    first, _, third, fourth = _largest(logits, 4)
    return difference / (first - (third + fourth) / 2 + 1e-12)


def is_misclassified(logits: Tensor, labels: Tensor) -> Tensor:
    """Whether the predicted class, the (first) largest logit, differs from the label: bool (N,)."""
    return keras.ops.not_equal(keras.ops.cast(keras.ops.argmax(logits, -1), "int32"), keras.ops.cast(labels, "int32"))


def ascent_step(
    call: Callable, x: Tensor, x0: Tensor, targets: Tensor, *, epsilon: Tensor, step_size: Tensor, loss: Callable,
    norm: str = "linf", hold: Callable | None = None, noise: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """A projected gradient step that increases the loss: (next iterates, logits at x, gradient at x).

    call: the model's forward pass.
    x, x0: current and original images (N, H, W, C).
    targets: second argument of ``loss(logits, targets)`` -> (N,), a row for each image.
    hold: ``hold(logits)`` -> bool (N,), images that do not move.
    epsilon, step_size, norm, noise: as in `move`.
    """

    def attack_loss(x):
        logits = call(x)
        return loss(logits, targets), logits

    (_, logits), gradient = compute.gradient(attack_loss, x, call)
    moved = move(x, x0, gradient, epsilon, step_size, norm, noise)
    if hold is not None:
        moved = keras.ops.where(per_image(hold(logits), x), x, moved)
    return moved, logits, gradient


@functools.cache
def ascent(loss: Callable, stop: Callable = is_misclassified, norm: str = "linf") -> Callable:
    """`ascent_step` as step for compute.repeat: ``step(call, index, x0, targets, epsilon, step_size, x, ended)``.

    loss, norm: as in `ascent_step`.
    stop: ``stop(logits, targets)`` -> bool (N,), ends an image.
    Constants: x0, targets, epsilon, step_size; state: x, ended. Cached, so that equal arguments compile only once. Pass
    `judge` as `last`.
    """

    def step(call, index, x0, targets, epsilon, step_size, x, ended):
        def hold(logits):
            return stop(logits, targets)

        sizes = {"epsilon": epsilon, "step_size": step_size, "norm": norm}
        moved, logits, _ = ascent_step(call, x, x0, targets, **sizes, loss=loss, hold=hold)
        return moved, hold(logits)

    return step


@functools.cache
def judge(stop: Callable = is_misclassified) -> Callable:
    """The last call of compute.repeat after `ascent`: predict the last iterates of those not ended. stop: as there."""

    def last(call, x0, targets, epsilon, step_size, x, ended):
        return x, stop(call(x), targets)

    return last


def move(
    x: Tensor, x0: Tensor, gradient: Tensor, epsilon: Tensor, step_size: Tensor, norm: str = "linf",
    noise: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """x after a step of steepest ascent in a norm, plus noise, projected onto the ball around x0: (N, H, W, C).

    Direction: "linf" the sign of the gradient (Goodfellow et al. 2015, section 4), "l1" gradient / ||gradient||_1, "l2"
    gradient / ||gradient||_2; none where the gradient is 0.
    x, x0, gradient: current images, original images, and the gradient of the attack loss at x: (N, H, W, C).
    epsilon, step_size: radius of the ball and norm of the step, numbers or (N,).
    noise: (N, H, W, C), added before the projection; None for none.
    """
    moved = x + _STRIDES[norm](gradient, per_image(step_size, x))
    return project(moved if noise is None else moved + noise, x0, epsilon, norm)


def project(x: Tensor, x0: Tensor, epsilon: Tensor, norm: str = "linf") -> Tensor:
    """x projected onto the ball around x0 and [0, 1]: clipped in "linf", the change scaled down in "l1" and "l2".

    x0, epsilon, norm: as in `move`.
    """
    change, epsilon = x - x0, per_image(epsilon, x0)
    if norm == "linf":
        change = keras.ops.clip(change, -epsilon, epsilon)
    elif norm == "l1":
        change = change * keras.ops.minimum(1.0, epsilon / keras.ops.maximum(_l1(change), 1e-12))
    else:
        change = change * keras.ops.minimum(1.0, epsilon / (_l2(change) + 1e-12))
    return keras.ops.clip(x0 + change, 0.0, 1.0)


def pgd(
    call: Callable, images: Tensor, labels: Tensor, *, epsilon: Tensor, step_size: Tensor, steps: int,
    start: Tensor | None = None, loss: Callable = log_odds,
) -> Tensor:  # fmt: skip
    """The last iterate of projected gradient ascent in the Linf ball, after exactly `steps` steps.

    Madry et al. 2018, section 2.1.
    images, labels: x0 and targets of `ascent_step`; call, epsilon, step_size and loss: as there.
    start: first iterate, inside the ball (None: the images).
    """

    def step(_, x):
        return ascent_step(call, x, images, labels, epsilon=epsilon, step_size=step_size, loss=loss)[0]

    return keras.ops.fori_loop(0, steps, step, images if start is None else start)


def random_start(
    images: numpy.ndarray, noise: numpy.ndarray, epsilon: float | numpy.ndarray, *, clip: bool = True
) -> numpy.ndarray:
    """A random start: images + epsilon * noise, float32 NumPy array (N, H, W, C).

    noise: of norm at most 1.
    epsilon: a number or (N,).
    clip: clip to [0, 1].
    """
    epsilon = numpy.reshape(epsilon, (-1, 1, 1, 1)) if numpy.ndim(epsilon) else epsilon
    start = numpy.float32(images + epsilon * noise)
    return start.clip(0, 1) if clip else start


def per_image(value: Tensor, images: Tensor) -> Tensor:
    """`value`, (N,), reshaped to broadcast against images; a number is returned unchanged."""
    value = keras.ops.convert_to_tensor(value)
    return keras.ops.reshape(value, (-1, *[1] * (len(images.shape) - 1))) if len(value.shape) else value


def _at_least_float32(logits):
    """Half-precision logits as float32: their rounding can exceed the difference of two logits."""
    half = keras.backend.standardize_dtype(logits.dtype) in ("float16", "bfloat16")
    return keras.ops.cast(logits, "float32") if half else logits


def _at(logits, classes):
    return keras.ops.squeeze(keras.ops.take_along_axis(logits, keras.ops.expand_dims(classes, 1), 1), 1)


def _largest(logits, count):
    """The `count` largest logits of each example in descending order: list of (N,)."""
    values = keras.ops.top_k(logits, count)[0]
    return [values[:, place] for place in range(count)]


def _l1(x):
    return keras.ops.sum(keras.ops.abs(x), axis=(1, 2, 3), keepdims=True)


def _l2(x):
    return keras.ops.sqrt(keras.ops.sum(keras.ops.square(x), axis=(1, 2, 3), keepdims=True))


def _l1_stride(gradient, size):
    length = _l1(gradient)
    return size * gradient / keras.ops.where(length > 0, length, 1.0)


_STRIDES = {
    "linf": lambda gradient, size: size * keras.ops.sign(gradient),
    "l1": _l1_stride,
    "l2": lambda gradient, size: size * (gradient / (_l2(gradient) + 1e-12)),
}
