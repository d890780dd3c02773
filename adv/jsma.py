"""JSMA: repeatedly change the element that lowers the loss of a target class most, until the model misclassifies.

This is foolbox 2.3.0's SaliencyMapAttack in its fast variant, for many images at once and with the same result as for
one image at a time. Three of its properties decide that result:

- [P] The saliency is the gradient of the target class's *cross-entropy* (the paper: of its output). With betas of -1
  the element with the largest signed gradient is taken, so elements are darkened; an element is brightened only if
  every gradient is negative and no element has left the search yet.
- [P] An element is one channel of one pixel (the paper changes two pixels at a time). It leaves the search when it
  reaches 0 or 1 or was changed seven times. Taking an element that is 0 already uses up a step and changes nothing.
- [P] The attack aims at one class but ends at the first image whose predicted class is any but the label.

Differences from foolbox 2.3.0:
1. [D] Steps that change nothing are counted without computing the gradient again, and an image that no further step
   can change ends at once. The images are the same.
2. [D] If the gradient attack fails, the random target class is drawn from the seed and the image's bytes (foolbox: one
   global generator), so that it does not depend on the other images.
"""

from __future__ import annotations

import dataclasses
import functools
import zlib

import keras
import numpy

from adv import pgd
from adv.base import Attack, check_above_0, check_least
from adv.fgsm import FGSM
from models import compute, perturb
from train.seeds import stream


@dataclasses.dataclass(frozen=True, kw_only=True)
class JSMA(Attack):
    """Jacobian-based saliency map attack of Papernot et al. 2016, algorithm 3, as DARE called foolbox 2.3.0's [P].

    Its norm is L0, which the paper minimises: epsilon is the number of elements that may change, 0 to H * W * C.
    steps: changes of an element, at most (the image after the last is not predicted, as in foolbox [P]).
    theta: size of a change.
    repeats: changes of the same element, at most.
    seed: of the random target classes.
    loss: of the gradient attack and the saliency, "ce", or "ce-float32" for foolbox's arithmetic [P].
    Raises ValueError for another loss, and for a number out of its range.
    """

    title = "JSMA"
    citation = "Papernot, McDaniel, Jha, Fredrikson, Celik, Swami, EuroS&P 2016"
    norm = "l0"
    steps: int = 2000
    theta: float = 0.1
    repeats: int = 7
    seed: int = 0
    loss: str = "ce"

    def __post_init__(self):
        if self.loss not in SALIENCY:
            raise ValueError(f"loss is {self.loss!r}, expected one of {', '.join(SALIENCY)}")
        check_least(self, steps=1, repeats=1, seed=0)
        check_above_0(self, theta=1)

    def closest(
        self, model: keras.Model, images: numpy.ndarray, labels: numpy.ndarray, *, batch_size: int = 256
    ) -> tuple[numpy.ndarray, numpy.ndarray]:
        """The first misclassified images on the way to the target class; failed images come back unchanged."""
        return self._run(model, images, labels, numpy.inf, batch_size)

    def within(
        self, model: keras.Model, images: numpy.ndarray, labels: numpy.ndarray, *, epsilon: float, batch_size: int = 256
    ) -> numpy.ndarray:
        """The adversarials that change at most epsilon elements; failed images come back unchanged.

        epsilon: a number of elements. Other arguments as in base.Attack.within.
        """
        return self._run(model, images, labels, epsilon, batch_size)[0]

    def _run(self, model, images, labels, budget, batch_size):
        targets = target_classes(model, images, labels, seed=self.seed, loss=self.loss, batch_size=batch_size)
        return saliency_map(
            model,
            images,
            labels,
            targets,
            steps=self.steps,
            theta=self.theta,
            repeats=self.repeats,
            budget=budget,
            loss=self.loss,
            batch_size=batch_size,
        )


class _GradientAttack(FGSM):
    """foolbox 2.3.0's GradientAttack [P]: the gradient scaled to a root mean square of 1, with FGSM's search."""

    def _signs(self, model, images, labels, batch_size):
        gradients = self._gradient(model, images, labels, batch_size)
        size = numpy.sqrt(numpy.square(gradients).mean(axis=(1, 2, 3), keepdims=True))
        return gradients / (size + numpy.float32(1e-8))


