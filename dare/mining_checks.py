"""What mining refuses before it computes anything: images, labels, epochs and models that do not belong together."""

import numpy

import models
from models import contract
from train.checkpoints import Checkpoints
from train.history import confidence


def check(model, history, x, y, epochs, *, recorded, store, batch_size):
    """Raise ValueError for a model, images, labels or epochs that cannot be mined, and for checkpoints that lack."""
    if not epochs:
        raise ValueError(f"{history.path}: {history.last} epochs leave none to mine; expected at least 2")
    foreign = sorted({*epochs} - {*history.epochs})
    if foreign:
        raise ValueError(f"{history.path}: has no epoch {_listed(foreign)}; it has {_listed(history.epochs)}")
    contract.check(model, x, y, batch_size=batch_size)
    if recorded and isinstance(history, Checkpoints):
        raise ValueError(f"{history.path}: plain checkpoints recorded no probabilities: mine with recorded=False")
    if store is None:
        gone = sorted({*epochs} - {*history.stored})
        if gone:
            raise ValueError(
                f"{history.path}: the weights of epoch {_listed(gone)} are not kept: train with --keep second-half, or "
                "mine while training"
            )
    elif not recorded:
        raise ValueError(f"{store.folder}: keeps activations only, no checkpoints to evaluate: mine with recorded=True")


def _listed(epochs):
    epochs = list(epochs)
    return ", ".join(map(str, epochs)) if len(epochs) < 8 else f"{epochs[0]}, {epochs[1]}, ... {epochs[-1]}"


def check_final(model, identity, history, x, y, batch_size):
    """Raise ValueError unless `model`, holding the history's final weights, is the model that was given (its SHA-256
    is `identity`) and, where training recorded it, is as sure of the first images as the record says."""
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
    found = confidence(model, x[:batch_size], y[:batch_size], batch_size=batch_size)[0]
    if not numpy.allclose(found, recorded[:batch_size], rtol=1e-2, atol=1e-2):
        raise ValueError(
            f"{history.path}: recorded other confidences than these images and labels give: "
            "mine the x_validation that the model was trained beside, in its order"
        )
