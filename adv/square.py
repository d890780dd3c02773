"""Square: random search with square patches, which follows no gradient (adv/square_step.py is one query of it).

Andriushchenko, Croce, Flammarion, Hein, ECCV 2020 (arXiv 1912.00049), algorithms 1 to 3, with the margin as the loss
and the schedule of AutoAttack. Where the paper, AutoAttack's released code and this differ:
1. [P] Sides fall at fixed queries, whatever their number, as in AutoAttack (the attack's own code: rescaled).
2. [P] In L2 the budget of a window is that of all channels together, as in the released code (paper: of each).
3. [D] Every image has its own windows and signs, drawn from the seed and its pixels, and a window may touch the last
   row and column (released code: one window and sign vector for a whole batch, its corner below H - side; paper: an
   image at a time). `as_released` is that, the batch being all images.
4. [D] An image ends where its predicted class is another (released code: where the margin is at most 0).
5. [D] A side is at most that of the image, and the grid of the L2 start no wider (the released code knows squares).
"""

import dataclasses

import numpy

from adv import search, square_step
from adv.attack import Searched, check_least, of_image
from models import compute, contract, perturb
from train.seeds import stream

BLOCK = 500  # queries whose draws are kept at a time
LEAVE = 20  # queries after which ended images leave the batch


@dataclasses.dataclass(frozen=True, kw_only=True)
class Square(Searched):
    """Square attack: a patch of random place and sign at a query, kept where the margin falls.

    norm: "linf" or "l2"; queries: forward passes after the start; p: fraction of the pixels in the first windows;
    as_released: windows and signs as AutoAttack's code draws them; seed: of all draws; epsilon, growth, growths,
    bisections: the search over epsilon for the closest (as PGD's).
    Raises ValueError for a hyper-parameter out of its range.
    """

    title = "Square"
    citation = "Andriushchenko, Croce, Flammarion, Hein, ECCV 2020"
    norm: str = "linf"
    queries: int = 5000
    p: float = 0.8
    as_released: bool = False
    seed: int = 0

    def __post_init__(self):
        if self.norm not in ("linf", "l2"):
            raise ValueError(f"norm is {self.norm!r}, expected 'linf' or 'l2'")
        check_least(self, queries=1, seed=0)
        if not 0 < self.p <= 1:
            raise ValueError(f"p is {self.p}, expected a number above 0, at most 1")

    def closest(self, model, images, labels, *, batch_size=256):
        """The nearest of all the successful trials of the bisection over epsilon, a whole attack each [D]."""

        def trial(rows, epsilon):
            return self._attack(model, images[rows], labels[rows], epsilon, batch_size)

        return self.bisection(trial, images)

    def within(self, model, images, labels, *, epsilon, batch_size=256):
        """The points of least margin, the first misclassified; each image leaves there.

        Raises models.NonFiniteLogits where the margin of a start is NaN or infinite.
        """
        made = self._attack(model, images, labels, numpy.full(len(images), float(epsilon)), batch_size)[0]
        return search.inside(made, images, epsilon, self.norm)

    def _attack(self, model, images, labels, epsilon, batch_size):
        """All queries: (points of least margin, fooled (N,))."""
        epsilon = epsilon.astype(numpy.float32)
        best = perturb.random_start(images, square_step.start(images, self.seed, self.norm), epsilon)
        judge = compute.compiled(model, square_step.judge)
        margin, fooled = compute.predict(judge, best, labels, batch_size=batch_size)
        bad = int((~numpy.isfinite(margin)).sum())
        if bad:
            raise contract.NonFiniteLogits(
                f"the margin is NaN or infinite near {bad} of {len(images)} images, expected a model whose logits are "
                f"finite everywhere within epsilon of an image"
            )
        step = square_step.query(self.norm, self.p, self.queries, self.as_released)
        for first in range(0, self.queries, BLOCK):
            rows = numpy.flatnonzero(~fooled)
            if not len(rows):
                break
            count = min(BLOCK, self.queries - first)
            begin = numpy.full(len(rows), first, numpy.int32)
            constants = images[rows], labels[rows], epsilon[rows], self._draws(images[rows], first, count), begin
            best[rows], _, fooled[rows] = state = compute.repeat(
                model, step, (best[rows], margin[rows], fooled[rows]), count,
                constants=constants, until=2, leave=range(LEAVE, count, LEAVE), batch_size=batch_size,
            )  # fmt: skip
            margin[rows] = state[1]
        return best, fooled

    def _draws(self, images, first, count):
        """Numbers of 16 random bits for the queries first .. first + count - 1: int32 (N, count, columns)."""
        shape = count, square_step.COLUMNS[self.norm] + images.shape[-1]
        if self.as_released:
            shared = stream(self.seed, "square", first).integers(0, 1 << 16, shape, numpy.uint16)
            return numpy.broadcast_to(shared, (len(images), *shape))
        drawn = (of_image(image, self.seed, "square", first) for image in images)
        return numpy.stack([one.integers(0, 1 << 16, shape, numpy.uint16) for one in drawn])
