"""A model's training history: every epoch's weights and its confidence in each held-out image.

A folder of
    architecture.json               the model, once
    origin.json                     recipe, seed, length and data of the training, once
    epoch-0007.weights.h5           weights only, 4 bytes a parameter (Keras's format: load_weights reads it)
    epoch-0007.record.h5            log p(y|x) and predicted class of each x_validation sample, the metrics, and the
                                    digests of the weights and of architecture.json
    epoch-0007.optimizer.h5         optimizer state, of the newest epoch alone, for resuming
    epoch-0007.state.h5             what else a method carries from epoch to epoch, likewise, if there is any
An epoch exists once its record does; the record is written last.
"""

from __future__ import annotations

import json
import pathlib
import re

import h5py
import keras
import numpy

import data
from data import damage, files, hdf5, ledger
from models import compute, contract, perturb

DIGESTS = "sha256"


class History:
    """The history in the folder `path`, which the first saved epoch creates. Epochs count from 1."""

    def __init__(self, path: pathlib.Path | str) -> None:
        self.path = pathlib.Path(path)

    @property
    def epochs(self) -> list[int]:
        """All recorded epochs: 1, 2, ... Raises ValueError if a record between them is missing."""
        epochs = self._numbers("record")
        lost = sorted({*range(1, len(epochs) + 1)} - {*epochs})
        if lost:
            path = self.file(lost[0], "record")
            raise ValueError(f"{path}: is gone, but later epochs are there: put it back, or train again")
        return epochs

    @property
    def stored(self) -> list[int]:
        """The epochs whose weights are on disk, ascending (others may have been dropped)."""
        return self._numbers("weights")

    @property
    def last(self) -> int:
        """The newest epoch; 0 before the first."""
        return max(self.epochs, default=0)

    @property
    def log_probability(self) -> numpy.ndarray:
        """log p_t(y|x) of the model of each recorded epoch t, in the order of `epochs`: float32 (epochs, samples)."""
        return self._records("log_probability")

    @property
    def prediction(self) -> numpy.ndarray:
        """Predicted classes of each recorded epoch, in the order of `epochs`: unsigned (epochs, samples)."""
        return self._records("prediction")

    def record(self, epoch: int) -> tuple[numpy.ndarray, numpy.ndarray, dict]:
        """One epoch's (log_probability, prediction, metrics)."""
        arrays, metrics = files.load_artefact(
            self.file(epoch, "record"), "epoch record", ["log_probability", "prediction"]
        )
        metrics.pop(DIGESTS, None)
        return arrays["log_probability"], arrays["prediction"], metrics

    def save(
        self,
        model: keras.Model,
        epoch: int,
        log_probability: numpy.ndarray,
        prediction: numpy.ndarray,
        *,
        metrics: dict | None = None,
        optimizer: keras.optimizers.Optimizer | None = None,
        state: dict[str, numpy.ndarray] | None = None,
    ) -> None:
        """Add an epoch: weights, optimizer state (older states are deleted), and last the record, which completes it.

        model: with the weights of that epoch.
        log_probability, prediction: as returned by `confidence`.
        metrics: JSON values.
        state: arrays that the training method carries from epoch to epoch.
        """
        architecture = self.path / "architecture.json"
        if not architecture.is_file():
            files.write_text(architecture, model.to_json())
        save_weights(model, self.file(epoch, "weights"))
        if optimizer is not None:
            values = {f"{index:04d}": numpy.asarray(value) for index, value in enumerate(optimizer.variables)}
            files.save_artefact(self.file(epoch, "optimizer"), "optimizer state", values)
        if state:
            files.save_artefact(self.file(epoch, "state"), "state of a method", state)
        arrays = {
            "log_probability": numpy.asarray(log_probability, "float32"),
            "prediction": prediction,
        }
        digests = {path.name: files.digest(path) for path in (self.file(epoch, "weights"), architecture)}
        files.save_artefact(self.file(epoch, "record"), "epoch record", arrays, {**(metrics or {}), DIGESTS: digests})
        self.drop_older_optimizers()

    def load_weights(self, model: keras.Model, epoch: int) -> None:
        """Load an epoch's weights into `model`.

        Raises FileNotFoundError, and ValueError if they are damaged or of another architecture.
        """
        path = self.file(epoch, "weights")
        if not path.is_file():
            stored = ", ".join(map(str, self.stored)) or "none"
            raise FileNotFoundError(f"{path}: no weights of epoch {epoch}; stored epochs: {stored}")
        known = ledger.check(path)
        if epoch in self.epochs and not known:
            digests = files.load_artefact(self.file(epoch, "record"), "epoch record", [])[1].get(DIGESTS, {})
            for name, digest in digests.items():
                if files.digest(self.path / name) != digest:
                    raise ValueError(f"{self.path / name}: damaged (not as recorded): put a copy back, or train again")
            known = path.name in digests
        load_weights(model, path, known=known)

    def load_optimizer(self, optimizer: keras.optimizers.Optimizer, epoch: int) -> None:
        """Load the optimizer state saved with an epoch into a built optimizer."""
        names = [f"{index:04d}" for index in range(len(optimizer.variables))]
        values, _ = files.load_artefact(self.file(epoch, "optimizer"), "optimizer state", names)
        for variable, name in zip(optimizer.variables, names, strict=True):
            variable.assign(values[name])

    def load_state(self, epoch: int, names: list[str]) -> dict[str, numpy.ndarray]:
        """The arrays of these names in the state saved with an epoch."""
        return files.load_artefact(self.file(epoch, "state"), "state of a method", names)[0]

    def architecture(self) -> keras.Model:
        """Build the model (with untrained weights) from architecture.json."""
        path = self.path / "architecture.json"
        if not path.is_file():
            raise FileNotFoundError(f"{path}: no such file; expected a training history, which training writes")
        try:
            model = keras.models.model_from_json(path.read_text(encoding="utf-8"))
        except Exception as error:  # damaged files raise all kinds of errors
            message = f"{path}: not a model's architecture ({damage.reason(error)}): train it again"
            raise damage.environment(error, path) or ValueError(message) from error
        if not isinstance(model, keras.Model):
            raise ValueError(f"{path}: not a model's architecture but a {type(model).__name__}: train it again")
        return model

    def final_model(self) -> keras.Model:
        """The model with the weights of the final epoch."""
        model = self.architecture()
        self.load_weights(model, self.last)
        return model

    @property
    def origin(self) -> dict:
        """Recipe, seed, epochs and data of the training, as passed to `claim`; {} if it was never called."""
        path = self.path / "origin.json"
        return files.read_sealed(path, sealed=False) if path.is_file() else {}

    def claim(self, origin: dict) -> None:
        """Record the origin of this history, JSON values, before its first epoch.

        Raises ValueError if it was recorded with another origin. None in one and missing in the other are equal:
        a field added later, with None for the former behaviour, does not end a run that was begun without it.
        """
        path, before = self.path / "origin.json", self.origin
        origin = json.loads(json.dumps(origin))
        if not path.is_file():
            files.write_sealed(path, origin)
            return
        for name in sorted({*before, *origin}):
            if _given(before.get(name)) != _given(origin.get(name)):
                raise ValueError(
                    f"{path}: this history has {name} {before.get(name)}, not {origin.get(name)}: "
                    "continue it as it was begun, or begin another folder"
                )

    def drop_weights(self, epoch: int) -> None:
        """Delete an epoch's weights; its record stays."""
        files.remove(self.file(epoch, "weights"))

    def drop_older_optimizers(self) -> None:
        """Delete all optimizer states, and states of the method, except the newest epoch's."""
        last = self.last
        for part in ("optimizer", "state"):
            for epoch in self._numbers(part):
                if epoch != last:
                    files.remove(self.file(epoch, part))

    def file(self, epoch: int, part: str) -> pathlib.Path:
        """The path of an epoch's `part`: "weights", "record", "optimizer" or "state"."""
        return self.path / f"epoch-{epoch:04d}.{part}.h5"

    def _numbers(self, part):
        pattern = re.compile(rf"epoch-(\d+)\.{part}\.h5")
        names = (pattern.fullmatch(file.name) for file in self.path.glob("epoch-*"))
        return sorted(int(match[1]) for match in names if match)

    def _records(self, name):
        epochs = self.epochs
        if not epochs:
            raise FileNotFoundError(f"{self.path}: holds no recorded epoch; training writes them")
        rows = [files.load_artefact(self.file(epoch, "record"), "epoch record", [name])[0][name] for epoch in epochs]
        return numpy.stack(rows)


