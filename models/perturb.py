"""Gradient-step perturbations of images, written in keras.ops for use inside a compiled graph.

Every function takes `call`, the model's forward pass (images -> logits), and is pure: attacks compile it with
models.compute.compiled, robust training compiles its steps from them. Images are float32 in [0, 1]; epsilon
and step sizes are in the same units and either one number or one value an image.
"""

import functools
import math

import keras

from models import compute


def cross_entropy(logits, labels):
    """Softmax cross-entropy, one value an example: logits (N, K), integer labels (N,) -> (N,)."""
    return -keras.ops.squeeze(
        keras.ops.take_along_axis(keras.ops.log_softmax(logits), keras.ops.expand_dims(labels, 1), 1), 1
    )


def margin(logits, labels):
    """max over i != y of z_i, minus z_y: above 0 where misclassified (Carlini and Wagner 2017, f6 without its bound).

    logits (N, K) with K of at least 2, integer labels (N,) -> (N,); so are the losses below.
    """
    best, runner_up = _largest(logits, 2)
    return keras.ops.where(is_wrong(logits, labels), best, runner_up) - _at(logits, labels)


def surrogate_tempered(logits, labels, temperature):
    """T logsumexp over i != y of z_i / T, minus z_y, at a temperature T above 0: what Temperature-PGD climbs.

    The gradient of the tempered cross-entropy -log softmax(z / T)_y is this one's times (1 - p_y) / T, which is
    positive and one number an example, so that both have the same sign everywhere; but p_y rounds to 1, and the
    cross-entropy's gradient to 0, where this one stays whole. At T = 1 it is cross-entropy's, as T falls to 0 it
    becomes `margin` (Tian et al., KDD 2021; the form is ours [D]). Raises ValueError for another T.
    """
    if not (temperature > 0 and math.isfinite(temperature)):
        raise ValueError(f"temperature is {temperature}, expected a finite number above 0")
    if logits.shape[-1] < 2:
        raise ValueError(f"logits of {logits.shape[-1]} class, expected at least two")
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


def is_wrong(logits, labels):
    """Boolean (N,): the label is not the (first) largest logit."""
    return keras.ops.not_equal(keras.ops.cast(keras.ops.argmax(logits, -1), "int32"), keras.ops.cast(labels, "int32"))


def sign_gradient(call, images, labels, *, loss=cross_entropy):
    """Sign of the input gradient of the loss, the shape of the images (Goodfellow et al. 2015, section 4)."""
    (_, _), slope = compute.gradient(lambda x: (loss(call(x), labels), ()), images, call)
    return keras.ops.sign(slope)


def pgd(call, images, labels, *, epsilon, step_size, steps, start=None, loss=cross_entropy):
    """Projected gradient ascent in the Linf ball (Madry et al. 2018, section 2.1): exactly `steps` steps.

    start: where to begin (images in the ball), the images themselves by default. Returns the last iterate.
    """
    epsilon, step_size = per_image(epsilon, images), per_image(step_size, images)

    def step(_, current):
        return project(current + step_size * sign_gradient(call, current, labels, loss=loss), images, epsilon)

    return keras.ops.fori_loop(0, steps, step, images if start is None else start)


def step_until_wrong(call, images, current, labels, *, epsilon, step_size, loss=cross_entropy):
    """One step of pgd from `current` that holds what is misclassified: (next iterates, which of `current` were wrong).
    The forward pass that the gradient needs anyway judges them."""
    epsilon, step_size = per_image(epsilon, images), per_image(step_size, images)

    def judged(x):
        logits = call(x)
        return loss(logits, labels), is_wrong(logits, labels)

    (_, wrong), slope = compute.gradient(judged, current)
    moved = project(current + step_size * keras.ops.sign(slope), images, epsilon)
    return keras.ops.where(per_image(wrong, images), current, moved), wrong


def project(current, images, epsilon):
    """The nearest point in the Linf ball of epsilon around the images and in [0, 1]."""
    return keras.ops.clip(images + keras.ops.clip(current - images, -epsilon, epsilon), 0.0, 1.0)


def per_image(value, images):
    """A number as it is, values (N,) in a shape that broadcasts against the images."""
    value = keras.ops.convert_to_tensor(value)
    return keras.ops.reshape(value, (-1, *[1] * (len(images.shape) - 1))) if len(value.shape) else value


def _at(logits, classes):
    return keras.ops.squeeze(keras.ops.take_along_axis(logits, keras.ops.expand_dims(classes, 1), 1), 1)


def _largest(logits, count):
    """The `count` largest logits of each example, in descending order: a list of (N,)."""
    values = keras.ops.top_k(logits, count)[0]
    return [values[:, place] for place in range(count)]
