"""A user's own images in the order in which a metric would have them labelled and retrained on."""

from __future__ import annotations

import keras
import numpy

from adv.guided import ordering, retraining
from models import contract


def rank(
    model: keras.Model,
    x_train: numpy.ndarray | None,
    y_train: numpy.ndarray | None,
    x_new: numpy.ndarray,
    metric: str = "dsa",
    *,
    seed: int = 0,
    batch_size: int = 512,
) -> tuple[numpy.ndarray, numpy.ndarray]:
    """(order, scores) of new images: the indices from the most useful on, int64 (N,), and float64 (N,) by image.

    model: returns logits; models.to_logits removes a softmax.
    x_train, y_train: clean training images (M, H, W, C) and integer labels (M,), with which "lsa" and "dsa" compare;
        for the other metrics they may be None. Labels are checked only: classes are the predicted ones [P].
    x_new: images (N, H, W, C), uint8 or floats in [0, 1]; no label is needed.
    metric: of ordering.METRICS, but those by FOL, which need the originals of attacked images.
    seed: of "random".
    batch_size: images predicted together.
    Ties: as ordering.TIES. Warnings as surprise.lsa and surprise.dsa.
    Raises ValueError for another metric, missing training images, and as adv.search.minimal.
    """
    known = [name for name, entry in ordering.METRICS.items() if not entry.by_fol]
    if metric not in known:
        raise ValueError(f"metric is {metric!r}, expected one of {', '.join(known)}")
    contract.check(model, x_new, batch_size=batch_size)
    if x_train is None and ordering.METRICS[metric].referenced:
        free = [name for name in known if not ordering.METRICS[name].referenced]
        raise ValueError(f"{metric} compares with training images, and none are given: pass them, or take {free[0]}")
    activations, classes, probabilities = retraining.traces(model, x_new, batch_size=batch_size)
    reference, reference_classes = activations[:0], classes[:0]
    if x_train is not None and ordering.METRICS[metric].referenced:
        contract.check(model, x_train, y_train, batch_size=batch_size)
        reference, reference_classes, _ = retraining.traces(model, x_train, batch_size=batch_size)
    context = ordering.Context(reference, reference_classes, activations, classes, probabilities, seed=seed)
    scores = numpy.asarray(ordering.METRICS[metric].score(context), numpy.float64)
    return ordering.METRICS[metric].arrange(scores, seed), scores
