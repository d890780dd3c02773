"""FI, Arachne's forward impact: an entry's share of what its output receives, times the output's share of the gradient.

front_ij = mean over images of |a_i w_ij| / sum_i' |a_i' w_i'j|; behind_j = mean over images of |g_j| / sum_j' |g_j'|
with g the gradient of the sum of the logits with respect to the layer's output (activation included); FI = front
behind. Of a convolution the same at every output position, where the sum is over the window of one image, and FI is the
sum over positions (Sohn, Kang, Yoo, TOSEM 32(4) 2023).

1. [D] Without loops: n = op(|a|, |W|) and FI = |W| times the kernel gradient of op at the input |a| for the output
   gradient behind / n, over the number of images; 0 where n = 0.
2. [D] Released: fronts of convolutions are stacked channel by channel, then read as position by position.
"""

from __future__ import annotations  # its types load no library (pipeline/late.py)

import keras
import numpy

import data
from dare.repair import cut, linear
from models import compute


def of(model: keras.Model, sets: list, layers: dict, *, batch_size: int = 256) -> list[dict[str, numpy.ndarray]]:
    """For each set of images: name -> FI of every kernel entry, float64 in the shape of the kernel.

    sets: arrays of images (N, H, W, C), each with at least one; layers: name -> layer (kernels.layers). For each layer
    two forward passes and a backward one.
    batch_size: images in one pass.
    """
    result = [{} for _ in sets]
    for name, layer in layers.items():
        run = compute.compiled(keras.Model(model.inputs[0], layer.input), _fronts(layer))
        size = numpy.abs(keras.ops.convert_to_numpy(layer.kernel)).astype("float64")
        for impacts, x, share in zip(result, sets, behind(model, sets, layer, batch_size=batch_size), strict=True):
            share, total = share.astype("float32"), numpy.zeros(size.shape)
            for start in range(0, len(x), batch_size):
                total += numpy.asarray(run(data.to_unit(x[start : start + batch_size]), share), "float64")
            impacts[name] = size * total / len(x)
    return result


def behind(model: keras.Model, sets: list, layer: keras.Layer, *, batch_size: int = 256) -> list[numpy.ndarray]:
    """For each set of images the outputs' shares of the gradient, float64 in the shape of one image's output.

    layer: a layer of the model; other arguments as of `of`.
    They sum to 1; an image whose gradient is 0 everywhere adds nothing.
    """
    shape = tuple(layer.output.shape[1:])
    if layer.output is model.outputs[0]:
        return [numpy.full(shape, 1 / shape[-1])] * len(sets)  # of the logits themselves
    parts = cut.after(model, layer.name)
    place = [tensor is layer.output for tensor in parts.tensors].index(True)

    def shares(call, *activations):
        def logits(output):
            return cut.joined(call, *activations[:place], output, *activations[place + 1 :]), None

        gradient = keras.ops.abs(compute.gradient(logits, activations[place])[1])
        total = keras.ops.sum(gradient, axis=tuple(range(1, len(gradient.shape))), keepdims=True)
        return keras.ops.sum(gradient / keras.ops.where(total > 0, total, 1.0), axis=0)

    run, result = compute.compiled(parts.suffix, shares, any_count=True), []
    for x in sets:
        result.append(numpy.zeros(shape))
        for start in range(0, len(x), batch_size):
            result[-1] += numpy.asarray(run(*parts.activations(x[start : start + batch_size])), "float64") / len(x)
    return result


def _fronts(layer):
    """``fronts(call, images, share)``: the kernel gradient of the layer's map at |a| for the gradient share / n."""

    def fronts(call, images, share):
        received, kernel = keras.ops.abs(call(images)), keras.ops.abs(layer.kernel)
        total = linear.apply(layer, received, kernel)
        gradient = keras.ops.where(total > 0, share / keras.ops.where(total > 0, total, 1.0), 0.0)
        return linear.kernel_gradient(layer, received, gradient)

    return fronts
