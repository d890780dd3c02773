"""Data augmentation from training history: for each held-out image, the activation of its most confident epoch.

Source: DARE, TOSEM 33(3) 2024, section 3.2, and the released get_ats.py. The choice itself: dare/epoch_choice.py.
  D1 [D] epochs count from 1, and epochs E/2 to E-1 of E are mined (released: 100 to 199 of 200).
  D2 [D] confidences are log-probabilities, computed at one batch size from the log-odds of the other classes
     (train.history.confidence): where the label's logit leads by 17, probabilities round to 1 and tie, and log p of
     log_softmax in float32 rounds to 0.
  D3 [D] batches are padded to BATCH, and image i is always at position i mod BATCH, so that its activation has the same
     bits for every caller: they depend on the shape of the batch and, on some processors, on the position, but not on
     the other images.
"""

from __future__ import annotations  # its types load no library (pipeline/late.py)

import math
import numbers
import pathlib
from collections.abc import Callable, Iterable

import keras
import numpy

import data
import models
from dare import epoch_choice, mining_checks, transform
from dare.online_store import Store
from dare.targets import KIND, Targets
from data import files
from models import compute
from train import checkpoints
from train.checkpoints import Checkpoints
from train.history import History, confidence

BATCH = 16  # images of one activation batch; a larger one wastes more where few samples share an epoch
BLOCK = 1024  # images whose activations are in memory at once; in smaller blocks batches need more padding


def window(last: int) -> range:
    """The epochs that are mined in a training of `last` epochs: E/2 .. E-1."""
    return range(math.ceil(last / 2), last)


def second_half(history: History | Checkpoints) -> list[int]:
    """The epochs of a history that are mined: those of E/2 .. E-1 that it has."""
    return [epoch for epoch in history.epochs if epoch in window(history.last)]


def mine_history(
    model: keras.Model,
    history: History | Checkpoints | str | pathlib.Path,
    x: numpy.ndarray,
    y: numpy.ndarray,
    *,
    layer: str | None = None,
    epochs: Iterable[int] | None = None,
    min_gain: float = 0.0,
    recorded: bool = True,
    store: Store | None = None,
    path: str | pathlib.Path | None = None,
    batch_size: int = 256,
    progress: Callable | None = None,
) -> Targets:
    """Choose the most confident epoch of each sample and collect its activation at the regression layer.

    model: the final model M; it keeps its weights.
    history: a train.history.History, a folder of other checkpoints (train.checkpoints.Checkpoints, with
        recorded=False), or the path of either.
    x, y: the held-out images (uint8, or floats in [0, 1]) and labels.
    layer: the regression layer R (default: transform.regression_layer).
    epochs: the epochs to search (default: E/2 .. E-1).
    min_gain: smallest p_t(y|x) - p_M(y|x) that counts.
    recorded: use the probabilities that training recorded; False evaluates every checkpoint again.
    store: an online_store.Store that was kept while training ran, read in place of the checkpoints.
    path: stream the targets to this file, and read activations from it.
    batch_size: images evaluated together; that of training gives the bits of training.
    progress: called as progress(done, total, note).

    Returns Targets, grouped by epoch and ascending by index within each epoch; checkpoints and store give the same
    bits. Raises ValueError if the history is not of these images or this model, or if no sample has an epoch that is
    more confident than the final model.
    """
    # Arguments: the history, the layer R, the epochs E/2 .. E-1.
    if isinstance(history, str | pathlib.Path):
        history = checkpoints.opened(history)
        recorded = recorded and not isinstance(history, checkpoints.Checkpoints)
    layer = store.layer if layer is None and store is not None else layer
    regression = transform.transform(model, layer)
    layer = layer or transform.regression_layer(model)
    if not isinstance(min_gain, numbers.Real) or math.isnan(min_gain):
        raise ValueError(f"min_gain is {min_gain!r}, expected a number, such as 0.1")
    epochs = second_half(history) if epochs is None else sorted(epochs)
    mining_checks.check(model, history, x, y, epochs, recorded=recorded, store=store, batch_size=batch_size)
    identity = models.fingerprint(model)
    with models.keeping_weights(model):
        # The final model M and the store must belong to this history.
        history.load_weights(model, history.last)
        mining_checks.check_final(model, identity, history, x, y, batch_size)
        if store is not None:
            store.check(history, x, y, layer=layer, epochs=epochs)

        # Confidences p_t(y|x), and the most confident epoch of each sample.
        log_probability, prediction, final = _confidences(model, history, epochs, x, y, recorded, batch_size)
        chosen = epoch_choice.most_confident(log_probability, prediction, epochs, y, *final)

        # Samples that gain enough over M, grouped by epoch.
        rows = numpy.searchsorted(epochs, chosen)
        best = log_probability[rows.clip(max=len(epochs) - 1), numpy.arange(len(y))]
        gain = numpy.expm1(best) - numpy.expm1(final[0])  # not 0 where both probabilities round to 1
        selected = (chosen > 0) & (gain >= min_gain)
        index = numpy.flatnonzero(selected)
        if not len(index):
            raise ValueError(
                f"{history.path}: no sample has an older epoch more confident than the final one; nothing can be mined"
            )
        index = index[numpy.argsort(chosen[index], kind="stable")]

        # Their activations at R under the chosen epoch.
        facts = {"layer": layer, "model": identity, "data": files.fingerprint(x)}
        arrays = {"index": index, "epoch": chosen[index], "gain": gain[index].astype("float32")}
        source = checkpoint_source(model, regression, history, x) if store is None else store.source
        return collect(arrays, facts, regression.output_shape[1:], source, path=path, progress=progress)


