"""The targets of hardening, one row a sample: labels, activations or softmax outputs of the model or of its history.

`TARGETS` is the catalogue; a strategy (strategies.py) names its targets. All are computed on the clean samples. Soft
labels from a history are our definition [D]: the softmax outputs of each sample's chosen epoch, or their mean over the
mined epochs.
"""

import dataclasses

import keras
import numpy

import data
import models
from dare import get_ats, transform
from models import compute


@dataclasses.dataclass(frozen=True)
class Source:
    """The inputs of all targets.

    model, history: the final model and its history.
    mined: the mined targets.
    rows: the rows of `mined` that are the samples (N,).
    x, y: images (N, H, W, C) and labels (N,) of the samples.
    """

    model: "keras.Model"
    history: object
    mined: get_ats.Targets
    rows: numpy.ndarray
    x: numpy.ndarray
    y: numpy.ndarray


# name -> function of a Source: (targets, one a sample; passes per sample to compute them). A forward pass counts half,
# and what training has recorded counts 0.
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
    ascending = array[rows[order]]
    ordered = numpy.empty_like(ascending)
    ordered[order] = ascending
    return ordered


def _softmax(call, x):
    return keras.ops.softmax(call(x))


def _own(source):
    """The final model's activations at the regression layer (N, ...)."""
    run = compute.forward(transform.transform(source.model, source.mined.layer))
    return compute.predict(run, source.x, prepare=data.to_unit)


def _chosen_softmax(source):
    """The softmax of each sample under its mined epoch (N, K)."""
    epochs = source.mined.epoch[source.rows]
    probabilities = numpy.empty((len(source.x), source.model.output_shape[-1]), "float32")
    for epoch, rows in ((epoch, numpy.flatnonzero(epochs == epoch)) for epoch in numpy.unique(epochs)):
        probabilities[rows] = _under(source, epoch, source.x[rows])
    return probabilities


def _average_softmax(source):
    """The mean of the softmax over the epochs that are mined, E/2 .. E-1 (N, K)."""
    epochs = get_ats.second_half(source.history)
    return sum(_under(source, epoch, source.x) for epoch in epochs) / numpy.float32(len(epochs))


def _under(source, epoch, x):
    """The softmax (N, K) under one epoch's weights; the model keeps its own."""
    with models.keeping_weights(source.model):
        source.history.load_weights(source.model, int(epoch))
        return compute.predict(compute.compiled(source.model, _softmax), x, prepare=data.to_unit)
