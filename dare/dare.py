"""DARE: tune the inner layers towards the activations of the most confident epoch, along the slice; keep the head.

Source: DARE, ASE 2022; TOSEM 33(3) 2024, section 3.3. For selected samples x_i with targets T_i,
    L = 1/B sum_i mean_p (T_i[p] - G(x_i)[p])^2
over all neurons p of the regression layer R, with ten steps of Adam, each on 128 samples drawn with replacement; after
each step every convolution weight outside the slice is put back [P].
  D1 [D] one mask for all classes: the intersection of the class slices (the union freezes almost nothing).
  D2 [D] batch-norm statistics are frozen and Adam keeps its state between steps; the released code does neither
     (`freeze_statistics`, `reset_optimizer`).
  D3 [D] the mean is over all of R, since the papers' key neurons are unpublished; `key` restricts it
     (dare.key_neurons).
"""

from __future__ import annotations  # its types load no library (pipeline/late.py)

from collections.abc import Callable
from typing import Any

import keras
import numpy

import models
from dare import key_neurons, transform
from dare.nnslicer import Slice
from dare.targets import Targets
from dare.variants import VARIANTS, Variant
from data import files
from models.compute.variables import Tensor
from train import fine_tune as tuning

__all__ = ["VARIANTS", "Variant", "check", "improve", "slice_masks", "tune", "tune_classifier", "tune_weights"]


def squared_error(outputs: Tensor, targets: Tensor) -> Tensor:
    """Mean squared error between outputs and targets for each sample: (N, ...), (N, ...) -> (N,)."""
    return keras.ops.mean(keras.ops.square(targets - outputs), axis=tuple(range(1, len(outputs.shape))))


def key_squared_error(outputs: Tensor, targets: Tensor, key: Tensor) -> Tensor:
    """Mean squared error of each sample over its key channels: (N, ..., C), (N, ..., C), bool (N, C) -> (N,).

    Every row of `key` has at least one True.
    """
    square = keras.ops.square(targets - outputs)
    channels = keras.ops.mean(square, axis=tuple(range(1, len(square.shape) - 1)))
    key = keras.ops.cast(key, channels.dtype)
    return keras.ops.sum(channels * key, axis=1) / keras.ops.sum(key, axis=1)


