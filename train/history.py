"""A model's training history: every epoch's weights, and how sure each epoch was of each held-out image.

A folder of
    architecture.json               the model, once
    origin.json                     recipe, seed, length and data of the training, once
    epoch-0007.weights.h5           weights only, 4 bytes a parameter (Keras's format: load_weights reads it)
    epoch-0007.record.h5            log p(y|x) and predicted class of each x_validation sample, the metrics, and the
                                    digests of the weights and of architecture.json
    epoch-0007.optimizer.h5         optimizer state, of the newest epoch alone, for resuming
An epoch exists once its record does; the record is written last.
"""

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
    """The folder `path`; made when the first epoch is saved. Epochs count from 1; the final one is the largest."""

    def __init__(self, path):
        self.path = pathlib.Path(path)

    @property
    def epochs(self):
        """All recorded epochs: 1, 2, ... Raises ValueError where the record of one between them is lost."""
        epochs = self._numbers("record")
        lost = sorted({*range(1, len(epochs) + 1)} - {*epochs})
        if lost:
            path = self.file(lost[0], "record")
            raise ValueError(f"{path}: is gone, but later epochs are there: put it back, or train again")
        return epochs

    @property
    def stored(self):
        """The epochs whose weights are on disk, ascending (retention may have dropped some)."""
        return self._numbers("weights")

    @property
    def last(self):
        """The final epoch E so far; 0 before the first."""
        return max(self.epochs, default=0)

    @property
    def log_probability(self):
        """float32 (epochs, samples): log p_t(y|x) of each recorded epoch's model t, in the order of `epochs`."""
        return self._records("log_probability")

    @property
    def prediction(self):
        """unsigned (epochs, samples): the class each recorded epoch predicted, in the order of `epochs`."""
        return self._records("prediction")

    def record(self, epoch):
        """One epoch's (log_probability, prediction, metrics)."""
        arrays, metrics = files.load_artefact(
            self.file(epoch, "record"), "epoch record", ["log_probability", "prediction"]
        )
        metrics.pop(DIGESTS, None)
        return arrays["log_probability"], arrays["prediction"], metrics

    def save(self, model, epoch, log_probability, prediction, *, metrics=None, optimizer=None):
        """Add an epoch: weights, then optimizer state (the older one goes), then the record that makes it exist.

        log_probability, prediction: as `confidence` gives them.
        """
        architecture = self.path / "architecture.json"
        if not architecture.is_file():
            files.write_text(architecture, model.to_json())
        save_weights(model, self.file(epoch, "weights"))
        if optimizer is not None:
            values = {f"{index:04d}": numpy.asarray(value) for index, value in enumerate(optimizer.variables)}
            files.save_artefact(self.file(epoch, "optimizer"), "optimizer state", values)
        arrays = {
            "log_probability": numpy.asarray(log_probability, "float32"),
            "prediction": prediction,
        }
        digests = {path.name: files.digest(path) for path in (self.file(epoch, "weights"), architecture)}
        files.save_artefact(self.file(epoch, "record"), "epoch record", arrays, {**(metrics or {}), DIGESTS: digests})
        self.drop_older_optimizers()

    def load_weights(self, model, epoch):
        """Load one epoch's weights into `model`. Raises ValueError if absent, damaged, or of another architecture."""
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

    def load_optimizer(self, optimizer, epoch):
        """Load the optimizer state saved with `epoch` into a built optimizer."""
        names = [f"{index:04d}" for index in range(len(optimizer.variables))]
        values, _ = files.load_artefact(self.file(epoch, "optimizer"), "optimizer state", names)
        for variable, name in zip(optimizer.variables, names, strict=True):
            variable.assign(values[name])

    def architecture(self):
        """Build the model (with untrained weights) from architecture.json."""
        path = self.path / "architecture.json"
        if not path.is_file():
            raise FileNotFoundError(f"{path}: no such file; expected a training history, which training writes")
        try:
            model = keras.models.model_from_json(path.read_text(encoding="utf-8"))
        except Exception as error:  # whatever Keras meets in a damaged file
            said = f"{path}: not a model's architecture ({damage.reason(error)}): train it again"
            raise damage.environment(error, path) or ValueError(said) from error
        if not isinstance(model, keras.Model):
            raise ValueError(f"{path}: not a model's architecture but a {type(model).__name__}: train it again")
        return model

    def final_model(self):
        """The model with the weights of the final epoch."""
        model = self.architecture()
        self.load_weights(model, self.last)
        return model

    @property
    def origin(self):
        """What this history comes from: recipe, seed, epochs and data of its training; {} where nobody said."""
        path = self.path / "origin.json"
        return files.read_sealed(path, sealed=False) if path.is_file() else {}

    def claim(self, origin):
        """Say what this history comes from (a JSON value) before its first epoch; ValueError if it comes from other."""
        path, before = self.path / "origin.json", self.origin
        origin = json.loads(json.dumps(origin))
        if not path.is_file():
            files.write_sealed(path, origin)
            return
        for name in sorted({*before, *origin}):
            if before.get(name) != origin.get(name):
                raise ValueError(
                    f"{path}: this history has {name} {before.get(name)}, not {origin.get(name)}: "
                    "continue it as it was begun, or begin another folder"
                )

    def drop_weights(self, epoch):
        """Delete one epoch's weights; its record stays."""
        files.remove(self.file(epoch, "weights"))

    def drop_older_optimizers(self):
        """Delete every optimizer state but the newest epoch's."""
        for epoch in self._numbers("optimizer"):
            if epoch != self.last:
                files.remove(self.file(epoch, "optimizer"))

    def file(self, epoch, part):
        """The path of one epoch's "weights", "record" or "optimizer"."""
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


def save_weights(model, path):
    """Write a model's weights as ``.weights.h5``, atomically. Raises OSError on a full disk."""
    with files.atomic_hdf5(path) as file:
        model.save_weights(file)


def load_weights(model, path, *, known=False):
    """Load a ``.weights.h5`` file into `model`; ValueError where it is cut, of another architecture or not finite.

    known: whether its digest was compared already.
    """
    try:
        with hdf5.reading(path, known=known or ledger.check(path)) as file:
            model.load_weights(file)
    except Exception as error:  # whatever Keras and HDF5 meet in a damaged file
        mend = f"{path}: cannot be loaded into {model.name} ({damage.reason(error)})"
        raise damage.environment(error, path) or ValueError(mend) from error
    if not h5py.is_hdf5(path):
        raise ValueError(f"{path}: not an HDF5 file")
    check_finite(model, path)


def check_finite(model, path):
    """Raise ValueError where a model has weights that are NaN or infinite; path: where they were read."""
    for variable in model.weights:
        if not numpy.isfinite(numpy.asarray(variable, "float32")).all():
            raise ValueError(f"{path}: {variable.path} holds NaN or infinite weights: damaged, or it diverged")


def confidence(model, x, y, *, batch_size=256):
    """How sure a model is of each image: (log p(y|x) float32, predicted class, of the smallest type that holds all).

    x: uint8 or float32 images; y: true labels. log p is computed as minus softplus of the log-odds of the other
    classes: log_softmax rounds to 0 where the label's logit leads by more than 17 and then ties, this only beyond 87.
    At one batch size, since another may round otherwise.
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
