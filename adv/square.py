"""Square: random search with square windows, without gradients (adv/square_step.py has a single query).

Andriushchenko, Croce, Flammarion, Hein, ECCV 2020 (arXiv 1912.00049), algorithms 1 to 3, with the margin as
attack loss and AutoAttack's schedule. Differences between the paper, AutoAttack's released code and this:
1. [P] Windows shrink at fixed queries, as in AutoAttack (the attack's own code: rescaled to the number of queries).
2. [P] In L2 a window's budget is that of all channels together, as in the released code (paper: of each channel).
3. [D] Each image has its own windows and signs, drawn from the seed and its pixels, and a window may touch the last row
   and column (released code: one window and sign vector for a whole batch, its corner below H - side; paper: one image
   at a time). `as_released` follows the released code, with all images as one batch.
4. [D] An image stops when it is misclassified (released code: when the margin is at most 0).
5. [D] A margin falls if it falls by more than rounding (square_step.TIE). A window that only dead units see leaves it
   as it is, and kernels round otherwise in batches of another size: images would depend on their batch.
6. [D] Windows and the grid of the L2 start fit into images that are not square (released code: square images only).
"""

from __future__ import annotations

import dataclasses

import keras
import numpy

from adv import search, square_step
from adv.base import Searched, check_above_0, check_least, of_image
from models import compute, contract, perturb
from train.seeds import stream

BLOCK = 500  # queries whose random numbers are in memory at a time
LEAVE = 20  # queries after which finished images leave the batch


@dataclasses.dataclass(frozen=True, kw_only=True)
class Square(Searched):
    """Square attack: each query changes a window of random place and sign, and is accepted if the margin falls.

    norm: "linf" or "l2".
    queries: forward passes after the start.
    p: fraction of the pixels in the first windows.
    as_released: draw windows and signs as AutoAttack's code does.
    seed: of all draws.
    epsilon, growth, growths, bisections: the search of `closest` over epsilon (as PGD's).
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
        super().__post_init__()
        check_least(self, queries=1, seed=0)
        check_above_0(self, p=1)

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
        """The first misclassified points, else the points of least margin.

        Arguments as in base.Attack.within.
        Raises models.NonFiniteLogits if the margin of a start is NaN or infinite.
        """
        attacked = self._attack(model, images, labels, numpy.full(len(images), float(epsilon)), batch_size)[0]
        return search.inside(attacked, images, epsilon, self.norm)

    def _attack(self, model, images, labels, epsilon, batch_size):
        """All queries: (points of least margin, fooled (N,))."""
        epsilon = epsilon.astype(numpy.float32)
        best = perturb.random_start(images, square_step.start(images, self.seed, self.norm), epsilon)
        judge = compute.compiled(model, square_step.judge)
        margin, fooled = compute.predict(judge, best, labels, batch_size=batch_size)
        non_finite = int((~numpy.isfinite(margin)).sum())
        if non_finite:
            raise contract.NonFiniteLogits(
                f"the margin is NaN or infinite near {non_finite} of {len(images)} images, expected a model whose "
                f"logits are finite everywhere within epsilon of an image"
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
        generators = (of_image(image, self.seed, "square", first) for image in images)
        return numpy.stack([generator.integers(0, 1 << 16, shape, numpy.uint16) for generator in generators])
