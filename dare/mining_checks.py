"""Checks before mining: model, history, images, labels and epochs must belong together."""

from __future__ import annotations  # its types load no library (pipeline/late.py)

import numbers
from collections.abc import Sequence

import keras
import numpy

import models
from dare.online_store import Store
from models import contract
from train.checkpoints import Checkpoints
from train.history import History, confidence


def check(
    model: keras.Model,
    history: History | Checkpoints,
    x: numpy.ndarray,
    y: numpy.ndarray,
    epochs: Sequence[int],
    *,
    recorded: bool,
    store: Store | None,
    batch_size: int,
) -> None:
    """Raise ValueError for a model, images, labels or epochs that cannot be mined, and for missing checkpoints.

    Arguments as of get_ats.mine_history; history: no path; epochs: a list.
    """
    if not all(isinstance(epoch, numbers.Integral) for epoch in epochs):
        raise ValueError(f"epochs are {epochs}, expected whole numbers")
    if not epochs:
        raise ValueError(f"{history.path}: {history.last} epochs leave none to mine; expected at least 2")
    unknown = sorted({*epochs} - {*history.epochs})
    if unknown:
        raise ValueError(f"{history.path}: has no epoch {_listed(unknown)}; it has {_listed(history.epochs)}")
    contract.check(model, x, y, batch_size=batch_size)
    contract.check_outputs(model, x)
    if recorded and isinstance(history, Checkpoints):
        raise ValueError(f"{history.path}: plain checkpoints recorded no probabilities: mine with recorded=False")
    if store is None:
        missing = sorted({*epochs} - {*history.stored})
        if missing:
            raise ValueError(
                f"{history.path}: the weights of epoch {_listed(missing)} are not kept: train with --keep second-half, "
                "or mine while training"
            )
    elif not recorded:
        raise ValueError(f"{store.folder}: keeps activations only, no checkpoints to evaluate: mine with recorded=True")


def _listed(epochs):
    """Epochs as text, long lists shortened."""
    epochs = list(epochs)
    return ", ".join(map(str, epochs)) if len(epochs) < 8 else f"{epochs[0]}, {epochs[1]}, ... {epochs[-1]}"


def check_final(
    model: keras.Model,
    identity: str,
    history: History | Checkpoints,
    x: numpy.ndarray,
    y: numpy.ndarray,
    batch_size: int,
) -> None:
    """Raise ValueError unless the final weights of the history are those of the model to mine for.

    model: holds the final weights of the history; identity: SHA-256 of the model to mine for.
    x, y, batch_size: as of get_ats.mine_history.
    Where training recorded confidences, the model must also have the recorded ones on the first images.
    """
    if models.fingerprint(model) != identity:
        raise ValueError(f"{history.path}: its final epoch is another model than the one given: load that first")
    if isinstance(history, Checkpoints):
        return
    recorded = history.record(history.last)[0]
    if len(recorded) != len(y):
        raise ValueError(
            f"{history.path}: recorded {len(recorded)} samples, but {len(y)} images were given: "
            "mine the x_validation that the model was trained beside"
        )
    log_probability = confidence(model, x[:batch_size], y[:batch_size], batch_size=batch_size)[0]
    if not numpy.allclose(log_probability, recorded[:batch_size], rtol=1e-2, atol=1e-2):
        raise ValueError(
            f"{history.path}: recorded other confidences than these images and labels give: "
            "mine the x_validation that the model was trained beside, in its order"
        )
