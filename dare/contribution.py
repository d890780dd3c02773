"""The cut at one layer and the contributions of its inputs: the two rules of `dare.nnslicer` as matrix algebra.

The local contribution of the connection from j to i is C_i * d_i * W[j, i] * d_in[j]. Within one neuron i the factor
C_i * d_i is constant, so only its sign affects the order of the connections: the products W * d_in are ranked
forwards, backwards, or (where the factor is 0) by index alone.
"""

import numpy

BLOCK = 2**20  # connections ranked at a time: 8 MB of float64


def slice_layer(
    weights: numpy.ndarray,
    d_in: numpy.ndarray,
    d: numpy.ndarray,
    contribution: numpy.ndarray,
    *,
    per: float,
    theta: float | None,
    output: bool,
) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Slice one layer for every class.

    weights: W (inputs, outputs).
    d_in, d: differences before the layer (classes, inputs) and after it (classes, outputs).
    contribution: C (classes, outputs); for the output layer the identity.
    per: fraction of each neuron's connections that rule "dare" keeps; used where theta is None.
    theta: fraction of each neuron's difference that rule "nnslicer" may drop.
    output: whether the layer makes the logits, where class c has column c only.
    Returns the kept connections, bool (classes, inputs, outputs), and the contributions of the inputs,
    (classes, inputs).
    """
    classes, inputs = d_in.shape
    rows = numpy.ascontiguousarray(weights.T)
    if output and theta is None:
        contribution = contribution * d
    factor = numpy.sign(contribution) * numpy.sign(d)
    cut = _cut(per, inputs)
    kept = numpy.zeros((classes, inputs, len(rows)), bool)
    of_inputs = numpy.zeros((classes, inputs))
    for c in range(classes):
        for neurons in _blocks(c, output, inputs, len(rows)):
            products = rows[neurons] * d_in[c]
            if theta is None:
                keep = _all_but_smallest(products * factor[c, neurons, None], cut)
            else:
                keep = _all_but_negligible(products, theta * numpy.abs(d[c, neurons, None]))
                of_inputs[c] += factor[c, neurons] @ (numpy.sign(products) * keep)
            kept[c, :, neurons] = keep.T
        if output and theta is None:
            of_inputs[c] = numpy.where(keep[0], contribution[c, c] * d[c, c] * products[0], 0)
    if theta is None and not output:
        signs = factor.astype(numpy.float32) @ numpy.sign(rows, dtype=numpy.float32)
        of_inputs = numpy.sign(d_in) * signs
    return kept, of_inputs


def slice_depthwise(
    weights: numpy.ndarray,
    d_in: numpy.ndarray,
    d: numpy.ndarray,
    contribution: numpy.ndarray,
    *,
    per: float,
    theta: float | None,
) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Slice one depthwise layer for every class: neuron i * M + m has one connection, from input i.

    weights: W (inputs, M).
    d_in: (classes, inputs); d and contribution: (classes, inputs * M).
    per, theta: as of slice_layer.
    Returns the kept connections, bool (classes, inputs, M), and the contributions of the inputs, (classes, inputs).
    """
    d, contribution = (array.reshape(len(d_in), *weights.shape) for array in (d, contribution))
    products = weights * d_in[:, :, None]
    signs = numpy.sign(contribution) * numpy.sign(d) * numpy.sign(products)
    if theta is None:
        return numpy.full(products.shape, _cut(per, 1) == 0), signs.sum(axis=2)
    kept = ~(numpy.abs(products) < theta * numpy.abs(d))
    return kept, (signs * kept).sum(axis=2)


def _cut(per, inputs):
    """The number of connections of each neuron that rule "dare" cuts."""
    return int((1 - per) * inputs + 1e-9)


def _blocks(c, output, inputs, outputs):
    """The neurons that class c analyses, as slices of at most BLOCK connections."""
    if output:
        return [slice(c, c + 1)]
    step = max(1, BLOCK // inputs)
    return [slice(start, min(start + step, outputs)) for start in range(0, outputs, step)]


def _all_but_smallest(values, cut):
    """Drop the `cut` smallest of each row, ties by index: bool, the shape of `values`, True where kept.

    Inputs that never fire give thousands of equal zeros. So all values below the cut-th smallest are dropped, and of
    the values equal to it as many as still have to be, lowest index first.
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
    """Drop by ascending magnitude, ties by index, while |sum of the dropped| < limit: bool, True where kept."""
    order = numpy.argsort(numpy.abs(products), axis=1, kind="stable")
    total = numpy.cumsum(numpy.take_along_axis(products, order, axis=1), axis=1)
    dropped = numpy.logical_and.accumulate(numpy.abs(total) < limit, axis=1)
    kept = numpy.empty(products.shape, bool)
    numpy.put_along_axis(kept, order, ~dropped, axis=1)
    return kept
