"""Data augmentation from training history: the activation of the epoch that was surest of each held-out image.

Source: DARE, TOSEM 33(3) 2024, section 3.2, and the released get_ats.py.
  D1 [D] epochs count from 1 and the history is E/2 .. E-1 of E epochs (released: 100 .. 199 of 200).
  D2 [D] confidences are log-probabilities at one batch size, computed from the log-odds of the other classes
     (train.history.confidence): probabilities round to 1 and tie where the label's logit leads by 17, and so does
     log_softmax in float32, whose log p rounds to 0 there.
  D3 [D] activations are computed in batches of one fixed size, filled up, in which an image's place is its own: a
     row's bits depend on the shape of its batch and, on some processors, on its place, not on its neighbours, and so
     are the same whoever computes them.
"""

import math
import pathlib

import numpy

import data
import models
from dare import mining_checks, transform
from dare.targets import KIND, Targets
from data import files
from models import compute
from train import checkpoints
from train.history import confidence

BATCH = 16  # images of one activation batch; a larger one wastes more where few samples share an epoch
BLOCK = 1024  # images whose activations are in memory at once; a smaller one fills its batches less


def choose(log_probability, prediction, epochs, y, final_log_probability, final_prediction):
    """The epoch whose activation each sample takes, or 0 for none (K,).

    For t ascending: t is taken where p_t(y|x) exceeds the best so far, which starts at the final model's p_M(y|x);
    where M is wrong, t must also be right. The comparison is strict, so the first epoch wins ties [P].
    log_probability, prediction: (epochs, N) in the order of `epochs`; y: (N,); final_*: the final model's (N,).
    """
    best = numpy.array(final_log_probability)
    final_right = final_prediction == y
    chosen = numpy.zeros(len(y), "int64")
    order = numpy.argsort(epochs)
    for row in order:
        better = (log_probability[row] > best) & (final_right | (prediction[row] == y))
        chosen[better] = epochs[row]
        best[better] = log_probability[row][better]
    return chosen


def window(last):
    """The epochs that are mined in a training of `last` epochs: E/2 .. E-1."""
    return range(math.ceil(last / 2), last)


def second_half(history):
    """The epochs of a history that are mined: those of E/2 .. E-1 that it has."""
    return [epoch for epoch in history.epochs if epoch in window(history.last)]


def mine_history(
    model,
    history,
    x,
    y,
    *,
    layer=None,
    epochs=None,
    min_gain=0.0,
    recorded=True,
    store=None,
    path=None,
    batch_size=256,
    progress=None,
):
    """Choose each sample's surest epoch and collect its activation at the regression layer.

    model: the final model M, returned with the weights it came with; history: a train.history.History, a folder of
    anybody's checkpoints (train.checkpoints.Checkpoints, with recorded=False), or the path of either; x, y: the
    held-out images (uint8 or floats in [0, 1]) and labels; layer: R (default: transform.regression_layer); epochs:
    which to search (default: E/2 .. E-1); min_gain: smallest p_t(y|x) - p_M(y|x) that counts; recorded: use the
    probabilities that training recorded, or evaluate every checkpoint anew (batch_size at a time; training's own size
    gives its bits); store: an online.Store that was kept while training ran, read in place of the checkpoints; path:
    stream the targets there, and read activations from there.

    Returns Targets, grouped by epoch and ascending by index within each: the same bits from checkpoints or a store.
    Raises ValueError if the history is not of these images or this model, or if no sample is surer under an older
    epoch.
    """
    if isinstance(history, str | pathlib.Path):
        history = checkpoints.opened(history)
        recorded = recorded and not isinstance(history, checkpoints.Checkpoints)
    layer = store.layer if layer is None and store is not None else layer
    regression = transform.transform(model, layer)
    layer = layer or transform.regression_layer(model)
    epochs = second_half(history) if epochs is None else sorted(epochs)
    mining_checks.check(model, history, x, y, epochs, recorded=recorded, store=store, batch_size=batch_size)
    final_weights, identity = model.get_weights(), models.fingerprint(model)
    try:
        history.load_weights(model, history.last)
        mining_checks.check_final(model, identity, history, x, y, batch_size)
        if store is not None:
            store.check(history, x, y, layer=layer, epochs=epochs)
        log_probability, prediction, final = _confidences(model, history, epochs, x, y, recorded, batch_size)
        chosen = choose(log_probability, prediction, epochs, y, *final)
        rows = numpy.searchsorted(epochs, chosen)
        surest = log_probability[rows.clip(max=len(epochs) - 1), numpy.arange(len(y))]
        gain = numpy.expm1(surest) - numpy.expm1(final[0])  # whole where both probabilities round to 1
        selected = (chosen > 0) & (gain >= min_gain)
        index = numpy.flatnonzero(selected)
        if not len(index):
            raise ValueError(f"{history.path}: no sample is surer under an older epoch; nothing can be mined")
        index = index[numpy.argsort(chosen[index], kind="stable")]
        facts = {"layer": layer, "model": identity, "data": files.fingerprint(x)}
        arrays = {"index": index, "epoch": chosen[index], "gain": gain[index].astype("float32")}
        source = checkpoint_source(model, regression, history, x) if store is None else store.source
        return collect(arrays, facts, regression.output_shape[1:], source, path=path, progress=progress)
    finally:
        model.set_weights(final_weights)


