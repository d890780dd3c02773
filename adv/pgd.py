"""PGD: gradient steps inside a ball, and a search for the smallest ball in which they succeed."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import keras
import numpy

from adv import search
from adv.base import Searched, check_above_0, check_least, direction, noise, of_image
from models import compute, perturb


@dataclasses.dataclass(frozen=True, kw_only=True)
class PGD(Searched):
    """Projected gradient descent in a ball; an image stops at its first misclassified iterate.

    Madry et al. 2018, section 2.1. Defaults and the search over epsilon (search.bisection) are foolbox 2.3.0's
    ProjectedGradientDescent as DARE called it [P]: binary search 20, epsilon .3, step size .01, 40 steps, no random
    start.
    norm: "linf", "l2" (steps along gradient / ||gradient||_2) or "l1" (gradient / ||gradient||_1, adv/bim.py).
    steps: gradient steps a trial.
    rel_stepsize: step size as a fraction of epsilon.
    epsilon: where the search begins: the change of a value in "linf", their mean in "l1", the norm in "l2".
    growth, growths, bisections: of the search.
    random_start: start at a random point of the ball (adv.base.noise; in "l2" at a uniform distance).
    restarts: random starts, each on the images that are still correct.
    seed: of the random starts.
    loss: the attack loss, a name of LOSSES. Loss "ce" is the log-odds of the cross-entropy, whose direction does not
        depend on rounding of p_y [D]. Loss "ce-float32" is foolbox's arithmetic, to the bit [P]. Loss "margin" gives
        the CW-Linf of the tables of robust training (Carlini, Wagner 2017, f6 without its bound).
    Raises ValueError for an unknown norm or loss, a number out of its range, and several restarts without random start.
    """

    title = "PGD"
    citation = "Madry, Makelov, Schmidt, Tsipras, Vladu, ICLR 2018"
    norm: str = "linf"
    steps: int = 40
    rel_stepsize: float = 0.01 / 0.3
    random_start: bool = False
    restarts: int = 1
    seed: int = 0
    loss: str = "ce"

    def __post_init__(self):
        for name, valid in (("norm", ("linf", "l1", "l2")), ("loss", self.losses)):
            if getattr(self, name) not in valid:
                raise ValueError(f"{name} is {getattr(self, name)!r}, expected one of {', '.join(valid)}")
        super().__post_init__()
        check_least(self, steps=1, restarts=1, seed=0)
        check_above_0(self, rel_stepsize=math.inf)
        if self.restarts > 1 and not self.random_start:
            raise ValueError(
                f"restarts is {self.restarts} with random_start={self.random_start}, expected 1, or more with "
                "random_start=True: without it every restart is the same"
            )

    @property
    def losses(self) -> dict[str, Callable]:
        """Valid values of `loss`: name -> loss of (logits, labels), one value an image."""
        return LOSSES

    def closest(
        self, model: keras.Model, images: numpy.ndarray, labels: numpy.ndarray, *, batch_size: int = 256
    ) -> tuple[numpy.ndarray, numpy.ndarray]:
        """The nearest success of the bisection over epsilon."""
        norm_of_ones = self._norm_of_ones(images)

        def trial(rows, epsilon):
            return self._trial(model, images[rows], labels[rows], norm_of_ones * epsilon, batch_size)

        return self.bisection(trial, images)

    def within(
        self, model: keras.Model, images: numpy.ndarray, labels: numpy.ndarray, *, epsilon: float, batch_size: int = 256
    ) -> numpy.ndarray:
        """One trial at a fixed epsilon; in "l1" it is the sum of the absolute changes, not their mean.

        Arguments as in base.Attack.within.
        """
        attacked = self._trial(model, images, labels, numpy.full(len(images), float(epsilon)), batch_size)[0]
        return search.inside(attacked, images, epsilon, self.norm)

    def _norm_of_ones(self, images):
        """The norm of an image of ones: from the mean change of a value to epsilon."""
        return images[0].size if self.norm == "l1" else 1

    def _trial(self, model, images, labels, epsilon, batch_size):
        """All restarts, each on the images not fooled yet: (iterates, fooled). epsilon: float64 (N,)."""
        result, fooled = images.copy(), numpy.zeros(len(images), bool)
        for draw in range(self.restarts):
            rows = numpy.flatnonzero(~fooled)
            if not len(rows):
                break
            arrays = images[rows], labels[rows], epsilon[rows]
            result[rows], fooled[rows] = self._restart(model, *arrays, draw, batch_size)
        return result, fooled

    def _restart(self, model, images, labels, epsilon, draw, batch_size):
        start = images
        if self.random_start and self.norm == "l2":
            lengths = [of_image(image, self.seed, "length of a random start", draw).random() for image in images]
            directions = direction(images, seed=self.seed, draw=draw, norm="l2")
            start = perturb.random_start(images, directions, (lengths * epsilon).astype(numpy.float32))
        elif self.random_start:
            radius = (epsilon / self._norm_of_ones(images)).astype(numpy.float32)
            start = perturb.random_start(images, noise(images, seed=self.seed, draw=draw), radius)
        sizes = (size.astype(numpy.float32) for size in (epsilon, self.rel_stepsize * epsilon))
        state = start, numpy.zeros(len(images), bool)
        return compute.repeat(
            model,
            perturb.ascent(self.losses[self.loss], norm=self.norm),
            state,
            self.steps,
            constants=(images, labels, *sizes),
            until=1,
            leave=(),
            last=perturb.judge(),
            batch_size=batch_size,
        )


LOSSES = {"ce": perturb.log_odds, "ce-float32": perturb.float32_cross_entropy, "margin": perturb.margin}
