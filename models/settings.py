"""Keras's global settings, which a keras.json or another package may have changed, held where models are made.

Images are (N, H, W, C) and numbers float32 in this project; Keras reads the defaults of new layers from its settings.
"""

import contextlib

import keras

HELD = {"image_data_format": "channels_last", "floatx": "float32", "dtype_policy": "float32", "epsilon": 1e-7}


def pin(**changes):
    """Set what this project's commands run under, whatever keras.json says: HELD, but for the changes."""
    for name, value in (HELD | changes).items():
        getattr(keras.config, f"set_{name}")(value)


@contextlib.contextmanager
def pinned(**changes):
    """As `pin`, until the context ends: then the settings are what they were."""
    before = {name: getattr(keras.config, name)() for name in HELD}
    pin(**changes)
    try:
        yield
    finally:
        pin(**before)
