"""Gradient-step perturbations of images, written in keras.ops for use inside a compiled graph.

Every function takes `call`, the model's forward pass (images -> logits), and is pure: attacks compile it with
models.compute.compiled, robust training compiles its steps from them. Images are float32 in [0, 1]; epsilon
and step sizes are in the same units and either one number or one value an image.
"""

import functools
import math

import keras
import numpy

from models import compute

LEAST = 1e-30  # of 1 - p_y in a gradient: below any sum of weights' gradients, above what float32 rounds to 0


def log_odds(logits, labels):
    """log((1 - p_y) / p_y) = logsumexp over i != y of z_i, minus z_y: the log-odds of a misclassification.

    The loss of gradient attacks. The cross-entropy is its softplus, so both rise and fall together and their gradients
    have one direction; but in float32 p_y rounds to 1, and then the cross-entropy's gradient p_y - 1 loses the label's
    part while the other classes' survive: it points elsewhere. This one keeps its direction and its size at any scale
    of the logits. Where images depend on each other, as behind batch norm in training mode, the weights 1 - p_y of the
    images count, and `cross_entropy` is the loss. logits (N, K) with K of at least 2, integer labels (N,) -> (N,);
    so are the losses below.
    """
    return surrogate_tempered(logits, labels, 1.0)


def cross_entropy(logits, labels):
    """Softmax cross-entropy, softplus(log_odds), whose gradient has the direction of the exact one at any scale.

    The gradient is (1 - p_y) times that of `log_odds`, where 1 - p_y, never subtracted from 1, is at least LEAST: so a
    saturated example neither loses the label's part of its gradient nor, by underflow, all of it.
    """
    odds = log_odds(logits, labels)
    return _directed(keras.ops.softplus(odds), keras.ops.sigmoid(odds), odds)


def float32_cross_entropy(logits, labels):
    """-log_softmax(z)_y, the cross-entropy as foolbox computes it, and as DARE's adversarials were made [P].

    Its gradient loses the label's part where p_y rounds to 1 (`log_odds`): for comparison with published arithmetic.
    """
    return -_at(keras.ops.log_softmax(logits), labels)


def soft_cross_entropy(logits, log_probabilities):
    """-sum over k of q_k log p_k for fixed log q (N, K): the loss of attacks on KL(q || p), its entropy being constant.

    The gradient p - q is computed without the likeliest class c of q, as (p_k - q_k) d(z_k - z_c) over the others: of
    two saturated distributions p_c - q_c rounds to 0. It has at least the size LEAST, as in `cross_entropy`.
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


def _directed(value, share, directed):
    """`value` (N,), with the gradient max(share, LEAST) d(directed) in place of its own."""
    share = keras.ops.stop_gradient(keras.ops.maximum(share, LEAST))
    return keras.ops.stop_gradient(value) + share * (directed - keras.ops.stop_gradient(directed))


def margin(logits, labels):
    """max over i != y of z_i, minus z_y: above 0 where misclassified (Carlini, Wagner 2017, f6 without its bound)."""
    best, runner_up = _largest(logits, 2)
    return keras.ops.where(is_misclassified(logits, labels), best, runner_up) - _at(logits, labels)


def surrogate_tempered(logits, labels, temperature):
    """T logsumexp over i != y of z_i / T, minus z_y, at a temperature T above 0: the loss of Temperature-PGD.

    The gradient of the tempered cross-entropy -log softmax(z / T)_y is this one's times (1 - p_y) / T, which is
    positive and one number an example, so that both have the same sign everywhere; but p_y rounds to 1, and the
    cross-entropy's gradient to 0, where this one stays whole. At T = 1 it is cross-entropy's, as T falls to 0 it
    becomes `margin` (Tian et al., KDD 2021; the form is ours [D]). Raises ValueError for another T.
    """
    if not (temperature > 0 and math.isfinite(temperature)):
        raise ValueError(f"temperature is {temperature}, expected a finite number above 0")
    if logits.shape[-1] < 2:
        raise ValueError(f"logits of {logits.shape[-1]} class, expected at least two")
    logits = _at_least_float32(logits)
    is_label = keras.ops.one_hot(labels, logits.shape[-1], dtype="bool")
    others = keras.ops.where(is_label, -math.inf, logits / temperature)
    return temperature * keras.ops.logsumexp(others, axis=-1) - _at(logits, labels)


@functools.cache
def tempered(temperature):
    """`surrogate_tempered` of one temperature, as a loss of logits and labels; one object a temperature, so that what
    is compiled of it is compiled once."""

    def loss(logits, labels):
        return surrogate_tempered(logits, labels, temperature)

    return loss


def dlr(logits, labels):
    """Difference of logits ratio: (max over i != y of z_i, minus z_y) / (z_(1) - z_(3)), z_(j) the j-th largest.

    Croce and Hein 2020, equation 6; 1e-12 is added below as in their code [P]. With two classes there is no third
    and the loss is the margin [D].
    """
    difference = margin(logits, labels)
    if logits.shape[-1] < 3:
        return difference
    first, _, third = _largest(logits, 3)
    return difference / (first - third + 1e-12)


def targeted_dlr(logits, labels, targets):
    """The DLR towards a class t: (z_t - z_y) / (z_(1) - (z_(3) + z_(4)) / 2), with integer targets (N,).

    Croce and Hein 2020, equation 7; 1e-12 as in `dlr`. With fewer than four classes there is no fourth and the loss
    is z_t - z_y [D].
    """
    difference = _at(logits, targets) - _at(logits, labels)
    if logits.shape[-1] < 4:
        return difference
    first, _, third, fourth = _largest(logits, 4)
    return difference / (first - (third + fourth) / 2 + 1e-12)


def is_misclassified(logits, labels):
    """Boolean (N,): the label is not the (first) largest logit."""
    return keras.ops.not_equal(keras.ops.cast(keras.ops.argmax(logits, -1), "int32"), keras.ops.cast(labels, "int32"))


def ascent_step(call, x, x0, targets, *, epsilon, step_size, loss, norm="linf", hold=None, noise=None):
    """One gradient step up the loss, back into the ball: (next iterates, logits at x, gradient at x).

    x, x0: current and original images; targets: what ``loss(logits, targets)`` -> (N,) is of, one row an image; the
    rest as in `move`; hold: ``hold(logits)`` -> bool (N,), the images that stay where they are.
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
def ascent(loss, stop=is_misclassified, norm="linf"):
    """A step of compute.repeat up the loss, each image until ``stop(logits, targets)`` -> bool (N,) ends it there.

    ``step(call, index, x0, targets, epsilon, step_size, x, ended) -> (next x, ended)``; one object for the same
    arguments, so that it is compiled once. `judge` goes with it.
    """

    def step(call, index, x0, targets, epsilon, step_size, x, ended):
        def hold(logits):
            return stop(logits, targets)

        sizes = {"epsilon": epsilon, "step_size": step_size, "norm": norm}
        moved, logits, _ = ascent_step(call, x, x0, targets, **sizes, loss=loss, hold=hold)
        return moved, hold(logits)

    return step


