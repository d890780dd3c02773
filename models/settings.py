"""Fix Keras's global settings while models are built; a keras.json or another package may have changed them.

Images are (N, H, W, C) and values float32 in this project; Keras takes the defaults of new layers from its settings.
"""

import contextlib
import typing
from collections.abc import Iterator

import keras

HELD = {"image_data_format": "channels_last", "floatx": "float32", "dtype_policy": "float32", "epsilon": 1e-7}


def pin(**changes: typing.Any) -> None:
    """Set Keras's global settings to HELD, except for `changes`, whatever keras.json contains."""
    for name, value in (HELD | changes).items():
        getattr(keras.config, f"set_{name}")(value)


@contextlib.contextmanager
def pinned(**changes: typing.Any) -> Iterator[None]:
    """As `pin` within the context; afterwards the previous settings return."""
    before = {name: getattr(keras.config, name)() for name in HELD}
    pin(**changes)
    try:
        yield
    finally:
        pin(**before)
