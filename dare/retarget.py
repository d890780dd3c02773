"""Other targets for the mined samples: activations at another layer or under another epoch.

Variants of DARE need them [D]: `dare-last` the most confident epoch at the last hidden layer, `dare-rand` and
`dare-newest` another epoch. The samples stay those that mining selected, so that only their targets differ.
"""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Sequence

import keras
import numpy

import models
from dare import dare, epoch_choice, get_ats, transform
from dare.targets import Targets
from dare.variants import Variant
from train.checkpoints import Checkpoints
from train.history import History


def of_variant(
    variant: Variant,
    model: keras.Model,
    history: History | Checkpoints,
    targets: Targets,
    x: numpy.ndarray,
    *,
    seed: int,
    path: str | pathlib.Path | None = None,
    progress: Callable | None = None,
) -> Targets:
    """The targets of a Variant: `targets` as they are where the variant asks for no others.

    model: the final model.
    history: its train.history.History.
    targets: the mined targets.
    x: the mined images.
    seed: of random epochs.
    path, progress: as in get_ats.mine_history.
    Raises ValueError for targets of another model or other images.
    """
    if not variant.retargets:
        return targets
    layer = transform.last_hidden(model) if variant.layer == "last-hidden" else variant.layer
    options = {"layer": layer, "path": path, "progress": progress}
    if variant.source == "random":
        return random_epochs(model, history, targets, x, seed=seed, **options)
    if variant.source == "newest":
        return one_epoch(model, history, targets, x, get_ats.second_half(history)[-1], **options)
    return at_layer(model, history, targets, x, **options)


def at_layer(
    model: keras.Model,
    history: History | Checkpoints,
    targets: Targets,
    x: numpy.ndarray,
    layer: str,
    *,
    path: str | pathlib.Path | None = None,
    progress: Callable | None = None,
) -> Targets:
    """The same samples and epochs, with the activations at `layer`, the name of a layer.

    Other arguments and errors as of `of_variant`.
    """
    return _collect(model, history, targets, x, targets.epoch, layer, path, progress)


def random_epochs(
    model: keras.Model,
    history: History | Checkpoints,
    targets: Targets,
    x: numpy.ndarray,
    *,
    seed: int,
    layer: str | None = None,
    epochs: Sequence[int] | None = None,
    path: str | pathlib.Path | None = None,
    progress: Callable | None = None,
) -> Targets:
    """The same samples, each with the activation of an epoch drawn uniformly from `epochs` (default: all mined).

    seed: of the drawing.
    layer: None for the layer of `targets`.
    Other arguments and errors as of `of_variant`.
    """
    candidates = get_ats.second_half(history) if epochs is None else epochs
    chosen = epoch_choice.at_random(targets.index, candidates, seed)
    return _collect(model, history, targets, x, chosen, layer, path, progress)


def one_epoch(
    model: keras.Model,
    history: History | Checkpoints,
    targets: Targets,
    x: numpy.ndarray,
    epoch: int,
    *,
    layer: str | None = None,
    path: str | pathlib.Path | None = None,
    progress: Callable | None = None,
) -> Targets:
    """The same samples, all with the activation of one `epoch` of the history.

    layer: None for the layer of `targets`.
    Other arguments and errors as of `of_variant`.
    """
    epochs = numpy.full(len(targets.index), epoch, "int64")
    return _collect(model, history, targets, x, epochs, layer, path, progress)


def _collect(model, history, targets, x, epochs, layer, path, progress):
    """Targets of the same samples at `layer` under `epochs` (K,), grouped by epoch and ascending by index in each."""
    dare.check(model, targets, x)
    regression = transform.transform(model, targets.layer if layer is None else layer)
    order = numpy.lexsort((targets.index, epochs))
    index, epochs = targets.index[order], epochs[order]
    gain = numpy.full(len(order), numpy.nan, "float32") if targets.gain is None else targets.gain[order]
    facts = {"layer": regression.layers[-1].name, "model": targets.model, "data": targets.data}
    arrays = {
        "index": index,
        "epoch": epochs,
        "gain": numpy.where(epochs == targets.epoch[order], gain, numpy.float32(numpy.nan)),
    }
    with models.keeping_weights(model):
        source = get_ats.checkpoint_source(model, regression, history, x)
        return get_ats.collect(arrays, facts, regression.output_shape[1:], source, path=path, progress=progress)
