"""Batch norm with PyTorch's conventions."""

from __future__ import annotations  # its types load no library (pipeline/late.py)

import math

import keras

from models.compute.variables import Tensor


@keras.saving.register_keras_serializable("models")
class BatchNormalization(keras.layers.BatchNormalization):
    """Keras's batch norm with PyTorch's moving variance: n / (n - 1) times the batch's, for n values a channel.

    The batch itself is normalised by its own variance, as in Keras; the class name in files is Keras's too. A batch
    with a single value a channel, which PyTorch refuses, has variance 0. Import `models` before loading a saved net.
    """

    __module__ = "models.layers"  # as saved nets name it

    def call(self, inputs: Tensor, training: bool | None = None, mask: Tensor | None = None) -> Tensor:
        """The normalised inputs (N, ..., C). Arguments as Keras's layer; a mask leaves all to that layer."""
        if not (training and self.trainable) or self.renorm or mask is not None:
            return super().call(inputs, training=training, mask=mask)
        x = keras.ops.cast(inputs, keras.backend.result_type(inputs.dtype, "float32"))
        axes = [axis for axis in range(len(x.shape)) if axis != self.axis % len(x.shape)]
        mean, variance = keras.ops.moments(x, axes=axes, synchronized=self.synchronized)
        shape = keras.ops.shape(x)
        count = keras.ops.cast(math.prod(shape[axis] for axis in axes), x.dtype)
        unbiased = variance * count / keras.ops.maximum(count - 1, 1)
        for moving, value in ((self.moving_mean, mean), (self.moving_variance, unbiased)):
            moving.assign(keras.ops.cast(moving, x.dtype) * self.momentum + value * (1.0 - self.momentum))
        gamma, beta = (
            None if weight is None else keras.ops.cast(weight, x.dtype) for weight in (self.gamma, self.beta)
        )
        outputs = keras.ops.batch_normalization(
            x, mean, variance, self.axis, offset=beta, scale=gamma, epsilon=self.epsilon
        )
        return keras.ops.cast(outputs, self.compute_dtype)