def _given(value):
    """A JSON value without the None entries of its objects, at any depth."""
    if isinstance(value, dict):
        return {name: _given(entry) for name, entry in value.items() if entry is not None}
    return value


def save_weights(model: keras.Model, path: pathlib.Path | str) -> None:
    """Write a model's weights to a ``.weights.h5`` file, atomically. Raises OSError on a full disk."""
    with files.atomic_hdf5(path) as file:
        model.save_weights(file)


def load_weights(model: keras.Model, path: pathlib.Path | str, *, known: bool = False) -> None:
    """Load a ``.weights.h5`` file into `model`.

    known: whether its digest has been checked already.
    Raises ValueError if it is damaged, of another architecture or not finite.
    """
    try:
        with hdf5.reading(path, known=known or ledger.check(path)) as file:
            model.load_weights(file)
    except Exception as error:  # damaged files raise all kinds of errors
        mend = f"{path}: cannot be loaded into {model.name} ({damage.reason(error)})"
        raise damage.environment(error, path) or ValueError(mend) from error
    if not h5py.is_hdf5(path):
        raise ValueError(f"{path}: not an HDF5 file")
    check_finite(model, path)


def check_finite(model: keras.Model, path: pathlib.Path | str) -> None:
    """Raise ValueError if weights of a model are NaN or infinite. path: the file they were read from."""
    for variable in model.weights:
        if not numpy.isfinite(numpy.asarray(variable, "float32")).all():
            raise ValueError(f"{path}: {variable.path} holds NaN or infinite weights: damaged, or it diverged")


def confidence(
    model: keras.Model, x: numpy.ndarray, y: numpy.ndarray, *, batch_size: int = 256
) -> tuple[numpy.ndarray, numpy.ndarray]:
    """A model's confidence in each label: (log p(y|x) float32 (N,), predicted classes (N,), smallest unsigned dtype).

    x: images (N, H, W, C), uint8 or float32 in [0, 1].
    y: integer labels (N,).
    batch_size: compare only values of the same batch size, since others may round differently.
    log p is computed as -softplus(log_odds): it rounds to 0, and so ties, only if the label's logit leads by more than
    87 (log_softmax: by 17).
    """
    contract.check(model, x, y, batch_size=batch_size)
    run = compute.compiled(model, _confidence)
    log_probability, prediction = compute.predict(
        run, x, numpy.asarray(y, "int32"), batch_size=batch_size, prepare=data.to_unit
    )
    return log_probability, prediction.astype(numpy.min_scalar_type(model.output_shape[-1] - 1))


def _confidence(call, x, labels):
    logits = keras.ops.cast(call(x), "float32")
    log_probability = -keras.ops.softplus(perturb.log_odds(logits, labels))
    return log_probability, keras.ops.cast(keras.ops.argmax(logits, -1), "int32")
