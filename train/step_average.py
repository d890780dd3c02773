"""An average of the weights after every training step, beside a training that it does not touch.

It is a part of the newest epoch's state in the history (``epoch-0024.state.h5``), so it resumes with the training.
Averages that take the place of a run's weights: train/robust/average.py, which has the rules.
"""

from __future__ import annotations

import typing

import keras
import numpy

from models import updates
from train.history import History

if typing.TYPE_CHECKING:
    from train.checkpoints import Checkpoints
    from train.robust.average import Ema

MEND = "train with 1_train.py --ema-step"


class StepAverage:
    """The average of a model's weights, batch norm's statistics too, by a rule such as Ema; it begins at them."""

    def __init__(self, rule: Ema, model: keras.Model) -> None:
        self.rule, self.count = rule, 0
        self.averages = [keras.Variable(weight, trainable=False, dtype=weight.dtype) for weight in model.weights]
        self.blend = updates.blend(model.weights, self.averages)

    def after_step(self) -> None:
        """Average after a training step."""
        self.blend(numpy.float32(self.rule.share(self.count)))
        self.count += 1

    def state(self) -> dict[str, numpy.ndarray]:
        """The averages in the order of model.get_weights(), and the number of steps."""
        values = {
            name: keras.ops.convert_to_numpy(v) for name, v in zip(names(self.averages), self.averages, strict=True)
        }
        return {"steps": numpy.int64(self.count), **values}

    def restore(self, history: History) -> None:
        """Continue from the newest epoch of a history."""
        values, self.count = of_history(history, len(self.averages))
        for variable, value in zip(self.averages, values, strict=True):
            variable.assign(value)


def of_history(history: History | Checkpoints, count: int) -> tuple[list[numpy.ndarray], int]:
    """(the averaged weights, `count` arrays; the steps averaged). Raises ValueError where none were kept."""
    kept = isinstance(history, History) and history.file(history.last, "state").is_file()
    if not kept:
        raise ValueError(f"{history.path}: kept no average of the weights after every step: {MEND}")
    arrays = history.load_state(history.last, ["steps", *names(range(count))])
    return [arrays[name] for name in names(range(count))], int(arrays["steps"])


def names(values: typing.Sized) -> list[str]:
    """The names of so many arrays in a state."""
    return [f"average-{place:04d}" for place in range(len(values))]
