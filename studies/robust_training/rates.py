"""The learning rate of a method of robust training, chosen on held-out images by a short run at each of several."""

from __future__ import annotations  # its types load no library (pipeline/late.py)

import pathlib
from collections.abc import Callable, Sequence

from train import robust
from train.diverged import Diverged
from train.history import History

SHARE = 0.25  # of a training's length, of the run of each rate


def choose(
    rates: Sequence[float], run: Callable, folder: pathlib.Path, select: str
) -> tuple[float, dict[str, float | None], float]:
    """(the rate, what each reached, BP-epochs of all their runs); the smallest of rates that reach the same.

    rates: learning rates.
    run: ``run(rate, path)`` -> the History of a run at a rate, which is kept in `path` and resumed.
    folder: of the histories, one a rate.
    select: the probe's measure that selects epochs, and the rate by its selected epoch; None is reached where the loss
        is not finite.
    Raises Diverged if it is finite at no rate.
    """
    reached, passes = {}, 0.0
    for rate in sorted({*rates}):
        path = folder / f"rate-{rate:g}"
        try:
            history = run(rate, path)
        except Diverged:
            history, reached[rate] = History(path), None
        else:
            reached[rate] = history.record(robust.selected(history, select))[2][select]
        passes += history.record(history.last)[2]["bp_epochs"] if history.last else 0.0
    finite = {rate: value for rate, value in reached.items() if value is not None}
    if not finite:
        raise Diverged(f"the loss is finite at none of the learning rates {sorted(reached)}: give lower ones")
    return max(finite, key=finite.get), {f"{rate:g}": value for rate, value in reached.items()}, passes