@functools.cache
def judge(stop=is_misclassified):
    """What compute.repeat does last to the images that no step of `ascent` has ended: judge where they are."""

    def last(call, x0, targets, epsilon, step_size, x, ended):
        return x, stop(call(x), targets)

    return last


def move(x, x0, gradient, epsilon, step_size, norm="linf", noise=None):
    """The images x one step of `step_size` along the steepest ascent in the norm, plus noise, projected: (N, H, W, C).

    Steepest, by `norm`: "linf" the sign of the gradient (Goodfellow et al. 2015, section 4), "l1" the gradient over its
    L1 norm and "l2" over its L2 norm; where the gradient is 0 only the noise moves an image.
    """
    moved = x + _STRIDES[norm](gradient, per_image(step_size, x))
    return project(moved if noise is None else moved + noise, x0, epsilon, norm)


def project(x, x0, epsilon, norm="linf"):
    """x back in the ball around x0 and in [0, 1]: the nearest point in "linf", the change shrunk in "l1" and "l2"."""
    change, epsilon = x - x0, per_image(epsilon, x0)
    if norm == "linf":
        change = keras.ops.clip(change, -epsilon, epsilon)
    elif norm == "l1":
        change = change * keras.ops.minimum(1.0, epsilon / keras.ops.maximum(_l1(change), 1e-12))
    else:
        change = change * keras.ops.minimum(1.0, epsilon / (_l2(change) + 1e-12))
    return keras.ops.clip(x0 + change, 0.0, 1.0)


def pgd(call, images, labels, *, epsilon, step_size, steps, start=None, loss=log_odds):
    """Projected gradient ascent in the Linf ball (Madry et al. 2018, section 2.1): exactly `steps` steps.

    start: where to begin (images in the ball), the images themselves by default. Returns the last iterate.
    """

    def step(_, x):
        return ascent_step(call, x, images, labels, epsilon=epsilon, step_size=step_size, loss=loss)[0]

    return keras.ops.fori_loop(0, steps, step, images if start is None else start)


def random_start(images, noise, epsilon, *, clip=True):
    """Where an attack with a random start begins: images + epsilon * noise, float32 NumPy arrays (N, H, W, C).

    noise: of norm 1 at most; epsilon: a number or values (N,); clip: to [0, 1] too.
    """
    epsilon = numpy.reshape(epsilon, (-1, 1, 1, 1)) if numpy.ndim(epsilon) else epsilon
    start = numpy.float32(images + epsilon * noise)
    return start.clip(0, 1) if clip else start


def per_image(value, images):
    """A number as it is, values (N,) in a shape that broadcasts against the images."""
    value = keras.ops.convert_to_tensor(value)
    return keras.ops.reshape(value, (-1, *[1] * (len(images.shape) - 1))) if len(value.shape) else value


def _at_least_float32(logits):
    """Half-precision logits in float32: their rounding is coarser than the difference of two classes."""
    half = keras.backend.standardize_dtype(logits.dtype) in ("float16", "bfloat16")
    return keras.ops.cast(logits, "float32") if half else logits


def _at(logits, classes):
    return keras.ops.squeeze(keras.ops.take_along_axis(logits, keras.ops.expand_dims(classes, 1), 1), 1)


def _largest(logits, count):
    """The `count` largest logits of each example, in descending order: a list of (N,)."""
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
