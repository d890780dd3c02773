"""The two parts of x_validation: one locates, searches and adjusts, the other chooses."""

import numpy

from data import stratify

SHARE = (4, 5)  # of x_validation, for repair [D]


def cut(labels: numpy.ndarray, seed: int) -> tuple[numpy.ndarray, numpy.ndarray]:
    """(rows of `repair`, rows of `choice`): 80 % and 20 % of every class, sorted; the same for the same seed.

    labels: integers (N,). Raises ValueError for a class of one image.
    """
    return stratify.stratify(labels, SHARE, seed)
