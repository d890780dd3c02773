"""What hardening learns, one row a sample: labels, activations or softmax outputs, of the model or of its history.

`TARGETS` names them; a strategy (dare/strategies.py) says which it takes. All are of the clean samples. How
the softmax outputs of a history become soft labels is our definition [D]: those of each sample's chosen epoch, or their
mean over the epochs that are mined.
"""

import dataclasses

import keras
import numpy

import data
from dare import get_ats, transform
from models import compute


@dataclasses.dataclass(frozen=True)
class Source:
    """Where targets come from: the final model, its history, the mined get_ats.Targets, `rows` of these that are the
    samples, and the samples' images x (N, H, W, C) and labels y (N,)."""

    model: keras.Model
    history: object
    mined: get_ats.Targets
    rows: numpy.ndarray
    x: numpy.ndarray
    y: numpy.ndarray


# Each gives (targets, one a sample; passes a sample that making them took, a forward pass counting half, and 0 for
# what training recorded anyway).
TARGETS = {
    "labels": lambda source: (source.y.astype("int32"), 0.0),
    "mined": lambda source: (_rows(source.mined.activation, source.rows), 0.5),
    "own": lambda source: (_own(source), 0.5),
    "chosen-softmax": lambda source: (_chosen_softmax(source), 0.5),
    "average-softmax": lambda source: (_average_softmax(source), 0.5 * len(get_ats.second_half(source.history))),
}


def _rows(array, rows):
    """Rows in any order of an array or an HDF5 dataset (which wants them ascending)."""
    order = numpy.argsort(rows)
    taken = array[rows[order]]
    made = numpy.empty_like(taken)
    made[order] = taken
    return made


def _softmax(call, x):
    return keras.ops.softmax(call(x))


def _own(source):
    """The final model's activations at the regression layer (N, ...)."""
    run = compute.forward(transform.transform(source.model, source.mined.layer))
    return compute.predict(run, source.x, prepare=data.to_unit)


def _chosen_softmax(source):
    """Of each sample, the softmax of the epoch whose activation was mined for it (N, K)."""
    epochs = source.mined.epoch[source.rows]
    made = numpy.empty((len(source.x), source.model.output_shape[-1]), "float32")
    for epoch, rows in ((epoch, numpy.flatnonzero(epochs == epoch)) for epoch in numpy.unique(epochs)):
        made[rows] = _under(source, epoch, source.x[rows])
    return made


def _average_softmax(source):
    """The mean of the softmax over the epochs that are mined, E/2 .. E-1 (N, K)."""
    epochs = get_ats.second_half(source.history)
    return sum(_under(source, epoch, source.x) for epoch in epochs) / numpy.float32(len(epochs))


def _under(source, epoch, x):
    """The softmax (N, K) under one epoch's weights; the model keeps its own."""
    kept = source.model.get_weights()
    try:
        source.history.load_weights(source.model, int(epoch))
        return compute.predict(compute.compiled(source.model, _softmax), x, prepare=data.to_unit)
    finally:
        source.model.set_weights(kept)
