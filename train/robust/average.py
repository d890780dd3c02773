"""AVERAGES: averages of the weights along a run, for any method; attacks and updates see the weights themselves.

What is evaluated, selected and saved as an epoch's weights is the average; the run's own weights are a part of the
epoch's state. Batch norm's moving statistics are averaged too.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator

import keras
import numpy

from models import updates
from train import batch_norm


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ema:
    """e <- tau e + (1 - tau) w after every batch, tau = min(decay, (t + 1) / (t + 10)), t from 0.

    SEAT: Wang, Wang, ICLR 2022, whose tau it is.
    decay: tau, at most.
    warm_up: False: tau is the decay from the first, as in other publications.
    start: fraction of the run from which weights are averaged, beginning with a copy; before, the average is w.
    A batch that is replayed counts once [D]. Keras's `use_ema` leaves batch norm's statistics out and has no warm-up.
    """

    decay: float = 0.999
    warm_up: bool = True
    start: float = 0.0

    every = "batch"
    remeasured = False

    def share(self, count: int) -> float:
        """Weight of w in the average after `count` earlier averagings."""
        if count == 0 and (self.start > 0 or not self.warm_up):
            return 1.0
        return 1 - (min(self.decay, (count + 1) / (count + 10)) if self.warm_up else self.decay)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Swa:
    """s <- s + (w - s) / (n + 1) after every epoch; batch norm's statistics are measured again for evaluation.

    Izmailov et al., UAI 2018; in robust training Chen et al., ICLR 2021, who measure them on clean augmented images.
    start: fraction of the run, at the end of an epoch, from which weights are averaged (epoch 55 of 200).
    """

    start: float = 55 / 200

    every = "epoch"
    remeasured = True

    def share(self, count: int) -> float:
        """Weight of w in the average after `count` earlier averagings."""
        return 1 / (count + 1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Median:
    """The element-wise median of the epochs' weights; batch norm's statistics are measured again for evaluation.

    MEAT, ICASSP 2024. Of an even number it is the mean of the middle two. In the released code the counter of epochs
    never rises, so that its median is epoch 75 alone; here it is what the paper says [P].
    start: fraction of the run, at the end of an epoch, from which weights count (epoch 75 of 120).
    Every epoch that counts is held in memory and in the state of the newest epoch: 4 bytes a parameter and epoch.
    """

    start: float = 75 / 120

    every = "epoch"
    remeasured = True

    def held(self, epochs: int) -> int:
        """The number of epochs that are held at the end of a run of this length, at most."""
        return math.ceil((1 - self.start) * epochs) + 1

    def of(self, epochs: list[numpy.ndarray]) -> list[numpy.ndarray]:
        """The median of each array. epochs: the values of each weight in all epochs, (T, ...)."""
        return [numpy.median(values, axis=0).astype(values.dtype) for values in epochs]


AVERAGES = {"ema": Ema(), "swa": Swa(), "median": Median()}
TITLES = {
    "ema": ("exponential average of the weights", "Wang, Wang, ICLR 2022"),
    "swa": ("mean of the epochs' weights", "Chen, Zhang, Liu, Chang, Wang, ICLR 2021"),
    "median": ("median of the epochs' weights", "MEAT, ICASSP 2024"),
}


class Average:
    """The average of a model's weights by a rule (Ema, Swa or Median) in one run."""

    def __init__(self, rule: Ema | Swa | Median, model: keras.Model) -> None:
        self.rule, self.model, self.count = rule, model, 0
        self.averages = [keras.Variable(weight, trainable=False, dtype=weight.dtype) for weight in model.weights]
        self.blend: Callable = updates.blend(model.weights, self.averages)
        self.own = _values(model.weights)
        self.epochs = [value[None][:0] for value in self.own] if isinstance(rule, Median) else []

    def after(self, what: str, progress: float) -> None:
        """Average after a "batch" or an "epoch", with a fraction `progress` of the run done."""
        if what == self.rule.every and progress >= self.rule.start - 1e-9:
            if self.epochs:
                values = _values(self.model.weights)
                self.epochs = [numpy.append(kept, [new], 0) for kept, new in zip(self.epochs, values, strict=True)]
                _assign(self.averages, self.rule.of(self.epochs))
            else:
                self.blend(numpy.float32(self.rule.share(self.count)))
            self.count += 1

    @contextlib.contextmanager
    def shown(self, images: Callable[[], Iterable[numpy.ndarray]]) -> Iterator[None]:
        """The model with the averaged weights, if there are any yet, and after that with its own again.

        images: ``images()`` yields batches on which batch norm's statistics are measured again, where the rule says so.
        """
        self.own = _values(self.model.weights)
        if self.count:
            _assign(self.model.weights, _values(self.averages))
            if self.rule.remeasured:
                batch_norm.remeasure(self.model, images())
        try:
            yield
        finally:
            _assign(self.model.weights, self.own)

    @property
    def passes(self) -> float:
        """Forward and backward passes per image of showing it, now."""
        return 0.5 if self.count and self.rule.remeasured else 0.0

    def state(self) -> dict[str, numpy.ndarray]:
        """The run's own weights while the average is shown, the number of averagings, and a median's epochs."""
        arrays = {f"own-{place:04d}": value for place, value in enumerate(self.own)}
        arrays |= {f"epochs-{place:04d}": values for place, values in enumerate(self.epochs)}
        return {"count": numpy.int64(self.count), **arrays}

    def restore(self, state: dict[str, numpy.ndarray]) -> None:
        """Continue from a state, with the averaged weights in the model."""
        self.count = int(state["count"])
        _assign(self.averages, _values(self.model.weights))
        _assign(self.model.weights, [state[name] for name in self.state() if name.startswith("own-")])
        self.epochs = [state[name] for name in self.state() if name.startswith("epochs-")]


def _values(variables):
    return [numpy.array(keras.ops.convert_to_numpy(variable)) for variable in variables]


def _assign(variables, values):
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
