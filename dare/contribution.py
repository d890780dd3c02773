"""The cut at one layer, and what the layer hands back: the two rules of `dare.nnslicer` as matrix algebra.

The local contribution of the connection from j to i is C_i * d_i * W[j, i] * d_in[j]. Within one neuron i
the factor C_i * d_i is a constant, so only its sign takes part in the order: the products W * d_in are
ranked, forwards, backwards or (where the factor is 0) by index alone.
"""

import numpy

BLOCK = 2**20  # connections ranked at a time: 8 MB of float64


def slice_layer(weights, received, made, contribution, *, per, theta, output):
    """Slice one layer for every class.

    weights: (inputs, outputs); received: d_in (classes, inputs); made: d (classes, outputs);
    contribution: C (classes, outputs), for the output layer the identity.
    per: kept share of each neuron's connections under rule "dare", where theta is None.
    theta: dropped share of each neuron's difference under rule "nnslicer".
    output: whether this layer makes the logits, where class c has the one column c.
    Returns the kept connections, bool (classes, inputs, outputs), and the contribution handed back to the
    inputs, (classes, inputs).
    """
    classes, inputs = received.shape
    rows = numpy.ascontiguousarray(weights.T)
    if output and theta is None:
        contribution = contribution * made
    factor = numpy.sign(contribution) * numpy.sign(made)
    cut = _cut(per, inputs)
    kept = numpy.zeros((classes, inputs, len(rows)), bool)
    handed = numpy.zeros((classes, inputs))
    for c in range(classes):
        for neurons in _blocks(c, output, inputs, len(rows)):
            products = rows[neurons] * received[c]
            if theta is None:
                keep = _all_but_smallest(products * factor[c, neurons, None], cut)
            else:
                keep = _all_but_negligible(products, theta * numpy.abs(made[c, neurons, None]))
                handed[c] += factor[c, neurons] @ (numpy.sign(products) * keep)
            kept[c, :, neurons] = keep.T
        if output and theta is None:
            handed[c] = numpy.where(keep[0], contribution[c, c] * made[c, c] * products[0], 0)
    if theta is None and not output:
        signs = factor.astype(numpy.float32) @ numpy.sign(rows, dtype=numpy.float32)
        handed = numpy.sign(received) * signs
    return kept, handed


def slice_depthwise(weights, received, made, contribution, *, per, theta):
    """Slice one depthwise layer for every class: neuron i * M + m has one connection, from input i.

    weights: (inputs, M); received: d_in (classes, inputs); made: d and contribution: C (classes, inputs * M).
    Returns the kept connections, bool (classes, inputs, M), and what is handed back, (classes, inputs).
    """
    made, contribution = (array.reshape(len(received), *weights.shape) for array in (made, contribution))
    products = weights * received[:, :, None]
    signs = numpy.sign(contribution) * numpy.sign(made) * numpy.sign(products)
    if theta is None:
        return numpy.full(products.shape, _cut(per, 1) == 0), signs.sum(axis=2)
    kept = ~(numpy.abs(products) < theta * numpy.abs(made))
    return kept, (signs * kept).sum(axis=2)


def _cut(per, inputs):
    """How many of a neuron's connections rule "dare" cuts."""
    return int((1 - per) * inputs + 1e-9)


def _blocks(c, output, inputs, outputs):
    """The neurons that class c analyses, as slices of at most BLOCK connections."""
    if output:
        return [slice(c, c + 1)]
    step = max(1, BLOCK // inputs)
    return [slice(start, min(start + step, outputs)) for start in range(0, outputs, step)]


def _all_but_smallest(values, cut):
    """Drop the first `cut` of each row's stable order by value: bool, the shape of `values`.

    Zeros tie by the thousand where inputs never fire, so what lies below the cut-th value goes, and of
    those equal to it as many as there is room for, lowest index first.
    """
    if cut == 0:
        return numpy.ones(values.shape, bool)
    limit = numpy.partition(values, cut - 1, axis=1)[:, cut - 1, None]
    dropped = values < limit
    tied = values == limit
    room = cut - numpy.count_nonzero(dropped, axis=1)
    crowded = numpy.count_nonzero(tied, axis=1) > room
    tied[crowded] &= numpy.cumsum(tied[crowded], axis=1, dtype=numpy.int32) <= room[crowded, None]
    return ~(dropped | tied)


def _all_but_negligible(products, limit):
    """Drop by ascending magnitude, ties by index, while |sum of the dropped| < limit: bool, what is kept."""
    order = numpy.argsort(numpy.abs(products), axis=1, kind="stable")
    total = numpy.cumsum(numpy.take_along_axis(products, order, axis=1), axis=1)
    dropped = numpy.logical_and.accumulate(numpy.abs(total) < limit, axis=1)
    kept = numpy.empty(products.shape, bool)
    numpy.put_along_axis(kept, order, ~dropped, axis=1)
    return kept
