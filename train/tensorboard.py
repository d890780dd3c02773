"""Optional TensorBoard log of a training run: the metrics of every epoch as scalars."""

import pathlib
from collections.abc import Callable


def logger(folder: pathlib.Path | str) -> Callable:
    """A function for fit's `on_epoch` that writes the newest epoch's metrics to `folder`.

    Raises ValueError if the package tensorboard is not installed.
    """
    try:
        from tensorboard.summary import Writer
    except ImportError as error:
        raise ValueError("--tensorboard needs the package tensorboard: pip install tensorboard") from error
    writer = Writer(str(folder))

    def log(history):
        _, _, metrics = history.record(history.last)
        for name, value in metrics.items():
            if name != "epoch":
                writer.add_scalar(name, value, metrics["epoch"])
        writer.flush()

    return log
