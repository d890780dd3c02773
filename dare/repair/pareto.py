"""The Pareto front of two costs, both to be large."""

import numpy


def front(first: numpy.ndarray, second: numpy.ndarray) -> numpy.ndarray:
    """Where a point is on the front: bool (n,). The front is the points that no other dominates.

    A point dominates another if it is at least as large in both and larger in one. Equal points are on it together.
    first, second: (n,). O(n log n): in descending order of the first, a point is on it where its second is the largest
    of those with an equal first, and exceeds all of those with a larger one.
    """
    first, second = numpy.asarray(first), numpy.asarray(second)
    order = numpy.lexsort((-second, -first))
    a, b = first[order], second[order]
    groups = numpy.flatnonzero(numpy.r_[True, a[1:] != a[:-1]][: len(a)])
    if not len(groups):
        return numpy.zeros(len(first), bool)
    top = b[groups]  # largest second of each group of equal firsts
    above = numpy.r_[-numpy.inf, numpy.maximum.accumulate(top)[:-1]]
    group = numpy.repeat(numpy.arange(len(groups)), numpy.diff(numpy.r_[groups, len(a)]))
    on_front = numpy.zeros(len(first), bool)
    on_front[order] = (b == top[group]) & (b > above[group])
    return on_front
