"""The base classes of attacks, and what several attacks share; adv/attacks.py is the catalogue.

An attack is a frozen dataclass of hyper-parameters with two methods; epsilon stays outside it. Both take a model from
pixels to logits, correctly classified float32 images (N, H, W, C) in [0, 1], integer labels (N,), and batch_size, the
number of images attacked together:

- ``closest(model, images, labels, *, batch_size)`` -> (candidates, success): its smallest perturbations;
- ``within(model, images, labels, *, epsilon, batch_size)`` -> images no farther than epsilon away in its norm.

Callers (adv.search.minimal, adv.evaluate.robust_flags) predict the returned images once more and count only that,
never the attack's own success.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
import numbers
import typing
from collections.abc import Callable

import keras
import numpy
import scipy.special

from adv import search
from models import compute
from train.seeds import stream


@dataclasses.dataclass(frozen=True, kw_only=True)
class Attack:
    """What every attack has: `title`, `citation`, the `norm` that its epsilon is measured in, `specification()`.

    norm: "l1" (sum of absolute changes), "l2" or "linf" of the whole image in [0, 1] pixel scale, or "l0" (number of
        values changed); see adv.search.norm.
    """

    title: typing.ClassVar[str]
    citation: typing.ClassVar[str]
    norm: typing.ClassVar[str]

    def specification(self) -> dict:
        """Everything that decides the attack, as JSON values, for result rows and artefacts.

        "climbed" names the attack loss of "ce". Older rows without this key used float32 cross-entropy.
        """
        attack_loss = {"climbed": "log-odds"} if getattr(self, "loss", None) == "ce" else {}
        return {"attack": type(self).__name__.lower(), "norm": self.norm, **dataclasses.asdict(self), **attack_loss}

    def within(
        self, model: keras.Model, images: numpy.ndarray, labels: numpy.ndarray, *, epsilon: float, batch_size: int = 256
    ) -> numpy.ndarray:
        """The closest adversarials within epsilon, float32 (N, H, W, C); all other images come back unchanged.

        model: a Keras model from pixels in [0, 1] to logits (N, K).
        images: float32 (N, H, W, C) in [0, 1], which the model classifies correctly.
        labels: integers (N,).
        epsilon: radius of the ball around each image, in the attack's `norm`.
        batch_size: images attacked together.
        For attacks that minimise the perturbation. Attacks of fixed epsilon override it, with the same arguments.
        """
        candidates, success = self.closest(model, images, labels, batch_size=batch_size)
        success = success & (search.norm(candidates - images.astype(numpy.float64), self.norm) <= epsilon)
        return numpy.where(success[:, None, None, None], candidates, images)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Searched(Attack):
    """An attack of fixed epsilon; its closest adversarials are searched for by growing and bisecting epsilon.

    epsilon, growth, growths, bisections: as in search.bisection.
    Raises ValueError for one out of its range.
    """

    epsilon: float = 0.3
    growth: float = 1.5
    growths: int = 20
    bisections: int = 20

    def __post_init__(self):
        check_least(self, growth=1, growths=1, bisections=0)
        check_above_0(self, epsilon=math.inf)

    def bisection(self, trial: Callable, images: numpy.ndarray) -> tuple[numpy.ndarray, numpy.ndarray]:
        """search.bisection with this attack's settings. trial, images: as there."""
        return search.bisection(
            trial,
            images,
            epsilon=self.epsilon,
            growth=self.growth,
            growths=self.growths,
            bisections=self.bisections,
        )


def noise(images: numpy.ndarray, *, seed: int, draw: int = 0) -> numpy.ndarray:
    """Uniform noise in [-1, 1) for random starts: float32 of the images' shape.

    draw: number of the restart, from 0.
    An image's noise depends only on `seed`, `draw` and its own pixels: not on its neighbours, the batch size, or which
    images an earlier restart fooled.
    """
    uniform = numpy.empty(images.shape, numpy.float32)
    for row, image in enumerate(images):
        uniform[row] = 2 * of_image(image, seed, "random start", draw).random(image.shape, numpy.float32) - 1
    return uniform


def check_least(attack: Attack, **least: float) -> None:
    """Raise ValueError if a hyper-parameter of an attack is below its least value (name -> least), or no whole number.

    Only those whose default is a whole number have to be one; the others have to be finite.
    """
    for name, value in least.items():
        given, default = getattr(attack, name), type(attack).__dataclass_fields__[name].default
        whole = isinstance(default, int)
        if not isinstance(given, numbers.Integral if whole else numbers.Real) or not value <= given < math.inf:
            kind = "a whole number of at least" if whole else "at least"
            raise ValueError(f"{name} is {given!r}, expected {kind} {value}")


def check_above_0(attack: Attack, **most: float) -> None:
    """Raise ValueError if a hyper-parameter is not above 0, or above its largest value (name -> most), or not finite.

    An attack without steps, or of steps of size 0, returns the images, and every image would count as robust.
    """
    for name, value in most.items():
        given = getattr(attack, name)
        if not isinstance(given, numbers.Real) or not 0 < given <= value or math.isinf(given):
            bound = "" if math.isinf(value) else f", at most {value}"
            raise ValueError(f"{name} is {given!r}, expected a finite number above 0{bound}")


def direction(images: numpy.ndarray, *, seed: int, draw: int, norm: str) -> numpy.ndarray:
    """Random directions of norm 1, float32 (N, H, W, C): uniform values in "linf", normal values in "l2".

    images: float32 (N, H, W, C); their pixels choose the noise.
    seed, draw: as for `noise`, from which they are computed.
    """
    values = noise(images, seed=seed, draw=draw)
    if norm == "l2":
        values = scipy.special.erfinv(numpy.maximum(values, numpy.float32(-1 + 1e-7)))
    return values / search.norm(values, norm).astype(numpy.float32)[:, None, None, None]


def of_image(image: numpy.ndarray, seed: int, purpose: str, *counters: int) -> numpy.random.Generator:
    """The random stream (train.seeds.stream) of one image: it depends on its pixels, not on its place in the batch.

    seed, purpose, counters: as for train.seeds.stream.
    """
    digest = hashlib.sha256(numpy.ascontiguousarray(image).tobytes()).digest()
    return stream(seed, purpose, *counters, int.from_bytes(digest[:8], "little"))


def other_classes(
    model: keras.Model, images: numpy.ndarray, labels: numpy.ndarray, count: int, *, batch_size: int = 256
) -> numpy.ndarray:
    """The `count` most confident classes other than the label (at most all of them), most confident first.

    model, images, labels, batch_size: as in Attack.within.
    Returns (N, T) in the labels' dtype.
    """
    logits = compute.predict(compute.forward(model), images, batch_size=batch_size).copy()
    logits[numpy.arange(len(labels)), labels] = -numpy.inf
    order = (-logits).argsort(axis=1, kind="stable")[:, :-1]
    return order[:, :count].astype(labels.dtype)
