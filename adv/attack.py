"""What an attack is: a frozen dataclass of hyper-parameters with two methods; epsilon stays outside it.

Given correctly classified float32 images (N, H, W, C) in [0, 1] and integer labels (N,), an attack has

- ``closest(model, images, labels, *, batch_size)`` -> (candidates, success): its smallest perturbations;
- ``within(model, images, labels, *, epsilon, batch_size)`` -> images no farther than epsilon away in its norm.

Whoever calls them (adv.search.minimal, adv.evaluate.robust_flags) predicts the returned images once more and counts
those, never the attack's own success.
"""

import dataclasses
import hashlib
import typing

import numpy
import scipy.special

from adv import search
from models import compute
from train.seeds import stream


@dataclasses.dataclass(frozen=True, kw_only=True)
class Attack:
    """What every attack has: `title`, `citation`, the `norm` that its epsilon is measured in, `specification()`.

    norm: "l1" (sum of absolute changes), "l2" or "linf" of the whole image, in [0, 1] pixel scale, or "l0", the number
    of values changed (adv.search.norm).
    """

    title: typing.ClassVar[str]
    citation: typing.ClassVar[str]
    norm: typing.ClassVar[str]

    def specification(self):
        """Everything that decides the attack, as JSON values: for result rows and artefacts.

        One of a cross-entropy without "climbed" had float32 arithmetic, before the log-odds were the attack loss.
        """
        climbed = {"climbed": "log-odds"} if getattr(self, "loss", None) == "ce" else {}
        return {"attack": type(self).__name__.lower(), "norm": self.norm, **dataclasses.asdict(self), **climbed}

    def within(self, model, images, labels, *, epsilon, batch_size=256):
        """The closest adversarials that are no farther than epsilon; other images stay as they are.

        For attacks that minimise the perturbation; one of fixed size has its own.
        """
        candidates, success = self.closest(model, images, labels, batch_size=batch_size)
        success = success & (search.norm(candidates - images.astype(numpy.float64), self.norm) <= epsilon)
        return numpy.where(success[:, None, None, None], candidates, images)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Searched(Attack):
    """An attack of given size, whose closest adversarials are searched for by growing and halving epsilon.

    epsilon, growth, growths, bisections: as in search.bisection.
    """

    epsilon: float = 0.3
    growth: float = 1.5
    growths: int = 20
    bisections: int = 20

    def bisection(self, trial, images):
        """search.bisection with the settings of this attack."""
        return search.bisection(
            trial,
            images,
            epsilon=self.epsilon,
            growth=self.growth,
            growths=self.growths,
            bisections=self.bisections,
        )


def noise(images, *, seed, draw=0):
    """Uniform noise in [-1, 1) for random starts: float32 of the images' shape.

    The noise of an image depends on `seed`, `draw` (0, 1, ...: which restart) and its own pixels alone: not on its
    neighbours, the batch size, or which images an earlier restart has already fooled.
    """
    made = numpy.empty(images.shape, numpy.float32)
    for row, image in enumerate(images):
        made[row] = 2 * of_image(image, seed, "random start", draw).random(image.shape, numpy.float32) - 1
    return made


def check_least(attack, **least):
    """Raise ValueError where a hyper-parameter of an attack is below its least value (name -> least)."""
    for name, value in least.items():
        if getattr(attack, name) < value:
            raise ValueError(f"{name} is {getattr(attack, name)}, expected at least {value}")


def direction(images, *, seed, draw, norm):
    """Noise of norm 1, float32 (N, H, W, C): uniform in "linf", in "l2" made normal and so without a direction.

    seed, draw: as of `noise`, on which all of it depends.
    """
    drawn = noise(images, seed=seed, draw=draw)
    if norm == "l2":
        drawn = scipy.special.erfinv(numpy.maximum(drawn, numpy.float32(-1 + 1e-7)))
    return drawn / search.norm(drawn, norm).astype(numpy.float32)[:, None, None, None]


def of_image(image, seed, purpose, *counters):
    """train.seeds.stream of one image: the same wherever it stands, another for any other pixels."""
    digest = hashlib.sha256(numpy.ascontiguousarray(image).tobytes()).digest()
    return stream(seed, purpose, *counters, int.from_bytes(digest[:8], "little"))


def other_classes(model, images, labels, count, *, batch_size=256):
    """The `count` most confident classes other than the label, or all, in that order: (N, T), the labels' dtype."""
    logits = compute.predict(compute.forward(model), images, batch_size=batch_size).copy()
    logits[numpy.arange(len(labels)), labels] = -numpy.inf
    order = (-logits).argsort(axis=1, kind="stable")[:, :-1]
    return order[:, :count].astype(labels.dtype)
