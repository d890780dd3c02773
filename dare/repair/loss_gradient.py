"""The gradient of the loss with respect to every kernel: backward impact (NeuRecover), gradient loss (Arachne).

G_S(w) = |d/dw sum over the images of S of CE(f(x), y)|, at M's weights, in inference mode. NeuRecover, SANER 2022, has
it as backward impact, Arachne, TOSEM 32(4) 2023, as GL.
1. [I] NeuRecover's release differentiates the sum of the softmax outputs, which is 1 for any weights: its ranking is
   rounding noise.
"""

from __future__ import annotations  # its types load no library (pipeline/late.py)

import keras
import numpy

import data
from dare.repair.problem import Images
from models import perturb, updates


def of(
    model: keras.Model, sets: list[Images], layers: dict, *, batch_size: int = 256
) -> list[dict[str, numpy.ndarray]]:
    """For each set of images: name -> G_S of every kernel entry, float64 in the shape of the kernel (0 of no image).

    sets: problem.Images with their labels. batch_size: images in one pass.
    layers: name -> layer (kernels.layers). One forward and backward pass an image.
    """
    places = {id(variable): place for place, variable in enumerate(model.trainable_variables)}
    frozen = [name for name, layer in layers.items() if id(layer.kernel) not in places]
    if frozen:
        raise ValueError(f"layer {frozen[0]!r} is not trainable, expected gradients of its kernel: unfreeze it")
    place = {name: places[id(layer.kernel)] for name, layer in layers.items()}
    run = updates.gradients(model, _cross_entropy, training=False)
    return [_summed(run, images, layers, place, batch_size) for images in sets]


def _summed(run, images, layers, place, batch_size):
    totals = {name: numpy.zeros(tuple(layer.kernel.shape)) for name, layer in layers.items()}
    for start in range(0, len(images), batch_size):
        x = data.to_unit(images.x[start : start + batch_size])
        gradients = run(x, numpy.asarray(images.y[start : start + batch_size], "int32"))[0]
        for name in totals:
            totals[name] += len(x) * numpy.asarray(gradients[place[name]], "float64")  # of the batch's mean
    return {name: numpy.abs(total) for name, total in totals.items()}


def _cross_entropy(call, x, labels):
    return perturb.cross_entropy(call(x), labels), keras.ops.zeros(())
