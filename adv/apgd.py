"""APGD: gradient steps whose step size is halved when the attack loss stops rising (cross-entropy or DLR loss).

Croce and Hein, ICML 2020 (arXiv 2003.01690), algorithm 1 with conditions 1 and 2, and the losses of equations 6 and 7:
apgd-ce and apgd-t, the first two attacks of AutoAttack. Differences between the paper, its released code and this:
1. [P] The conditions of checkpoint w are judged at iterate w, as in the released code (the paper's listing: at iterate
   w + 1, which its condition 1 does not use).
2. [P] The random start lies on the surface of the ball (cube or sphere), as in the released code.
3. [D] Where the released code compares differently from the paper, this follows the paper: fewer rises than rho times
   the window; the first rise is measured from the start; after a return to the best point the loss is measured from
   there; condition 2 holds at the first checkpoint too; checkpoints are rounded up from the exact fractions.
4. [D] An image stops at its first misclassified iterate (released code: it continues, and its last misclassified
   iterate counts). Up to there the iterates are the same, so the flags are too. The version for randomised models
   continues as the released code does, since one misclassified pass may be a lucky draw.
5. [D] An image that withstands every run comes back as its point of highest loss (released code: unchanged).
6. [D] An image's noise is drawn from the seed, the run and its own pixels (adv.base.noise). Its result is therefore
   the same in every batch, up to rounding inside the model.
7. [D] The attack loss of "ce" is the log-odds (perturb.log_odds), a rising function of the cross-entropy: the same
   comparisons and directions in exact arithmetic, without underflow in float32.
"""

from __future__ import annotations

import dataclasses
import typing

import keras
import numpy

from adv import apgd_step, search
from adv.base import Searched, check_least, direction, other_classes
from models import compute, contract, perturb

TITLES = {"ce": "APGD-CE", "dlr": "APGD-DLR", "dlr-targeted": "APGD-T"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class APGD(Searched):
    """Auto-PGD: momentum steps from a random start; the step size adapts for each image.

    loss: "ce", "dlr", or "dlr-targeted" (a run for each of the `targets` most confident other classes, in that order).
    norm: "linf" or "l2".
    steps: gradient steps a run.
    restarts: runs (of each target).
    rho: the step size is halved if fewer than this fraction of the steps raised the loss.
    alpha: weight of the new step against the previous step.
    seed: of the random starts.
    epsilon, growth, growths, bisections: the search of `closest` over epsilon (as PGD's).
    Raises ValueError for a hyper-parameter out of its range.
    """

    citation = "Croce, Hein, ICML 2020"
    passes: typing.ClassVar[int] = 1  # forward and backward passes averaged in each step
    loss: str = "ce"
    norm: str = "linf"
    steps: int = 100
    restarts: int = 1
    targets: int = 9
    rho: float = 0.75
    alpha: float = 0.75
    seed: int = 0

    def __post_init__(self):
        for name, valid in (("loss", tuple(apgd_step.LOSSES)), ("norm", ("linf", "l2"))):
            if getattr(self, name) not in valid:
                raise ValueError(f"{name} is {getattr(self, name)!r}, expected one of {', '.join(valid)}")
        super().__post_init__()
        check_least(self, steps=1, restarts=1, targets=1, seed=0, rho=0, alpha=0)
        for name in ("rho", "alpha"):
            if getattr(self, name) > 1:
                raise ValueError(f"{name} is {getattr(self, name)}, expected a number from 0 to 1")

    @property
    def title(self) -> str:
        """The name of the attack with this loss."""
        return TITLES[self.loss]

    def closest(
        self, model: keras.Model, images: numpy.ndarray, labels: numpy.ndarray, *, batch_size: int = 256
    ) -> tuple[numpy.ndarray, numpy.ndarray]:
        """The nearest success of the bisection over epsilon; each trial is a whole attack [D]."""

        def trial(rows, epsilon):
            return self._attack(model, images[rows], labels[rows], epsilon, batch_size)

        return self.bisection(trial, images)

    def within(
        self, model: keras.Model, images: numpy.ndarray, labels: numpy.ndarray, *, epsilon: float, batch_size: int = 256
    ) -> numpy.ndarray:
        """The attack at a fixed epsilon: each run on the images that withstood the runs before it.

        Raises models.NonFiniteLogits if the loss becomes NaN or infinite.
        """
        attacked = self._attack(model, images, labels, numpy.full(len(images), float(epsilon)), batch_size)[0]
        return search.inside(attacked, images, epsilon, self.norm)

    def _attack(self, model, images, labels, epsilon, batch_size):
        """All runs: (images, fooled (N,))."""
        epsilon = epsilon.astype(numpy.float32)
        targets = self._targets(model, images, labels, batch_size)
        result, fooled = images.copy(), numpy.zeros(len(images), bool)
        highest = numpy.full(len(images), -numpy.inf)
        for run in range(targets.shape[1] * self.restarts):
            rows = numpy.flatnonzero(~fooled)
            if not len(rows):
                break
            constants = images[rows], labels[rows], targets[rows, run // self.restarts], epsilon[rows]
            points, value, fooled[rows] = self._run(model, constants, run, batch_size)
            better = fooled[rows] | (value > highest[rows])
            result[rows[better]], highest[rows[better]] = points[better], value[better]
        return result, fooled

    def _targets(self, model, images, labels, batch_size):
        """Target classes (N, T), most confident first; for an untargeted loss the labels (N, 1), which it ignores."""
        if self.loss != "dlr-targeted":
            return labels[:, None]
        return other_classes(model, images, labels, self.targets, batch_size=batch_size)

    def _run(self, model, constants, run, batch_size):
        """One run: (misclassified iterates, else the best points; highest loss; fooled)."""
        images, _, _, epsilon = constants
        start = perturb.random_start(images, direction(images, seed=self.seed, draw=run, norm=self.norm), epsilon)
        state = compute.repeat(
            model,
            apgd_step.step(self.loss, self.norm, self.rho, self.alpha, self.steps, self.passes),
            apgd_step.begin(start, epsilon),
            self.steps,
            constants=constants,
            until=apgd_step.State._fields.index("fooled") if self.passes == 1 else None,
            leave=(1, 2, 4, 8, 16, *apgd_step.checkpoints(self.steps)),
            last=apgd_step.judge(self.loss, None if self.passes == 1 else self.steps * self.passes + 1),
            batch_size=batch_size,
        )
        state = apgd_step.State(*state)
        non_finite = int((~numpy.isfinite(state.highest)).sum())
        if non_finite:
            raise contract.NonFiniteLogits(
                f"the loss of {self.title} is NaN or infinite near {non_finite} of {len(state.highest)} images, "
                f"expected a model whose logits are finite everywhere within epsilon of an image"
            )
        return numpy.where(state.fooled[:, None, None, None], state.fooling, state.best), state.highest, state.fooled


@dataclasses.dataclass(frozen=True, kw_only=True)
class AveragedAPGD(APGD):
    """APGD for randomised models: each step follows the mean gradient of `passes` passes.

    Version "rand" of AutoAttack (expectation over transformation: Athalye et al., ICML 2018). The compared loss and the
    predicted class are those of a single pass, and the last misclassified iterate counts, as in the released code. What
    an attacked image is worth is judged afterwards, by random numbers that no step has used.
    """

    passes: int = 20
