"""What a change of weights fixes and breaks, from a flag an image before and after.

b, a: whether an image is correct before and after. RR, repair rate = #(not b and a) / #(not b). NFR, negative flip
rate = #(b and not a) / n. BR, break rate = #(b and not a) / #b. The change of accuracy is RR (1 - acc_b) - NFR.
"""

import numpy


def rates(before: numpy.ndarray, after: numpy.ndarray) -> dict[str, tuple[numpy.ndarray, numpy.ndarray]]:
    """name -> (rows (m,) of the images that count, bool (m,) of which the rate is the mean).

    A rate of no images is undefined, and left out: "rr" where all were correct, "br" where none was.
    before, after: bool (n,), of the same images. Raises ValueError for other arrays.
    """
    before, after = numpy.asarray(before), numpy.asarray(after)
    if before.shape != after.shape or before.ndim != 1 or {before.dtype, after.dtype} != {numpy.dtype(bool)}:
        raise ValueError(
            f"flags are {before.dtype} {before.shape} and {after.dtype} {after.shape}, expected bool (n,) of the same "
            "images"
        )
    correct, misclassified = numpy.flatnonzero(before), numpy.flatnonzero(~before)
    every = {
        "rr": (misclassified, after[misclassified]),
        "nfr": (numpy.arange(len(before)), before & ~after),
        "br": (correct, ~after[correct]),
    }
    return {name: (rows, flags) for name, (rows, flags) in every.items() if len(rows)}


def changed(original: list, weights: list) -> int:
    """The number of weights whose value differs."""
    return sum(int((before != after).sum()) for before, after in zip(original, weights, strict=True))
