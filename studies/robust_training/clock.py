"""What a robust training took, epoch by epoch: seconds, and metrics.csv."""

from __future__ import annotations  # its types load no library (pipeline/late.py)

import pathlib
import time
from collections.abc import Callable

from data import files
from train.history import History


class Clock:
    """Seconds of each epoch, and its probe's part of them: what follows its last batch. Kept in a file of their own,
    since they differ where everything else is the same."""

    def __init__(self, path):
        self.path = path
        self.started_at = self.last_batch_at = time.monotonic()
        self.epochs = files.read_sealed(path)["epochs"] if path.is_file() else {}

    def listen(self, progress: Callable) -> Callable:
        """The progress of each batch, which is passed on."""

        def on_batch(*progressed):
            self.last_batch_at = time.monotonic()
            progress(*progressed)

        return on_batch

    def note(self, epoch: int) -> None:
        """An epoch has ended: keep its seconds."""
        now = time.monotonic()
        self.epochs[str(epoch)] = {
            "seconds": round(now - self.started_at, 2),
            "probe_seconds": round(now - self.last_batch_at, 2),
        }
        self.started_at = now
        files.write_sealed(self.path, {"epochs": self.epochs})

    def of(self, epoch: int) -> dict:
        """The seconds of an epoch; None where they were not measured."""
        return self.epochs.get(str(epoch), {"seconds": None, "probe_seconds": None})

    def total(self, what: str) -> float:
        """The sum over epochs. what: "seconds" or "probe_seconds"."""
        return sum(epoch[what] for epoch in self.epochs.values())


def write_metrics(history: History, clock: Clock, path: pathlib.Path, recorded: dict[int, dict]) -> None:
    """One CSV line an epoch, rewritten whole. recorded: the metrics of the epochs read so far, which grows."""
    for epoch in history.epochs:
        if epoch not in recorded:
            recorded[epoch] = history.record(epoch)[2]
    rows = [
        {name: value for name, value in metrics.items() if name != "controller"} | clock.of(epoch)
        for epoch, metrics in recorded.items()
    ]
    first = ["epoch", "steps", "bp_epochs", "seconds", "probe_seconds"]
    files.write_csv(path, [*first, *(name for name in sorted(rows[0]) if name not in first)], rows)
