"""Other targets for the samples that mining selected: at another layer, under another epoch, or fewer of them.

Variants of DARE need them [D]: `dare-last` the surest epoch's activation at the last hidden layer, `dare-rand` and
`dare-newest` another epoch's. The samples stay those that mining selected, so that only their targets differ.
"""

import dataclasses

import keras
import numpy

from dare import dare, get_ats, transform
from train.seeds import stream

DROPOUT = (keras.layers.Dropout, keras.layers.SpatialDropout2D, keras.layers.GaussianDropout)


def of_variant(variant, model, history, targets, x, *, seed, path=None, progress=None):
    """The targets that a Variant asks for, made of the mined `targets`; these themselves where nothing differs.

    model: the final model; x: the mined images; seed: of random epochs; path: where they are streamed, as in
    get_ats.mine_history.
    """
    if not variant.retargets:
        return targets
    layer = last_hidden(model) if variant.layer == "last-hidden" else variant.layer
    options = {"layer": layer, "path": path, "progress": progress}
    if variant.source == "random":
        return random_epochs(model, history, targets, x, seed=seed, **options)
    if variant.source == "newest":
        return one_epoch(model, history, targets, x, get_ats.second_half(history)[-1], **options)
    return at_layer(model, history, targets, x, **options)


def at_layer(model, history, targets, x, layer, *, path=None, progress=None):
    """The same samples and epochs, with the activations at `layer`. Arguments and errors as of get_ats.mine_history."""
    return _collect(model, history, targets, x, targets.epoch, layer, path, progress)


def random_epochs(model, history, targets, x, *, seed, layer=None, epochs=None, path=None, progress=None):
    """The same samples, each with the activation of an epoch drawn uniformly from `epochs` (default: all mined).

    layer: None for the layer of `targets`.
    """
    drawn = draw(targets.index, get_ats.second_half(history) if epochs is None else epochs, seed)
    return _collect(model, history, targets, x, drawn, layer, path, progress)


def draw(index, epochs, seed):
    """One of `epochs` for each sample, uniformly (K,): whatever order the samples `index` (K,) are in."""
    drawn = numpy.empty(len(index), "int64")
    drawn[numpy.argsort(index)] = stream(seed, "random epochs").choice(numpy.sort(epochs), len(index))
    return drawn


def one_epoch(model, history, targets, x, epoch, *, layer=None, path=None, progress=None):
    """The same samples, all with the activation of one epoch. layer: None for the layer of `targets`."""
    epochs = numpy.full(len(targets.index), epoch, "int64")
    return _collect(model, history, targets, x, epochs, layer, path, progress)


def last_hidden(model):
    """Name of the layer that the logits read: the last hidden one, dropout apart."""
    return [name for name in transform.valid(model) if not isinstance(model.get_layer(name), DROPOUT)][-1]


def subset(targets, rows):
    """The targets of some rows (ascending positions), the activations as lazy as they were."""
    rows = numpy.asarray(rows)
    return dataclasses.replace(
        targets,
        index=targets.index[rows],
        epoch=targets.epoch[rows],
        gain=None if targets.gain is None else targets.gain[rows],
        activation=Rows(targets.activation, rows),
    )


class Rows:
    """Some rows of an array or HDF5 dataset, read when they are indexed."""

    def __init__(self, array, rows):
        self.array, self.rows = array, rows
        self.shape, self.dtype = (len(rows), *array.shape[1:]), array.dtype

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, rows):
        return self.array[self.rows[rows]]


def _collect(model, history, targets, x, epochs, layer, path, progress):
    """Targets of the same samples at `layer` under `epochs` (K,), grouped by epoch and ascending by index in each."""
    dare.check(model, targets, x)
    regression = transform.transform(model, targets.layer if layer is None else layer)
    order = numpy.lexsort((targets.index, epochs))
    index, epochs = targets.index[order], epochs[order]
    known = numpy.full(len(order), numpy.nan, "float32") if targets.gain is None else targets.gain[order]
    facts = {"layer": regression.layers[-1].name, "model": targets.model, "data": targets.data}
    arrays = {
        "index": index,
        "epoch": epochs,
        "gain": numpy.where(epochs == targets.epoch[order], known, numpy.float32(numpy.nan)),
    }
    kept = model.get_weights()
    try:
        source = get_ats.checkpoint_source(model, regression, history, x)
        return get_ats.collect(arrays, facts, regression.output_shape[1:], source, path=path, progress=progress)
    finally:
        model.set_weights(kept)
