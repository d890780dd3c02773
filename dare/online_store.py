"""Activations that were kept while training ran (dare/online.py), read in place of the checkpoints.

A folder of
    activations.float32             one row at the regression layer R a slot, in no order
    epoch-0007.best.h5              after that epoch: of each sample the two epochs that can still be chosen, their
                                    log p(y|x) and slots (dare/surest.py), and what they were kept for
"""

import dataclasses
import json
import pathlib
import re

import numpy

from dare import surest
from data import files

KIND = "surest epochs so far"
ARRAYS = ("epoch", "log_probability", "slot")


@dataclasses.dataclass(frozen=True, eq=False)
class Store:
    """The state after one epoch; get_ats.mine_history takes it as `store`.

    state: see dare/surest.py; after: the last epoch taken in; facts: what it was kept for: layer, shape of a row,
    images (SHA-256 of those mined), epochs of the whole training, and the origin of its history (recipe, seed, data).
    """

    folder: pathlib.Path
    after: int
    state: tuple = dataclasses.field(repr=False)
    facts: dict

    @property
    def layer(self):
        return self.facts["layer"]

    @property
    def rows(self):
        """The path of the rows."""
        return self.folder / "activations.float32"

    @property
    def row_size(self):
        """Bytes of one row."""
        return 4 * int(numpy.prod(self.facts["shape"]))

    @classmethod
    def load(cls, folder, after=None):
        """The state after an epoch (default: the newest). Raises FileNotFoundError, or ValueError where damaged."""
        folder = pathlib.Path(folder)
        found = kept(folder)
        after = max(found, default=None) if after is None else after
        if after not in found:
            wanted = "no state of any epoch" if after is None else f"no state after epoch {after}"
            raise FileNotFoundError(
                f"{folder}: {wanted} (found: {', '.join(map(str, found)) or 'none'}); mining must see the whole "
                "second half of a training: train anew with mining from the start"
            )
        path = state_path(folder, after)
        arrays, facts = files.load_artefact(path, KIND, ARRAYS, ("layer", "shape", "images", "epochs"))
        state = tuple(arrays[name] for name in ARRAYS)
        if len({array.shape for array in state}) > 1 or state[0].shape[:-1] != (2,):
            raise ValueError(f"{path}: its arrays do not match: train anew")
        store = cls(folder, after, state, facts)
        needed = (int(state[2].max(initial=-1)) + 1) * store.row_size
        size = store.rows.stat().st_size if store.rows.is_file() else 0
        if size < needed:
            raise ValueError(f"{store.rows}: has {size} bytes, expected at least {needed}: it was cut, so train anew")
        return store

    def save(self):
        """Write the state; it counts from then on."""
        arrays, facts = dict(zip(ARRAYS, self.state, strict=True)), dict(sorted(self.facts.items()))
        files.save_artefact(state_path(self.folder, self.after), KIND, arrays, facts)

    def check_facts(self, expected):
        """Raise ValueError, naming the first that differs, unless it was kept for the `expected` facts."""
        expected = json.loads(json.dumps(expected))
        for name in sorted({*self.facts, *expected}):
            found, wanted = self.facts.get(name), expected.get(name)
            if found != wanted:
                long = max(len(str(found)), len(str(wanted))) > 40
                raise ValueError(
                    f"{self.folder}: was kept for {f'another {name}' if long else f'{name} {found}, not {wanted}'}: "
                    "mine what it was kept for, or train anew with mining"
                )

    def check(self, history, x, y, *, layer, epochs):
        """Raise ValueError unless this is the store of that history, and of these images, labels, layer and epochs.

        The records of the history are gone through again: they must give the very state that was kept.
        """
        planned = self.facts["epochs"]
        self.check_facts(
            history.origin
            | {"epochs": history.origin.get("epochs", planned), "images": files.fingerprint(x)}
            | {"layer": layer, "shape": self.facts["shape"]}
        )
        if history.last != planned:
            raise ValueError(
                f"{self.folder}: was kept for a training of {planned} epochs, but {history.path} has {history.last}: "
                "finish the training first"
            )
        state = surest.nothing(len(y))
        for epoch in epochs:
            log_probability, prediction, _ = history.record(epoch)
            *_, state = surest.improve(state, epoch, log_probability, prediction == y)
        if not all(numpy.array_equal(ours, theirs) for ours, theirs in zip(state[:2], self.state[:2], strict=True)):
            raise ValueError(
                f"{self.folder}: holds other epochs than are the surest of {history.path} and these labels among "
                f"{epochs[0]} .. {epochs[-1]}: mine the training that it was kept beside, and its whole second half"
            )

    def source(self, epoch):
        """rows -> the activations that were kept of them under `epoch` (one of the two of each; see check)."""
        count = self.rows.stat().st_size // self.row_size
        values = numpy.memmap(self.rows, "float32", "r", shape=(count, *self.facts["shape"]))
        epochs, _, slots = self.state

        def read(rows):
            kinds = numpy.where(epochs[surest.RIGHT, rows] == epoch, surest.RIGHT, surest.WRONG)
            return values[slots[kinds, rows]]

        return read


def kept(folder):
    """The epochs after which a state is kept, ascending."""
    names = (re.fullmatch(r"epoch-(\d+)\.best\.h5", path.name) for path in pathlib.Path(folder).glob("epoch-*"))
    return sorted(int(match[1]) for match in names if match)


def state_path(folder, epoch):
    return pathlib.Path(folder) / f"epoch-{epoch:04d}.best.h5"
