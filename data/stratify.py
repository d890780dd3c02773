"""Seeded stratified division of labelled examples into two parts."""

import operator

import numpy


def shuffled(count, generator):
    """A permutation of range(count) from the raw words of a NumPy bit generator.

    Only the raw stream of a bit generator is promised to stay the same in every NumPy release
    (NEP 19), so the order is taken from it and not from `Generator.permutation`.
    """
    return numpy.argsort(generator.random_raw(count), kind="stable")


def stratify(labels, share, seed):
    """Divide examples, class by class, into a first part of about `share` and the rest.

    `labels` (N,) integers; `share` a pair of integers, ``(1, 2)`` for a half. Returns two sorted int64 index
    arrays, disjoint and together complete. A class's part differs from its exact share by less than one
    example, the total by at most a half (odd classes give their extra example to the two parts in turn), save
    that both parts get at least one example of every class. Raises ValueError for a class of one example
    and for a seed that is not a non-negative integer.
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
    first, second, seen, taken = [], [], 0, 0
    for label in numpy.unique(labels):
        members = numpy.flatnonzero(labels == label)
        if len(members) < 2:
            raise ValueError(f"class {label} has one example: a split needs at least two of every class")
        seen += len(members)
        quota = (seen * numerator + denominator // 2) // denominator
        count = min(max(quota - taken, 1), len(members) - 1)
        taken = quota
        members = members[shuffled(len(members), generator)]
        first.append(members[:count])
        second.append(members[count:])
    return numpy.sort(numpy.concatenate(first)), numpy.sort(numpy.concatenate(second))


def divide(labels, share, seed, groups=None, *, least=1):
    """stratify, or where `groups` (N,) integers are given the same with whole groups, each of one class.

    Of every class groups are taken in a random order, those left out that would exceed the share by more than half of
    it; at least `least` are taken, the smallest where all would exceed it. Raises ValueError as stratify, and for a
    class that has no more groups than that.
    """
    if groups is None:
        return stratify(labels, share, seed)
    labels, groups = numpy.asarray(labels), numpy.asarray(groups)
    numerator, denominator = share
    generator = numpy.random.PCG64(operator.index(seed))
    taken = numpy.zeros(len(labels), bool)
    for label in numpy.unique(labels):
        names, sizes = numpy.unique(groups[labels == label], return_counts=True)
        if len(names) <= least:
            have = f"{len(names)} groups" if len(names) > 1 else "one group"
            raise ValueError(f"class {label} has {have} of images: a split needs more than {least} of every class")
        wanted, held = sizes.sum() * numerator / denominator, 0
        chosen = []
        for place in shuffled(len(names), generator):
            if held + sizes[place] <= 1.5 * wanted and len(chosen) < len(names) - 1 and held < wanted:
                chosen.append(place)
                held += sizes[place]
        left = [place for place in numpy.argsort(sizes, kind="stable") if place not in chosen]
        chosen += left[: max(0, least - len(chosen))]
        taken |= (labels == label) & numpy.isin(groups, names[chosen])
    return numpy.flatnonzero(taken), numpy.flatnonzero(~taken)
