"""Seeded stratified division of labelled examples into two parts."""

import operator

import numpy


def shuffled(count: int, generator: numpy.random.BitGenerator) -> numpy.ndarray:
    """A permutation of range(count) from the raw words of a NumPy bit generator.

    NumPy promises the same raw stream in every release (NEP 19), but not the same `Generator.permutation`.
    """
    return numpy.argsort(generator.random_raw(count), kind="stable")


def stratify(labels: numpy.ndarray, share: tuple[int, int], seed: int) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Divide examples, class by class, into a first part of about `share` and the rest: two sorted index arrays.

    labels: integers (N,).
    share: a fraction as a pair of integers, ``(1, 2)`` for a half.
    seed: of the random order.
    The parts are int64, disjoint, and together complete. The first part of a class differs from its exact share by
    less than one example, the total by at most a half (odd classes give their extra example to the two parts in turn);
    but both parts get at least one example of every class. Raises ValueError for a class of one example, and for a seed
    that is not a non-negative integer.
    """
    try:
        seed = operator.index(seed)
    except TypeError:
        seed = -1
    if seed < 0:
        raise ValueError("the seed of a split must be a non-negative integer")
    labels = numpy.asarray(labels)
    numerator, denominator = share
    generator = numpy.random.PCG64(seed)
    first, second, counted, assigned = [], [], 0, 0
    for label in numpy.unique(labels):
        members = numpy.flatnonzero(labels == label)
        if len(members) < 2:
            raise ValueError(f"class {label} has one example: a split needs at least two of every class")
        counted += len(members)
        quota = (counted * numerator + denominator // 2) // denominator
        count = min(max(quota - assigned, 1), len(members) - 1)
        assigned = quota
        members = members[shuffled(len(members), generator)]
        first.append(members[:count])
        second.append(members[count:])
    return numpy.sort(numpy.concatenate(first)), numpy.sort(numpy.concatenate(second))


def divide(
    labels: numpy.ndarray, share: tuple[int, int], seed: int, groups: numpy.ndarray | None = None, *, least: int = 1
) -> tuple[numpy.ndarray, numpy.ndarray]:
    """As stratify, but with whole groups.

    labels, share, seed: as of stratify.
    groups: integers (N,), the group of each example; a group has one class (None: stratify).
    least: the fewest groups of every class in the first part.
    The groups of a class are tried in a random order; a group that would exceed the share by more than half of it is
    skipped. Where fewer than `least` are left, the smallest are added. Raises ValueError as stratify, and for a class
    with at most `least` groups.
    """
    if groups is None:
        return stratify(labels, share, seed)
    labels, groups = numpy.asarray(labels), numpy.asarray(groups)
    numerator, denominator = share
    generator = numpy.random.PCG64(operator.index(seed))
    in_first = numpy.zeros(len(labels), bool)
    for label in numpy.unique(labels):
        names, sizes = numpy.unique(groups[labels == label], return_counts=True)
        if len(names) <= least:
            count = f"{len(names)} groups" if len(names) > 1 else "one group"
            raise ValueError(f"class {label} has {count} of images: a split needs more than {least} of every class")
        quota, count = sizes.sum() * numerator / denominator, 0
        chosen = []
        for place in shuffled(len(names), generator):
            if count + sizes[place] <= 1.5 * quota and len(chosen) < len(names) - 1 and count < quota:
                chosen.append(place)
                count += sizes[place]
        unchosen = [place for place in numpy.argsort(sizes, kind="stable") if place not in chosen]
        chosen += unchosen[: max(0, least - len(chosen))]
        in_first |= (labels == label) & numpy.isin(groups, names[chosen])
    return numpy.flatnonzero(in_first), numpy.flatnonzero(~in_first)