def target_classes(
    model: keras.Model,
    images: numpy.ndarray,
    labels: numpy.ndarray,
    *,
    seed: int = 0,
    loss: str = "ce",
    batch_size: int = 256,
) -> numpy.ndarray:
    """The class to which the gradient attack takes each image, or a random class if it fails: int32 (N,).

    model: returns logits.
    images: float32 (N, H, W, C) in [0, 1], correctly classified as labels (N,).
    seed: of the random classes.
    loss: a name of pgd.LOSSES.
    batch_size: images attacked together.
    """
    candidates, success = _GradientAttack(loss=loss).closest(model, images, labels, batch_size=batch_size)
    logits = compute.predict(compute.forward(model), candidates, batch_size=batch_size)
    logits[numpy.arange(len(labels)), labels] = -numpy.inf
    targets = logits.argmax(axis=1)
    for row in numpy.flatnonzero(~success):
        generator = stream(seed, "target class", zlib.crc32(images[row].tobytes()))
        targets[row] = (labels[row] + generator.integers(1, logits.shape[1])) % logits.shape[1]
    return targets.astype(numpy.int32)


def saliency_map(
    model: keras.Model,
    images: numpy.ndarray,
    labels: numpy.ndarray,
    targets: numpy.ndarray,
    *,
    steps: int = 2000,
    theta: float = 0.1,
    repeats: int = 7,
    budget: float = numpy.inf,
    loss: str = "ce",
    batch_size: int = 256,
) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Change an element a step towards the target class until misclassified: (candidates, success bool (N,)).

    model: returns logits.
    images: float32 (N, H, W, C) in [0, 1].
    labels, targets: integers (N,).
    batch_size: images attacked together.
    budget: elements of an image that may change, at most.
    steps, theta, repeats, loss: as JSMA.
    Finished images leave the batch and waiting images take their places. Failed images come back unchanged.
    """
    choose = compute.compiled(model, SALIENCY[loss])
    current = images.reshape(len(images), -1).copy()
    allowed = numpy.ones(current.shape, bool)
    changes = numpy.zeros(current.shape, numpy.uint16)
    step_counts, changed = numpy.zeros(len(images), int), numpy.zeros(len(images), int)
    success = numpy.zeros(len(images), bool)
    waiting = numpy.arange(len(images))
    while len(waiting):
        # Predict a full batch of unfinished images, and choose an element of each.
        rows = waiting[:batch_size]
        misclassified, element, direction, idle = compute.predict(
            choose,
            current[rows].reshape(-1, *images.shape[1:]),
            labels[rows],
            targets[rows],
            allowed[rows],
            batch_size=batch_size,
        )
        success[rows] = misclassified
        allowed[rows] &= ~idle
        step_counts[rows] += 1 + idle.sum(axis=1)
        # Change it. foolbox adds in float64 and stores float32: in float32 alone, 0.1 - 0.1 would end an element early.
        going = ~misclassified & (direction != 0) & (step_counts[rows] < steps)
        rows, element, direction = rows[going], element[going], direction[going].astype(numpy.float64)
        pixel = (current[rows, element] - direction * theta).astype(numpy.float32)
        current[rows, element] = numpy.clip(pixel, 0, 1)
        changes[rows, element] += 1
        allowed[rows, element] &= (pixel > 0) & (pixel < 1) & (changes[rows, element] < repeats)
        changed[rows] += changes[rows, element] == 1
        waiting = numpy.concatenate([rows[changed[rows] <= budget], waiting[batch_size:]])
    candidates = current.reshape(images.shape)
    candidates[~success] = images[~success]
    return candidates, success


def _choose(loss, call, images, labels, targets, allowed):
    """Predict images and choose their next step: (misclassified, element, sign of its gradient, idle).

    allowed: elements still in the search, bool (N, H * W * C).
    idle, of that shape: elements at 0 that foolbox would try before the chosen element, without effect. The other
    results are (N,); a sign of 0 means that no step changes the image any more.
    """

    def attack_loss(x):
        logits = call(x)
        return loss(logits, targets), perturb.is_misclassified(logits, labels)

    (_, misclassified), gradient = compute.gradient(attack_loss, images)
    gradient = keras.ops.reshape(gradient, (-1, allowed.shape[1]))
    dark = keras.ops.logical_and(keras.ops.reshape(images, (-1, allowed.shape[1])) <= 0, gradient > 0)
    dark = keras.ops.logical_and(dark, allowed)
    saliency = keras.ops.where(keras.ops.logical_and(allowed, keras.ops.logical_not(dark)), gradient, 0.0)
    element = keras.ops.argmax(saliency, axis=1)
    best = keras.ops.max(saliency, axis=1, keepdims=True)
    order = keras.ops.arange(allowed.shape[1], dtype=element.dtype)
    earlier = keras.ops.logical_and(keras.ops.equal(gradient, best), order < element[:, None])
    idle = keras.ops.logical_and(dark, keras.ops.logical_or(gradient > best, earlier))
    return misclassified, element, keras.ops.sign(best[:, 0]), idle


# One object for each loss, so that it is compiled once a model.
SALIENCY = {name: functools.partial(_choose, pgd.LOSSES[name]) for name in ("ce", "ce-float32")}
