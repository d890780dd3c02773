"""DARE: tune the inner layers towards the surest epoch's activations, along the slice, and keep the head.

Source: DARE, ASE 2022; TOSEM 33(3) 2024, section 3.3. For selected samples x_i with targets T_i,
    L = 1/B sum_i mean_p (T_i[p] - G(x_i)[p])^2
over all of the regression layer R; ten steps of Adam, each on 128 samples drawn with replacement; after each step
every convolution weight outside the slice is put back [P].
  D1 [D] one mask for all classes: the intersection of the class slices (the union freezes almost nothing).
  D2 [D] batch-norm statistics are frozen and Adam keeps its state between steps; the released code does neither.
"""

import dataclasses

import keras
import numpy

import models
from dare import transform
from data import files
from train import fine_tune as tuning


@dataclasses.dataclass(frozen=True, kw_only=True)
class Variant:
    """One way to use mined targets. through: "regression" tunes G, "classifier" the whole net on one-hot labels.

    combine: how the class slices become one mask (None: no slicing); steps or epochs: the budget; learning_rates: the
    published value, or for DARE (whose published values destroy some models [D]) the grid that a study chooses from on
    validation adversarials.
    """

    title: str
    through: str = "regression"
    combine: str | None = None
    steps: int | None = None
    epochs: int | None = None
    batch_size: int = 128
    learning_rates: tuple = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2)


VARIANTS = {
    "dare": Variant(title="DARE", combine="intersection", steps=10),
    "dare-s": Variant(title="DARE without slicing", epochs=10, batch_size=32, learning_rates=(1e-6,)),
    "dare-sl": Variant(
        title="DARE without slicing and transformation",
        through="classifier",
        epochs=10,
        batch_size=32,
        learning_rates=(1e-4,),
    ),
}


def squared_error(outputs, targets):
    """Mean squared error over everything but the batch: (N, ...), (N, ...) -> (N,)."""
    axes = tuple(range(1, len(outputs.shape)))
    return keras.ops.mean(keras.ops.square(targets - outputs), axis=axes)


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
    steps: batches drawn with replacement; or give `epochs` instead. Other arguments as in train.fine_tune.
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


def tune_weights(model, targets, selected, *, masks=None, **settings):
    """As `tune`, in place: selected (K, ...) are the images of the targets, settings those of train.fine_tune."""
    regression = transform.transform(model, targets.layer)
    if tuple(targets.activation.shape[1:]) != tuple(regression.output_shape[1:]):
        raise ValueError(
            f"targets have shape {tuple(targets.activation.shape[1:])} but {regression.layers[-1].name} gives "
            f"{tuple(regression.output_shape[1:])}: mine them at the same layer of the same model"
        )
    restore = [] if masks is None else list(_kernels(regression, masks))
    return tuning.fine_tune(
        regression,
        selected,
        targets.activation,
        loss=squared_error,
        restore=restore,
        regularise=False,
        **{"training": False, **settings},
    )


def tune_classifier(model, index, x, y, *, frozen_below, **settings):
    """dare-sl, in place: the whole classifier on the selected samples and their labels, MSE on softmax [P]."""
    with tuning.frozen_below(model, frozen_below):
        return tuning.fine_tune(model, x[index], y[index].astype("int32"), loss=softmax_squared_error, **settings)


def improve(model, variant, targets, x, y, *, slices, learning_rate, seed, frozen_below=None, progress=None):
    """Apply a Variant to `model` in place. slices: nnslicer.Slice, used where the variant combines class slices;
    frozen_below: the first layer that a variant through the classifier tunes (train.params.FIRST_TUNED)."""
    settings = {
        "steps": variant.steps,
        "epochs": variant.epochs,
        "batch_size": variant.batch_size,
        "learning_rate": learning_rate,
        "seed": seed,
        "progress": progress,
    }
    if variant.through == "classifier":
        return tune_classifier(model, targets.index, x, y, frozen_below=frozen_below, **settings)
    masks = slice_masks(model, slices, variant.combine, targets.layer) if variant.combine else None
    return tune_weights(model, targets, x[targets.index], masks=masks, **settings)


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
