"""The files of mining while training runs: the activations of the epochs that can still be chosen.

A folder with
    activations.float32             the activations at the regression layer R, one row a slot, in no order
    epoch-0007.best.h5              the state after epoch 7: the two candidate epochs of each sample
                                    (epoch_choice.Candidates), the slots of their rows, and what they were kept for

dare/online.py decides what is written. get_ats.mine_history reads a store in place of the checkpoints.
"""

from __future__ import annotations  # its types load no library (pipeline/late.py)

import dataclasses
import json
import os
import pathlib
import re
import typing
from collections.abc import Callable, Iterable, Sequence

import numpy

from dare.epoch_choice import CORRECT, MISCLASSIFIED, Candidates
from data import files, ledger

if typing.TYPE_CHECKING:
    from train.history import History

KIND = "surest epochs so far"  # of files; ARRAYS too
ARRAYS = ("epoch", "log_probability", "slot")


@dataclasses.dataclass(frozen=True, eq=False)
class Store:
    """The state after one epoch, and the rows on the disk.

    epoch: the last epoch that was taken in.
    candidates: the two epochs of each sample that can still be chosen; slots: int64 (2, N), where the activation under
        each lies, -1 for none.
    facts: what the store was kept for: "layer", "shape" of a row, "images" (SHA-256 of the mined images), "epochs" of
        the whole training, and the origin of its history (recipe, seed, data).
    """

    folder: pathlib.Path
    epoch: int
    candidates: Candidates = dataclasses.field(repr=False)
    slots: numpy.ndarray = dataclasses.field(repr=False)
    facts: dict

    @property
    def layer(self) -> str:
        """The regression layer."""
        return self.facts["layer"]

    @property
    def rows(self) -> pathlib.Path:
        """The path of the activations."""
        return self.folder / "activations.float32"

    @property
    def row_size(self) -> int:
        """Bytes of one row."""
        return 4 * int(numpy.prod(self.facts["shape"]))

    @classmethod
    def empty(cls, folder: pathlib.Path, epoch: int, samples: int, facts: dict) -> Store:
        """The state before the first mined epoch.

        folder: of the store; samples: their number N; facts: what it is kept for (Miner).
        """
        return cls(folder, epoch, Candidates.none(samples), numpy.full((2, samples), -1, "int64"), facts)

    @classmethod
    def load(cls, folder: str | pathlib.Path, epoch: int | None = None) -> Store:
        """The state that `folder` has after an epoch (default: the newest).

        Raises FileNotFoundError where there is none, and ValueError where the files are damaged.
        """
        folder = pathlib.Path(folder)
        saved = _saved(folder)
        epoch = max(saved, default=None) if epoch is None else epoch
        if epoch not in saved:
            missing = "no state of any epoch" if epoch is None else f"no state after epoch {epoch}"
            raise FileNotFoundError(
                f"{folder}: {missing} (found: {', '.join(map(str, saved)) or 'none'}); mining must see the whole "
                "second half of a training: train anew with mining from the start"
            )
        path = _state_path(folder, epoch)
        arrays, facts = files.load_artefact(path, KIND, ARRAYS, ("layer", "shape", "images", "epochs"))
        epochs, log_probability, slots = (arrays[name] for name in ARRAYS)
        if not epochs.shape == log_probability.shape == slots.shape or slots.shape[:-1] != (2,):
            raise ValueError(f"{path}: its arrays do not match: train anew")
        store = cls(folder, epoch, Candidates(epochs, log_probability), slots, facts)
        needed = (int(slots.max(initial=-1)) + 1) * store.row_size
        size = store.rows.stat().st_size if store.rows.is_file() else 0
        if size < needed:
            raise ValueError(f"{store.rows}: has {size} bytes, expected at least {needed}: it was cut, so train anew")
        return store

    def next(
        self, epoch: int, candidates: Candidates, kinds: numpy.ndarray, rows: numpy.ndarray
    ) -> tuple[Store, numpy.ndarray]:
        """The state after one more epoch, and the slots of its new rows: (Store, slots (K,)).

        candidates, kinds, rows: as Candidates.update returns them. New rows never overwrite rows of this state.
        """
        slots = numpy.where(candidates.epoch == self.candidates.epoch, self.slots, -1)
        slots[kinds, rows] = free_slots(self.slots, len(rows))
        return Store(self.folder, epoch, candidates, slots, self.facts), slots[kinds, rows]

    def write_rows(self, slots: numpy.ndarray, blocks: Iterable) -> None:
        """Write activations into `slots` (K,). blocks: yields (slice of the K, activations)."""
        self.folder.mkdir(parents=True, exist_ok=True)
        ledger.changing(self.rows)
        with open(self.rows, "r+b" if self.rows.is_file() else "xb") as file:
            for block, values in blocks:
                for slot, value in zip(slots[block].tolist(), values, strict=True):
                    file.seek(slot * self.row_size)
                    file.write(value.tobytes())
            file.flush()
            os.fsync(file.fileno())

    def save(self) -> None:
        """Write the state: from then on it counts. States older than the epoch before are deleted."""
        arrays = dict(zip(ARRAYS, (self.candidates.epoch, self.candidates.log_probability, self.slots), strict=True))
        files.save_artefact(_state_path(self.folder, self.epoch), KIND, arrays, dict(sorted(self.facts.items())))
        for older in _saved(self.folder):
            if older < self.epoch - 1:
                files.remove(_state_path(self.folder, older))

    def check_facts(self, expected: dict) -> None:
        """Raise ValueError, naming the first fact that differs, unless the store was kept for the `expected` facts."""
        expected = json.loads(json.dumps(expected))
        for name in sorted({*self.facts, *expected}):
            stored, required = self.facts.get(name), expected.get(name)
            if stored != required:
                long = max(len(str(stored)), len(str(required))) > 40
                raise ValueError(
                    f"{self.folder}: was kept for {f'another {name}' if long else f'{name} {stored}, not {required}'}: "
                    "mine what it was kept for, or train anew with mining"
                )

    def check(self, history: History, x: numpy.ndarray, y: numpy.ndarray, *, layer: str, epochs: Sequence[int]) -> None:
        """Raise ValueError unless this is the store of that history, and of these images, labels, layer and epochs.

        x, y: the mined images and their labels.
        The candidates are computed again from the records of the history, and must be those of the store.
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
        candidates = Candidates.none(len(y))
        for epoch in epochs:
            log_probability, prediction, _ = history.record(epoch)
            candidates, *_ = candidates.update(epoch, log_probability, prediction == y)
        if not candidates.same(self.candidates):
            raise ValueError(
                f"{self.folder}: holds other epochs than the most confident of {history.path} for these labels among "
                f"{epochs[0]} .. {epochs[-1]}: mine the training that it was kept beside, and its whole second half"
            )

    def source(self, epoch: int) -> Callable:
        """A function from rows to their activations under `epoch`, a candidate of each of these rows (see check)."""
        count = self.rows.stat().st_size // self.row_size
        values = numpy.memmap(self.rows, "float32", "r", shape=(count, *self.facts["shape"]))

        def read(rows):
            kinds = numpy.where(self.candidates.epoch[CORRECT, rows] == epoch, CORRECT, MISCLASSIFIED)
            return values[self.slots[kinds, rows]]

        return read


def free_slots(slots: numpy.ndarray, count: int) -> numpy.ndarray:
    """The `count` lowest slots that are not among `slots`, ascending."""
    used = numpy.unique(slots[slots >= 0])
    return numpy.setdiff1d(numpy.arange(len(used) + count), used)[:count]


def _saved(folder):
    """The epochs with a saved state, ascending."""
    names = (re.fullmatch(r"epoch-(\d+)\.best\.h5", path.name) for path in pathlib.Path(folder).glob("epoch-*"))
    return sorted(int(match[1]) for match in names if match)


def _state_path(folder, epoch):
    return pathlib.Path(folder) / f"epoch-{epoch:04d}.best.h5"
