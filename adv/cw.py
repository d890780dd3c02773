"""C&W: the Carlini-Wagner attack in L2, Adam in a space where every point is an image."""

import dataclasses
import functools
import math

import keras
import numpy

from adv.attack import Attack
from models import compute, perturb

BETAS = (0.9, 0.999)  # Adam's, as in foolbox


@dataclasses.dataclass(frozen=True, kw_only=True)
class CW(Attack):
    """Minimise |x' - x|^2 + c max(0, z_y - max over i != y of z_i + confidence), x' = (tanh(w) + 1) / 2, by Adam on w.

    Carlini and Wagner 2017, section V and equation 6 of VI, with DARE's numbers [P]; every step is that of foolbox
    3.3.4's L2CarliniWagnerAttack. binary_search_steps: searches over c, which begins at initial_const, grows tenfold
    until it succeeds and is halved after; steps: Adam steps a search, at most; stepsize: Adam's learning rate, in
    w; confidence: how far beyond the boundary, in logits; abort_early: end a search that a tenth of its steps
    has not improved by 1e-4 of its loss.

    Difference from foolbox 3.3.4: [P] a search ends by the loss of the image itself, as in foolbox 2.3.0, and not by
    the sum over its batch; so the images do not depend on each other and later steps are computed for the rest alone.
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

    @property
    def closest_gradients(self):
        return self.binary_search_steps * self.steps

    def closest(self, model, images, labels, *, batch_size=256):
        """Of all the adversarials on the way the nearest in L2; failed images come back unchanged."""
        found = _Found(images.copy(), numpy.full(len(images), numpy.inf, numpy.float32))
        const = numpy.full(len(images), self.initial_const)
        low, high = numpy.zeros(len(images)), numpy.full(len(images), numpy.inf)
        for _ in range(self.binary_search_steps):
            success = self._descend(model, images, labels, const, found, batch_size)
            low, high = numpy.where(success, low, const), numpy.where(success, const, high)
            const = numpy.where(numpy.isinf(high), const * 10, (low + high) / 2)
        return found.images, numpy.isfinite(found.distance)

    def _descend(self, model, images, labels, const, found, batch_size):
        """One search at c = const, float64 (N,): improves `found` in place; whether any point was adversarial, (N,)."""
        # 0.999999: foolbox's way around the infinite images of black and white.
        space = numpy.arctanh((images - numpy.float32(0.5)) / numpy.float32(0.5) * numpy.float32(0.999999))
        constants = (images, space, labels, const.astype(numpy.float32))
        moving = [numpy.zeros_like(images) for _ in range(3)]  # change of w, Adam's two moments
        success, previous = numpy.zeros(len(images), bool), numpy.full(len(images), numpy.inf, numpy.float32)
        rows = numpy.arange(len(images))

        def advance(rows, first, count):
            run = self._steps(model, first, count)
            arrays = (part[rows] for part in (*constants, previous, *moving, found.images, found.distance, success))
            loss, going, *new = compute.predict(run, *arrays, batch_size=batch_size)
            for part, value in zip((*moving, found.images, found.distance, success), new, strict=True):
                part[rows] = value
            return loss, going

        length = math.ceil(self.steps / 10)
        for first in range(0, self.steps, length):
            loss, going = advance(rows, first, 1)
            rows = rows[going]
            if not len(rows):
                break
            if rest := min(length, self.steps - first) - 1:
                previous[rows] = numpy.inf
                advance(rows, first + 1, rest)
            if self.abort_early:
                previous[rows] = loss[going]
        return success

    def _steps(self, model, first, count):
        """``run(*arrays)`` that takes `count` steps, the first of them the step number `first` from 0."""
        rates = self._rates(first, count)
        if compute.ON_ACCELERATOR:
            return functools.partial(compute.compiled(model, _loop(self.confidence, count)), rates)
        step = compute.compiled(model, _step(self.confidence))

        def run(*arrays):
            arrays = [keras.ops.convert_to_tensor(array) for array in arrays]
            for rate in rates:
                loss, going, *arrays[5:] = step(rate, *arrays)
            return loss, going, *arrays[5:]

        return run

    def _rates(self, first, count):
        """Adam's step size over the bias of its first moment, and the inverse bias of its second: (count, 2)."""
        taken = numpy.arange(first + 1, first + 1 + count, dtype=numpy.float64)
        rates = numpy.stack([self.stepsize / (1 - BETAS[0] ** taken), 1 / (1 - BETAS[1] ** taken)], 1)
        return rates.astype(numpy.float32)


@dataclasses.dataclass
class _Found:
    """The nearest adversarials so far, and their L2 distance, infinite where there is none."""

    images: numpy.ndarray
    distance: numpy.ndarray


@functools.cache
def _step(confidence):
    """One Adam step: (loss (N,), which go on, then the new state). previous: the loss at the last check, infinite where
    there is none to beat; an image that does not beat it is recorded no more and is to be dropped."""

    def step(call, rate, images, space, labels, const, previous, change, mean, square, best, distance, success):
        start = _to_image(space)

        def objective(change):
            x = _to_image(space + change)
            logits = call(x)
            own = keras.ops.equal(labels[:, None], keras.ops.arange(logits.shape[-1], dtype=labels.dtype))
            logits = logits + confidence * keras.ops.cast(own, logits.dtype)
            label = keras.ops.sum(keras.ops.where(own, logits, 0.0), 1)
            short = keras.ops.maximum(0.0, label - keras.ops.max(keras.ops.where(own, -numpy.inf, logits), 1))
            return const * short + _squares(x - start), (x, perturb.is_misclassified(logits, labels))

        (loss, (x, wrong)), slope = compute.gradient(objective, change)
        mean = BETAS[0] * mean + (1 - BETAS[0]) * slope
        square = BETAS[1] * square + (1 - BETAS[1]) * keras.ops.square(slope)
        change = change - rate[0] * mean / (keras.ops.sqrt(rate[1] * square) + 1e-8)
        going = loss <= 0.9999 * previous
        wrong = keras.ops.logical_and(wrong, going)
        far = keras.ops.sqrt(_squares(x - images))
        nearer = keras.ops.logical_and(wrong, far < distance)
        best = keras.ops.where(nearer[:, None, None, None], x, best)
        distance = keras.ops.where(nearer, far, distance)
        return loss, going, change, mean, square, best, distance, keras.ops.logical_or(success, wrong)

    return step


@functools.cache
def _loop(confidence, count):
    """`count` such steps in one compiled call: ``loop(call, rates (count, 2), *arrays)``."""
    step = _step(confidence)

    def loop(call, rates, *arrays):
        constants, state = arrays[:5], arrays[5:]

        def advance(index, carried):
            return tuple(step(call, keras.ops.take(rates, index, axis=0), *constants, *carried[2:]))

        loss = keras.ops.zeros_like(constants[4])
        return keras.ops.fori_loop(0, count, advance, (loss, keras.ops.isfinite(loss), *state))

    return loop


def _to_image(space):
    return keras.ops.tanh(space) * 0.5 + 0.5


def _squares(x):
    return keras.ops.sum(keras.ops.square(x), axis=(1, 2, 3))
