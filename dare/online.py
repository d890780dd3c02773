"""Mining while training runs: what get_ats would read from E/2 checkpoints, without the checkpoints.

Ours, in no paper [D]. Two epochs at most can still be chosen for a sample (dare/surest.py). Their activations at the
regression layer R are computed as the epoch passes, only for the samples that it improves, and kept on disk; at the
end get_ats.mine_history chooses from the history's records as ever and reads activations from here: the targets of
the checkpoints, bit for bit on one machine's CPU.

Killed at any moment, training and mining continue together. Rows are written into slots that the state before does
not use, then that epoch's state, then fit records the epoch; the state before goes once its epoch's successor is
recorded. Whatever was written after the last recorded epoch is written again, whether or not the machine repeats the
same bits.
"""

import os
import pathlib

import numpy

from dare import get_ats, surest, transform
from dare.online_store import Store, kept, state_path
from data import files, ledger
from models import compute, contract


class Miner:
    """Keeps activations in `folder` while training runs: ``fit(..., history=history, observe=miner.observe)``.

    model, x, y: the model under training, the held-out images and their labels; history: the train.history.History
    that is trained into; epochs: the length of the whole run; layer: R (default: transform.regression_layer).
    Raises FileNotFoundError where the history has passed epochs that this folder did not see, and ValueError where
    the folder was kept for another training, other images or another layer.
    """

    def __init__(self, folder, model, history, x, y, *, epochs, layer=None):
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
    def largest_size(self):
        """Bytes that the folder takes at most: a row for each of a sample's epochs, one for its next, and states."""
        return len(self.y) * (12 * int(numpy.prod(self.facts["shape"])) + 64) + 2**20

    def observe(self, model, epoch, log_probability, prediction):
        """Take in an epoch before it is recorded; one that is not mined is passed over.

        Repeated for an epoch, it leaves what it leaves done once. Raises OSError on a full disk.
        """
        if epoch not in self.window:
            return
        before, right = self._before(epoch), numpy.asarray(prediction) == self.y
        rows, kinds, state = surest.improve(before.state, epoch, numpy.asarray(log_probability, "float32"), right)
        slots = surest.free_slots(before.state[2], len(rows))
        state[2][kinds, rows] = slots
        after = Store(self.folder, epoch, state, before.facts)
        self._write(after, model, rows, slots)
        after.save()
        self.store = after
        for older in kept(self.folder):
            if older < epoch - 1:
                files.remove(state_path(self.folder, older))

    def _before(self, epoch):
        """The store as it was before an epoch: in memory, on disk, or still empty."""
        last, facts = min(epoch - 1, self.window[-1]), self.history.origin | self.facts
        if last < self.window[0]:
            return Store(self.folder, last, surest.nothing(len(self.y)), facts)
        if self.store is None or self.store.after != last:
            store = Store.load(self.folder, last)
            store.check_facts(facts)
            self.store = store
        return self.store

    def _write(self, store, model, rows, slots):
        run = compute.forward(transform.transform(model, store.layer))
        self.folder.mkdir(parents=True, exist_ok=True)
        ledger.changing(store.rows)
        with open(store.rows, "r+b" if store.rows.is_file() else "xb") as file:
            for start in range(0, len(rows), get_ats.BLOCK):
                block = slice(start, start + get_ats.BLOCK)
                values = get_ats.activations(run, self.x, rows[block])
                for slot, value in zip(slots[block].tolist(), values, strict=True):
                    file.seek(slot * store.row_size)
                    file.write(value.tobytes())
            file.flush()
            os.fsync(file.fileno())
