"""Keras's global settings, which a keras.json or another package may have changed, held where models are made.

Images are (N, H, W, C) and numbers float32 in this project; Keras reads the defaults of new layers from its settings.
"""

import contextlib

import keras


@contextlib.contextmanager
def pinned(policy=None):
    """While it lasts, layers are made channels_last and in float32, or by the dtype policy of this name."""
    before = keras.config.image_data_format(), keras.config.floatx(), keras.config.dtype_policy()
    pin()
    keras.config.set_dtype_policy(policy or "float32")
    try:
        yield
    finally:
        keras.config.set_image_data_format(before[0])
        keras.config.set_floatx(before[1])
        keras.config.set_dtype_policy(before[2])


def pin():
    """Set what this project's commands run under, whatever keras.json says: channels_last, and float32."""
    keras.config.set_image_data_format("channels_last")
    keras.config.set_floatx("float32")
    keras.config.set_dtype_policy("float32")