def softmax_squared_error(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean squared error between softmax and one-hot labels: (N, K), integer (N,) -> (N,)."""
    probabilities = keras.ops.softmax(logits)
    return squared_error(probabilities, keras.ops.one_hot(labels, logits.shape[-1], dtype=probabilities.dtype))


def tune(
    model: keras.Model,
    targets: Targets,
    x: numpy.ndarray,
    *,
    masks: dict | None = None,
    key: numpy.ndarray | None = None,
    steps: int = 10,
    epochs: int | None = None,
    batch_size: int = 128,
    learning_rate: float = 1e-6,
    seed: int = 0,
    freeze_statistics: bool = True,
    reset_optimizer: bool = False,
    progress: Callable | None = None,
) -> keras.Model:
    """A new model: `model` tuned towards targets.

    targets: mined from the images `x`.
    masks: layer name -> bool (inputs, outputs), the connections of convolutions that may change (None: all).
        Convolutions without a mask, biases and batch-norm parameters may change; the head after R stays bit-identical.
    key: the key neurons of each selected sample, bool (K, channels of R) (None: all).
    steps: batches, drawn with replacement.
    epochs: passes over the samples, in place of `steps`.
    Other arguments as in train.fine_tune.
    Raises ValueError where targets, images, model or masks do not belong together.
    """
    check(model, targets, x)
    tuned = keras.models.clone_model(model)
    tuned.set_weights(model.get_weights())
    tune_weights(
        tuned,
        targets,
        x[targets.index],
        masks=masks,
        key=key,
        steps=None if epochs else steps,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        seed=seed,
        training=not freeze_statistics,
        reset_optimizer=reset_optimizer,
        progress=progress,
    )
    return tuned


def tune_weights(
    model: keras.Model,
    targets: Targets,
    selected: numpy.ndarray,
    *,
    masks: dict | None = None,
    key: numpy.ndarray | None = None,
    **settings: Any,
) -> list[float]:
    """As `tune`, but changes the weights of `model` itself; returns the mean loss of each step.

    selected: the images of the targets (K, ...).
    masks, key: as of `tune`.
    settings: of train.fine_tune; training=True lets batch-norm statistics move, and dropout before R act.
    """
    # The regression model G shares its weights with the classifier.
    regression = transform.transform(model, targets.layer)
    if tuple(targets.activation.shape[1:]) != tuple(regression.output_shape[1:]):
        raise ValueError(
            f"targets have shape {tuple(targets.activation.shape[1:])} but {regression.layers[-1].name} gives "
            f"{tuple(regression.output_shape[1:])}: mine them at the same layer of the same model"
        )
    if key is not None and (key.shape != (len(targets.index), regression.output_shape[-1]) or not key.any(1).all()):
        raise ValueError(
            f"the key neurons have shape {key.shape}, expected {(len(targets.index), regression.output_shape[-1])} "
            "with at least one True a row: one row a selected sample"
        )
    # Adam on L; after each step the kernel entries outside the slice are restored.
    restore = [] if masks is None else list(_kernels(regression, masks))
    return tuning.fine_tune(
        regression,
        selected,
        targets.activation if key is None else (targets.activation, key),
        loss=squared_error if key is None else key_squared_error,
        restore=restore,
        regularise=False,
        **{"training": False, **settings},
    )


def tune_classifier(
    model: keras.Model,
    index: numpy.ndarray,
    x: numpy.ndarray,
    y: numpy.ndarray,
    *,
    frozen_below: str | None,
    **settings: Any,
) -> list[float]:
    """dare-sl, in place: tune the classifier on the selected samples and their labels, MSE on softmax [P].

    index: the selected rows of the images x and their labels y.
    frozen_below: the first layer that is tuned (None: all are); settings: of train.fine_tune.
    Returns the mean loss of each step.
    """
    with tuning.frozen_below(model, frozen_below):
        return tuning.fine_tune(model, x[index], y[index].astype("int32"), loss=softmax_squared_error, **settings)


def improve(
    model: keras.Model,
    variant: Variant,
    targets: Targets,
    x: numpy.ndarray,
    y: numpy.ndarray,
    *,
    slices: Slice,
    learning_rate: float,
    seed: int,
    frozen_below: str | None = None,
    progress: Callable | None = None,
) -> list[float]:
    """Apply a Variant to `model` in place; returns the mean loss of each step.

    targets: the targets of the variant (dare.retarget.of_variant).
    x, y: the mined images and their labels.
    slices: nnslicer.Slice, for masks and key neurons.
    learning_rate, seed, progress: as of train.fine_tune.
    frozen_below: the first layer that is tuned by a variant through the classifier (train.params.FIRST_TUNED).
    """
    settings = {
        "steps": variant.steps,
        "epochs": variant.epochs,
        "batch_size": variant.batch_size,
        "learning_rate": learning_rate,
        "seed": seed,
        "reset_optimizer": variant.reset_optimizer,
        "progress": progress,
    }
    if variant.through == "classifier":
        return tune_classifier(model, targets.index, x, y, frozen_below=frozen_below, **settings)
    masks = slice_masks(model, slices, variant.combine, targets.layer) if variant.combine else None
    key = None
    if variant.neurons:
        key = key_neurons.key_channels(model, slices, targets.layer, variant.neurons)[y[targets.index]]
    return tune_weights(
        model,
        targets,
        x[targets.index],
        masks=masks,
        key=key,
        training=variant.statistics == "moving",
        **settings,
    )


def slice_masks(model: keras.Model, slices: Slice, combine: str, layer: str | None = None) -> dict:
    """The masks of the convolutions up to the regression layer: layer name -> bool (inputs, outputs).

    slices: nnslicer.Slice of the model.
    combine: of nnslicer.COMBINES; layer: the regression layer (default: transform.regression_layer).
    """
    inner = transform.transform(model, layer).layers
    convolutions = {layer.name for layer in inner if isinstance(layer, transform.CONVOLUTIONS)}
    return {name: slices.mask(name, combine) for name in slices.kept if name in convolutions}


def check(model: keras.Model, targets: Targets, x: numpy.ndarray) -> None:
    """Raise ValueError where targets were mined from another model or other images.

    model: the final model; x: the images that targets were mined from.
    """
    if targets.model and targets.model != models.fingerprint(model):
        raise ValueError("the targets were mined for another model than the one to tune: run get_ats for this one")
    if not len(targets.index):
        raise ValueError("the targets select no sample: nothing can be tuned")
    outside = [int(row) for row in (numpy.min(targets.index), numpy.max(targets.index)) if not 0 <= row < len(x)]
    if outside:
        raise ValueError(f"the targets point to image {outside[0]}, but there are {len(x)} images")
    if targets.data and targets.data != files.fingerprint(x):
        raise ValueError("the targets were mined from other images (or another dtype of them) than these: mine these")


def _kernels(regression, masks):
    """Yield (kernel, its mask as an array of the same shape) for every masked layer."""
    layers = {layer.name: layer for layer in regression.layers if isinstance(layer, transform.WEIGHTED)}
    for name, mask in masks.items():
        if name not in layers:
            raise ValueError(
                f"a mask names layer {name!r}; maskable layers up to the regression layer: {', '.join(layers)}"
            )
        kernel = layers[name].kernel
        if tuple(mask.shape) != tuple(kernel.shape[-2:]):
            raise ValueError(f"the mask of {name} has shape {tuple(mask.shape)}, expected {tuple(kernel.shape[-2:])}")
        yield kernel, numpy.broadcast_to(numpy.asarray(mask, bool), tuple(kernel.shape)).copy()
