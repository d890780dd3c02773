"""PGD: gradient steps inside a ball, and the smallest ball in which they fool."""

import dataclasses

import numpy

from adv import search
from adv.attack import Searched, direction, noise, of_image
from models import compute, perturb


@dataclasses.dataclass(frozen=True, kw_only=True)
class PGD(Searched):
    """Projected gradient descent in a ball, from the image itself, ended at the first misclassified iterate.

    Madry et al. 2018, section 2.1; defaults and the search over epsilon (search.bisection) are foolbox 2.3.0's
    ProjectedGradientDescent as DARE called it [P]: binary search 20, epsilon .3, step size .01, 40 steps, no random
    start. norm: "linf", "l2" with steps of the gradient over its L2 norm, or "l1" with foolbox's steps of the gradient
    over its L1 norm (adv/bim.py); steps: gradient steps a trial; rel_stepsize: step size as a share of epsilon;
    epsilon: where the search begins, as the change of one value (in "l1" their mean, so that it says the same of every
    image size, in "l2" the norm); growth, growths, bisections: the rest of the search; random_start: begin at a point
    of the ball drawn with `seed` (adv.attack.noise; in "l2" in any direction, at a uniform distance); restarts: random
    starts, each later one only for images that are still correct; loss: the attack loss, a name of LOSSES.
    "ce" is the cross-entropy, ascended as its log-odds so that no rounding of p_y turns the direction [D]; "ce-float32"
    is foolbox's arithmetic, to the bit [P]; "margin" makes it the CW-Linf of the tables of robust training (Carlini,
    Wagner 2017, f6 without its bound).
    Raises ValueError for an unknown norm or loss and for several restarts without random start.
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
        if self.restarts < 1 or (self.restarts > 1 and not self.random_start):
            raise ValueError(
                f"restarts is {self.restarts} with random_start={self.random_start}, expected 1, or more with "
                "random_start=True: without it every restart is the same"
            )

    @property
    def losses(self):
        """name -> loss of logits and labels, one value an image, that `loss` may be."""
        return LOSSES

    def closest(self, model, images, labels, *, batch_size=256):
        """The nearest of all the successful trials of the bisection over epsilon."""
        whole = self._whole(images)

        def trial(rows, epsilon):
            return self._trial(model, images[rows], labels[rows], whole * epsilon, batch_size)

        return self.bisection(trial, images)

    def within(self, model, images, labels, *, epsilon, batch_size=256):
        """One trial at a fixed epsilon, in the norm: in "l1" the sum of the absolute changes, not their mean."""
        made = self._trial(model, images, labels, numpy.full(len(images), float(epsilon)), batch_size)[0]
        return search.inside(made, images, epsilon, self.norm)

    def _whole(self, images):
        """The norm of an image of ones: what a change of one value each amounts to."""
        return images[0].size if self.norm == "l1" else 1

    def _trial(self, model, images, labels, epsilon, batch_size):
        """Every restart, each on the images not fooled before: (iterates, fooled); epsilon float64 (N,)."""
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
            far = [of_image(image, self.seed, "length of a random start", draw).random() for image in images]
            drawn = direction(images, seed=self.seed, draw=draw, norm="l2")
            start = perturb.random_start(images, drawn, (far * epsilon).astype(numpy.float32))
        elif self.random_start:
            reach = (epsilon / self._whole(images)).astype(numpy.float32)
            start = perturb.random_start(images, noise(images, seed=self.seed, draw=draw), reach)
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
