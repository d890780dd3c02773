"""Forward impact: how much a kernel entry contributes to what its layer computes (NeuRecover, SANER 2022).

F_S(w_ij) = mean over the images x of S of |a_i(x) w_ij| = |w_ij| A_S(i), where a(x) is what the layer receives.
Of a convolution A_S(u, v, c) is the mean over images and output positions of |input at offset (u, v), channel c| [D];
released: convolutions have none, and are never repaired.
"""

from __future__ import annotations  # its types load no library (pipeline/late.py)

import math

import keras
import numpy

import data
from dare.repair import kernels as kernels_of
from dare.repair import linear
from models import compute


def of(model: keras.Model, sets: list, layers: dict, *, batch_size: int = 256) -> list[dict[str, numpy.ndarray]]:
    """For each set of images: name -> forward impact of every kernel entry, float64 in the shape of the kernel.

    sets: arrays of images (N, H, W, C); the impact on no image is 0. layers: name -> layer (kernels.layers).
    batch_size: images in one forward pass.
    """
    weights, place = model.get_weights(), kernels_of.places(model, layers)
    size = {name: numpy.abs(weights[place[name]], dtype="float64") for name in layers}
    received = received_by(model, sets, layers, batch_size=batch_size)
    return [{name: size[name] * mean for name, mean in means.items()} for means in received]


def received_by(model: keras.Model, sets: list, layers: dict, *, batch_size: int = 256) -> list[dict]:
    """For each set of images: name -> A_S, the mean magnitude that reaches each entry's input, (..., inputs, 1).

    Arguments as of `of`.
    """
    items = list(layers.values())

    def sums(call, images):
        received = keras.tree.flatten(call(images))
        return tuple(_sum(layer, keras.ops.abs(part)) for layer, part in zip(items, received, strict=True))

    run = compute.compiled(keras.Model(model.inputs[0], [layer.input for layer in items]), sums, any_count=True)
    result = []
    for x in sets:
        totals = [numpy.zeros((*layer.kernel.shape[:-1], 1)) for layer in items]
        for start in range(0, len(x), batch_size):
            parts = run(data.to_unit(x[start : start + batch_size]))
            totals = [total + numpy.asarray(part, "float64") for total, part in zip(totals, parts, strict=True)]
        counts = [max(1, len(x)) * math.prod(layer.output.shape[1:-1]) for layer in items]
        result.append({name: total / count for name, total, count in zip(layers, totals, counts, strict=True)})
    return result


def _sum(layer, received):
    """The sum over images and output positions of what each entry of one output receives: (..., inputs, 1)."""
    ones = keras.ops.ones((*layer.kernel.shape[:-1], 1), "float32")
    return linear.kernel_gradient(layer, received, keras.ops.ones_like(linear.apply(layer, received, ones)))
