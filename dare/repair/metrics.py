"""What a change of weights fixes and breaks, from a flag an image before and after.

b, a: whether an image is correct before and after. RR, repair rate = #(not b and a) / #(not b). NFR, negative flip
rate = #(b and not a) / n. BR, break rate = #(b and not a) / #b. The change of accuracy is RR (1 - acc_b) - NFR.
Where a denominator is 0 the rate is undefined: None, not 0.
"""

import dataclasses

import numpy


@dataclasses.dataclass(frozen=True)
class Fixing:
    """Numbers of images: fixed and broken, correct before, and all n."""

    fixed: int
    broken: int
    correct_before: int
    n: int

    @property
    def repair_rate(self) -> float | None:
        """RR, a fraction."""
        return _rate(self.fixed, self.n - self.correct_before)

    @property
    def negative_flip_rate(self) -> float | None:
        """NFR, a fraction of all images."""
        return _rate(self.broken, self.n)

    @property
    def break_rate(self) -> float | None:
        """BR, a fraction of the images that were correct."""
        return _rate(self.broken, self.correct_before)


def fixing(before: numpy.ndarray, after: numpy.ndarray) -> Fixing:
    """The Fixing of the same images before and after. before, after: bool (n,). Raises ValueError for other arrays."""
    before, after = numpy.asarray(before), numpy.asarray(after)
    if before.shape != after.shape or before.ndim != 1 or {before.dtype, after.dtype} != {numpy.dtype(bool)}:
        raise ValueError(
            f"flags are {before.dtype} {before.shape} and {after.dtype} {after.shape}, expected bool (n,) of the same "
            "images"
        )
    return Fixing(int((~before & after).sum()), int((before & ~after).sum()), int(before.sum()), len(before))


def changed(original: list, weights: list) -> int:
    """The number of weights whose value differs."""
    return sum(int((before != after).sum()) for before, after in zip(original, weights, strict=True))


def _rate(count, total):
    return count / total if total else None
