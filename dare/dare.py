"""DARE: tune the inner layers towards the surest epoch's activations, along the slice, and keep the head.

Source: DARE, ASE 2022; TOSEM 33(3) 2024, section 3.3. For selected samples x_i with targets T_i,
    L = 1/B sum_i mean_p (T_i[p] - G(x_i)[p])^2
over all of the regression layer R; ten steps of Adam, each on 128 samples drawn with replacement; after each step
every convolution weight outside the slice is put back [P].
  D1 [D] one mask for all classes: the intersection of the class slices (the union freezes almost nothing).
  D2 [D] batch-norm statistics are frozen and Adam keeps its state between steps; the released code does neither
     (`freeze_statistics`, `reset_optimizer`).
  D3 [D] the mean is over all of R; the papers' key neurons are unpublished: `key` restricts it (dare.key_neurons).
"""

import keras
import numpy

import models
from dare import key_neurons, transform
from dare.variants import VARIANTS, Variant
from data import files
from train import fine_tune as tuning

__all__ = ["VARIANTS", "Variant", "check", "improve", "slice_masks", "tune", "tune_classifier", "tune_weights"]


def squared_error(outputs, targets):
    """Mean squared error over everything but the batch: (N, ...), (N, ...) -> (N,)."""
    return keras.ops.mean(keras.ops.square(targets - outputs), axis=tuple(range(1, len(outputs.shape))))


def key_squared_error(outputs, targets, key):
    """Mean squared error over the key channels: (N, ..., C) twice, bool (N, C) with at least one a row -> (N,)."""
    square = keras.ops.square(targets - outputs)
    channels = keras.ops.mean(square, axis=tuple(range(1, len(square.shape) - 1)))
    key = keras.ops.cast(key, channels.dtype)
    return keras.ops.sum(channels * key, axis=1) / keras.ops.sum(key, axis=1)


def softmax_squared_error(logits, labels):
    """Mean squared error between softmax and one-hot labels: (N, K), integer (N,) -> (N,)."""
    probabilities = keras.ops.softmax(logits)
    return squared_error(probabilities, keras.ops.one_hot(labels, logits.shape[-1], dtype=probabilities.dtype))


def tune(
    model,
    targets,
    x,
    *,
    masks=None,
    key=None,
    steps=10,
    epochs=None,
    batch_size=128,
    learning_rate=1e-6,
    seed=0,
    freeze_statistics=True,
    reset_optimizer=False,
    progress=None,
):
    """Return a new model: `model` tuned towards `targets`, a get_ats.Targets mined from the images `x`.

    masks: layer name -> (inputs, outputs) bool, the connections of convolutions that may change (None: all);
    convolutions without a mask, biases and batch-norm parameters are free, the head after R is bit-identical.
    key: bool (K, channels of R), the key neurons of each selected sample (None: all). steps: batches drawn with
    replacement; or give `epochs` instead. Other arguments as in train.fine_tune.
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


def tune_weights(model, targets, selected, *, masks=None, key=None, **settings):
    """As `tune`, in place: selected (K, ...) are the images of the targets, settings those of train.fine_tune.

    training: True lets batch-norm statistics move, and dropout before R act.
    """
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


def tune_classifier(model, index, x, y, *, frozen_below, **settings):
    """dare-sl, in place: the whole classifier on the selected samples and their labels, MSE on softmax [P]."""
    with tuning.frozen_below(model, frozen_below):
        return tuning.fine_tune(model, x[index], y[index].astype("int32"), loss=softmax_squared_error, **settings)


def improve(model, variant, targets, x, y, *, slices, learning_rate, seed, frozen_below=None, progress=None):
    """Apply a Variant to `model` in place. targets: those that the variant asks for (dare.retarget.of_variant); slices:
    nnslicer.Slice, read for masks and key neurons; frozen_below: the first layer that a variant through the classifier
    tunes (train.params.FIRST_TUNED)."""
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


def slice_masks(model, slices, combine, layer=None):
    """The masks of the convolutions up to the regression layer: layer name -> (inputs, outputs) bool."""
    inside = {one.name for one in transform.transform(model, layer).layers if isinstance(one, transform.CONVOLUTIONS)}
    return {name: slices.mask(name, combine) for name in slices.kept if name in inside}


def check(model, targets, x):
    """Raise ValueError where targets were mined from another model or other images."""
    if targets.model and targets.model != models.fingerprint(model):
        raise ValueError("the targets were mined for another model than the one to tune: run get_ats for this one")
    if not len(targets.index):
        raise ValueError("the targets select no sample: nothing can be tuned")
    if int(numpy.max(targets.index)) >= len(x):
        raise ValueError(f"the targets point to image {int(numpy.max(targets.index))}, but there are {len(x)} images")
    if targets.data and targets.data != files.fingerprint(x):
        raise ValueError("the targets were mined from other images (or another dtype of them) than these: mine these")


def _kernels(regression, masks):
    names = {layer.name: layer for layer in regression.layers}
    for name, mask in masks.items():
        if name not in names or not isinstance(names[name], transform.WEIGHTED):
            valid = ", ".join(one for one, layer in names.items() if isinstance(layer, transform.WEIGHTED))
            raise ValueError(f"a mask names layer {name!r}; maskable layers up to the regression layer: {valid}")
        kernel = names[name].kernel
        if tuple(mask.shape) != tuple(kernel.shape[-2:]):
            raise ValueError(f"the mask of {name} has shape {tuple(mask.shape)}, expected {tuple(kernel.shape[-2:])}")
        yield kernel, numpy.broadcast_to(numpy.asarray(mask, bool), tuple(kernel.shape)).copy()