def collect(
    arrays: dict,
    facts: dict,
    shape: tuple,
    source: Callable,
    *,
    path: str | pathlib.Path | None = None,
    progress: Callable | None = None,
) -> Targets:
    """Targets with their activations.

    arrays: index, epoch and gain of the Targets, grouped by epoch.
    facts: layer, model and data of the Targets.
    shape: of one activation.
    source: epoch -> (rows -> activations), as checkpoint_source returns it.
    path, progress: as in mine_history.
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


def activations(run: Callable, x: numpy.ndarray, rows: numpy.ndarray) -> numpy.ndarray:
    """The activations of the images x[rows]: float32, one row an image.

    run: the compiled regression model (compute.forward).
    Every batch has exactly BATCH images, and image i is at position i % BATCH, since the rounding of a kernel may
    depend on the size of the batch and on the position in it.
    """
    rows = numpy.asarray(rows)
    position = rows % BATCH
    # An image goes into the first batch whose place at its position is free.
    order = numpy.argsort(position, kind="stable")
    ordered = position[order]
    batch = numpy.empty(len(rows), int)
    batch[order] = numpy.arange(len(rows)) - numpy.searchsorted(ordered, ordered)
    place = batch * BATCH + position
    padded = numpy.full((batch.max() + 1) * BATCH, rows[0])
    padded[place] = rows
    return compute.predict(run, x[padded], batch_size=BATCH, prepare=data.to_unit)[place].astype("float32")


def checkpoint_source(
    model: keras.Model, regression: keras.Model, history: History | Checkpoints, x: numpy.ndarray
) -> Callable:
    """A function epoch -> (rows -> activations of x[rows]) that loads the weights of the epoch into `model`.

    regression: the part of `model` up to the regression layer, with its weights (transform.transform).
    history: as in mine_history, no path.
    """
    run = compute.forward(regression)

    def source(epoch):
        history.load_weights(model, epoch)
        return lambda rows: activations(run, x, rows)

    return source


def _confidences(model, history, epochs, x, y, recorded, batch_size):
    """Log-probabilities (T, N) and predictions (T, N) of the epochs, and those of the final model, (N,) each."""
    if recorded:
        records = [history.record(epoch)[:2] for epoch in [*epochs, history.last]]
    else:
        records = []
        for epoch in [*epochs, history.last]:
            history.load_weights(model, epoch)
            records.append(confidence(model, x, y, batch_size=batch_size))
    log_probability, prediction = (numpy.stack(part) for part in zip(*records[:-1], strict=True))
    return log_probability, prediction, records[-1]


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
