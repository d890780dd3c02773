"""Data augmentation from training history: the activation of the epoch that was surest of each held-out image.

Source: DARE, TOSEM 33(3) 2024, section 3.2, and the released get_ats.py.
  D1 [D] epochs count from 1 and the history is E/2 .. E-1 of E epochs (released: 100 .. 199 of 200).
  D2 [D] confidences are float32 log-probabilities at one batch size: probabilities saturate at 1 and then tie.
"""

import dataclasses
import math
from typing import Any

import numpy

import data
import models
from dare import transform
from data import files
from models import compute
from train.history import confidence

KIND = "mined targets"


@dataclasses.dataclass(frozen=True)
class Targets:
    """What the regression model is tuned towards, one row a selected sample.

    index (K,) rows of the mined images; epoch (K,) the chosen epoch of each; activation (K, ...) float32 at the
    regression layer under that epoch, an array or a lazy HDF5 dataset. gain (K,) p_t(y|x) - p_M(y|x). layer: the
    regression layer; model, data: SHA-256 of the final model and of the mined images.
    """

    index: numpy.ndarray
    epoch: numpy.ndarray
    activation: Any = dataclasses.field(repr=False)
    gain: numpy.ndarray | None = None
    layer: str | None = None
    model: str = ""
    data: str = ""

    @classmethod
    def load(cls, path):
        """Read saved targets; activations stay on disk. Raises FileNotFoundError, or ValueError if damaged."""
        names = ("index", "epoch", "gain")
        facts = ("layer", "model", "data")
        arrays, attributes = files.load_artefact(path, KIND, names, facts)
        file, _ = files.open_artefact(path, KIND)
        activation = file.get("activation")
        lengths = {array.shape[:1] for array in arrays.values()}
        if not hasattr(activation, "shape") or lengths != {activation.shape[:1]}:
            file.close()
            raise ValueError(f"{path}: activations and indices do not match: delete it and make it again")
        return cls(**arrays, activation=activation, **{name: attributes[name] for name in facts})


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


def second_half(history):
    """The epochs that are mined: E/2 .. E-1 of a history of E epochs."""
    return [epoch for epoch in history.epochs if math.ceil(history.last / 2) <= epoch < history.last]


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
    path=None,
    batch_size=256,
    progress=None,
):
    """Choose each sample's surest epoch and collect its activation at the regression layer.

    model: the final model M, returned with the weights it came with; x, y: the held-out images (uint8 or float32
    in [0, 1]) and labels; layer: R (default: transform.regression_layer); epochs: which to search (default: E/2 ..
    E-1); min_gain: smallest p_t(y|x) - p_M(y|x) that counts; recorded: use the probabilities that training
    recorded, or evaluate every checkpoint anew; path: stream the targets there, and read activations from there.

    Returns Targets, grouped by epoch and ascending by index within each. Raises ValueError if the history is not
    of these images or this model, or if no sample is surer under an older epoch.
    """
    regression = transform.transform(model, layer)
    layer = regression.layers[-1].name if layer is None else layer
    epochs = second_half(history) if epochs is None else sorted(epochs)
    if not epochs:
        raise ValueError(f"{history.path}: {history.last} epochs leave none to mine; expected at least 2")
    final_weights, identity = model.get_weights(), models.fingerprint(model)
    try:
        history.load_weights(model, history.last)
        if models.fingerprint(model) != identity:
            raise ValueError(f"{history.path}: its final epoch is another model than the one given: load that first")
        if recorded:
            _check_images(model, history, x, y, batch_size)
        log_probability, prediction, final = _confidences(model, history, epochs, x, y, recorded, batch_size)
        chosen = choose(log_probability, prediction, epochs, y, *final)
        rows = numpy.searchsorted(epochs, chosen)
        gain = numpy.exp(log_probability[rows.clip(max=len(epochs) - 1), numpy.arange(len(y))]) - numpy.exp(final[0])
        selected = (chosen > 0) & (gain >= min_gain)
        index = numpy.flatnonzero(selected)
        if not len(index):
            raise ValueError(f"{history.path}: no sample is surer under an older epoch; nothing can be mined")
        index = index[numpy.argsort(chosen[index], kind="stable")]
        facts = {"layer": layer, "model": identity, "data": files.fingerprint(x)}
        arrays = {"index": index, "epoch": chosen[index], "gain": gain[index].astype("float32")}
        shape = (len(index), *regression.output_shape[1:])
        blocks = _activations(model, regression, history, x, index, chosen[index], batch_size, progress)
        if path is not None:
            files.save_artefact(path, KIND, arrays | {"activation": (shape, "float32", blocks)}, facts)
            return Targets.load(path)
        activation = numpy.empty(shape, "float32")
        for selection, values in blocks:
            activation[selection] = values
        return Targets(**arrays, activation=activation, **facts)
    finally:
        model.set_weights(final_weights)


def _check_images(model, history, x, y, batch_size):
    """Raise ValueError unless the final model is as sure of the first images as its record says."""
    recorded = history.record(history.last)[0]
    if len(recorded) != len(y):
        raise ValueError(
            f"{history.path}: recorded {len(recorded)} samples, but {len(y)} images were given: "
            "mine the x_validation that the model was trained beside"
        )
    found = confidence(model, x[:batch_size], y[:batch_size], batch_size=batch_size)[0]
    if not numpy.allclose(found, recorded[:batch_size], rtol=1e-2, atol=1e-2):
        raise ValueError(
            f"{history.path}: recorded other confidences than these images and labels give: "
            "mine the x_validation that the model was trained beside, in its order"
        )


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


def _activations(model, regression, history, x, index, chosen, batch_size, progress):
    """Yield (row slice, activations) epoch by epoch, each epoch's weights loaded once."""
    run = compute.forward(regression)
    for epoch in numpy.unique(chosen):
        history.load_weights(model, int(epoch))
        rows = numpy.flatnonzero(chosen == epoch)
        for start in range(rows[0], rows[-1] + 1, batch_size):
            stop = min(start + batch_size, rows[-1] + 1)
            yield (
                slice(start, stop),
                compute.predict(run, x[index[start:stop]], batch_size=batch_size, prepare=data.to_unit),
            )
            if progress is not None:
                progress(stop, len(index), f"epoch {epoch}")
