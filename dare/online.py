"""Mining while training runs: what get_ats would read from E/2 checkpoints, without the checkpoints.

Ours, in no paper [D]. When an epoch ends, the activations at the regression layer R are computed for the samples that
the epoch may be chosen for (epoch_choice.Candidates), and kept on the disk (online_store.Store). After training,
get_ats.mine_history chooses from the records of the history as usual, and reads the activations from the store: the
same targets as from checkpoints, bit for bit on one machine's CPU.

Training and mining may be killed at any moment and continue together:
1. the new rows are written, into slots that the state before does not use;
2. the state of the epoch is saved;
3. `fit` records the epoch;
4. a state is deleted when the state two epochs later is saved.
Anything written after the last recorded epoch is written again, also where the machine does not repeat the same bits.
"""

from __future__ import annotations  # its types load no library (pipeline/late.py)

import pathlib

import keras
import numpy

from dare import get_ats, transform
from dare.online_store import Store
from data import files
from models import compute, contract


class Miner:
    """Keeps activations while training runs: ``fit(..., history=history, observe=miner.observe)``."""

    def __init__(
        self,
        folder: str | pathlib.Path,
        model: keras.Model,
        history,
        x: numpy.ndarray,
        y: numpy.ndarray,
        *,
        epochs: int,
        layer: str | None = None,
    ):
        """folder: where the store is; it may hold that of a training that was killed.
        model: the model under training.
        history: the train.history.History that is trained into.
        x, y: the held-out images and their labels.
        epochs: length of the whole training.
        layer: R (default: transform.regression_layer).
        Raises FileNotFoundError where the history has epochs that this folder did not see, and ValueError where the
        folder was kept for another training, other images or another layer.
        """
        self.folder, self.history, self.x, self.y = pathlib.Path(folder), history, x, y
        self.window = get_ats.window(epochs)
        if not self.window:
            raise ValueError(f"{epochs} epochs leave none to mine; expected at least 2")
        regression = transform.transform(model, layer)
        contract.check(model, x, y)
        self.facts = {
            "epochs": epochs,
            "layer": layer or transform.regression_layer(model),
            "shape": list(regression.output_shape[1:]),
            "images": files.fingerprint(x),
        }
        self.store = None
        if history.last >= self.window[0]:
            self._before(history.last + 1)

    @property
    def largest_size(self) -> int:
        """The most bytes that the folder takes: three rows a sample (two candidates and the next), and the states."""
        return len(self.y) * (12 * int(numpy.prod(self.facts["shape"])) + 64) + 2**20

    def observe(
        self, model: keras.Model, epoch: int, log_probability: numpy.ndarray, prediction: numpy.ndarray
    ) -> None:
        """Take in an epoch before it is recorded. Epochs that are not mined are ignored.

        model: with the weights of that epoch.
        log_probability, prediction: as train.history.confidence returns them for x and y.
        Calling it again for the same epoch gives the same store. Raises OSError on a full disk.
        """
        if epoch not in self.window:
            return
        before, correct = self._before(epoch), numpy.asarray(prediction) == self.y
        candidates, kinds, rows = before.candidates.update(epoch, numpy.asarray(log_probability, "float32"), correct)
        store, slots = before.next(epoch, candidates, kinds, rows)
        store.write_rows(slots, self._activations(model, store.layer, rows))
        store.save()
        self.store = store

    def _before(self, epoch):
        """The store before an epoch: the one in memory, or on the disk, or an empty one."""
        last, facts = min(epoch - 1, self.window[-1]), self.history.origin | self.facts
        if last < self.window[0]:
            return Store.empty(self.folder, last, len(self.y), facts)
        if self.store is None or self.store.epoch != last:
            store = Store.load(self.folder, last)
            store.check_facts(facts)
            self.store = store
        return self.store

    def _activations(self, model, layer, rows):
        """Yield (slice of the rows, their activations)."""
        run = compute.forward(transform.transform(model, layer))
        for start in range(0, len(rows), get_ats.BLOCK):
            block = slice(start, start + get_ats.BLOCK)
            yield block, get_ats.activations(run, self.x, rows[block])