def collect(arrays, facts, shape, source, *, path=None, progress=None):
    """Targets of arrays and facts, their activations (of `shape` each) from `source`, as checkpoint_source makes it.

    arrays: the Targets' index, epoch and gain, grouped by epoch; path: stream them there and read activations from it.
    """
    index = arrays["index"]
    blocks = _blocks(source, index, arrays["epoch"], progress)
    if path is not None:
        files.save_artefact(path, KIND, arrays | {"activation": ((len(index), *shape), "float32", blocks)}, facts)
        return Targets.load(path)
    activation = numpy.empty((len(index), *shape), "float32")
    for rows, values in blocks:
        activation[rows] = values
    return Targets(**arrays, activation=activation, **facts)


def activations(run, x, rows):
    """What the compiled regression model `run` makes of the images `rows`: float32, in batches of BATCH exactly, in
    which image i has the place i % BATCH, since kernels may round by the size of a batch and by the place in it."""
    rows = numpy.asarray(rows)
    order = numpy.argsort(rows % BATCH, kind="stable")
    same = (rows % BATCH)[order]
    turn = numpy.empty(len(rows), int)
    turn[order] = numpy.arange(len(rows)) - numpy.searchsorted(same, same)  # how many before it want its place
    place = turn * BATCH + rows % BATCH
    filled = numpy.full((turn.max() + 1) * BATCH, rows[0])
    filled[place] = rows
    return compute.predict(run, x[filled], batch_size=BATCH, prepare=data.to_unit)[place].astype("float32")


def _confidences(model, history, epochs, x, y, recorded, batch_size):
    """(log-probabilities (T, N), predictions (T, N), the final model's (N,) pair)."""
    if recorded:
        rows = [history.record(epoch)[:2] for epoch in [*epochs, history.last]]
    else:
        rows = []
        for epoch in [*epochs, history.last]:
            history.load_weights(model, epoch)
            rows.append(confidence(model, x, y, batch_size=batch_size))
    log_probability, prediction = (numpy.stack(part) for part in zip(*rows[:-1], strict=True))
    return log_probability, prediction, rows[-1]


def checkpoint_source(model, regression, history, x):
    """epoch -> (rows -> activations of the images x[rows]), loading each epoch's weights once, into `model`."""
    run = compute.forward(regression)

    def source(epoch):
        history.load_weights(model, epoch)
        return lambda rows: activations(run, x, rows)

    return source


def _blocks(source, index, chosen, progress):
    """Yield (row slice, activations) epoch by epoch."""
    for epoch in numpy.unique(chosen).tolist():
        read = source(epoch)
        first, after = numpy.searchsorted(chosen, [epoch, epoch + 1]).tolist()
        for start in range(first, after, BLOCK):
            stop = min(start + BLOCK, after)
            yield slice(start, stop), read(index[start:stop])
            if progress is not None:
                progress(stop, len(index), f"epoch {epoch}")
