"""The linear map of a dense or convolutional layer, without bias and activation, and the gradient of its kernel.

The gradient with respect to the kernel sums, for each entry, (what the entry receives) x (gradient of the output) over
images and positions. So sums over the window of a convolution need no loop over its entries.
"""

from __future__ import annotations  # its types load no library (pipeline/late.py)

import keras

from models import compute
from models.compute.variables import Tensor


def apply(layer: keras.Layer, received: Tensor, kernel: Tensor) -> Tensor:
    """The layer's linear map of what it receives, with another kernel. Inside a compiled function."""
    if isinstance(layer, keras.layers.Dense):
        return keras.ops.matmul(received, kernel)
    return keras.ops.conv(
        received,
        kernel,
        strides=layer.strides,
        padding=layer.padding,
        data_format=layer.data_format,
        dilation_rate=layer.dilation_rate,
    )


def kernel_gradient(layer: keras.Layer, received: Tensor, output_gradient: Tensor) -> Tensor:
    """d sum(output_gradient x apply(layer, received, kernel)) / d kernel, in the shape of the kernel.

    received: (N, ...); output_gradient: (N, ..., outputs), the same shape as the layer's output.
    """
    shape = (*layer.kernel.shape[:-1], output_gradient.shape[-1])

    def total(kernel):
        return keras.ops.sum(output_gradient * apply(layer, received, kernel)), None

    return compute.gradient(total, keras.ops.zeros(shape, "float32"))[1]
