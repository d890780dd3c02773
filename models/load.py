"""Load a saved classifier in the form that every stage expects: a flat functional Keras model that returns logits."""

from __future__ import annotations

import contextlib
import math
import pathlib
import re
import zipfile

import keras
import numpy

from data import archive, damage, hdf5
from models.logits import to_logits
from models.settings import pinned

PARTS = ("metadata.json", "config.json", "model.weights.h5")  # of a .keras file
FOREIGN = re.compile(r"(?:Could not locate class|Unknown layer:?|Could not locate function) '?\"?([\w>.]+)")


def load(path: pathlib.Path | str, scale: float | None = None) -> keras.Model:
    """Load a whole Keras classifier (``.keras`` or ``.h5``): a model of images in [0, 1] that returns float32 logits.

    A final softmax or sigmoid is removed and nested models are opened, by models.logits.to_logits. For a net with a
    sigmoid for each class the predicted class is the same, but a softmax of the logits is not its output.
    path: of the file.
    scale: the largest pixel that the model was trained on (255 for pixels of 0..255); None: 1.
    Raises FileNotFoundError; OSError if the file cannot be read; ValueError if it is damaged or not a whole model,
    declares more weights than a file of its size can hold, reads other files, needs an unknown class, or is refused by
    to_logits.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such model file")
    try:
        with pinned():
            return to_logits(_read(path), scale)
    except OSError:
        raise
    except Exception as error:  # a damaged graph
        sentence = " ".join(str(error).split()) if isinstance(error, ValueError) else damage.reason(error)
        raise ValueError(sentence if str(path) in sentence else f"{path}: {sentence}") from error


def _read(path):
    """The Keras model in a file, unchanged."""
    if path.suffix == ".keras" and not zipfile.is_zipfile(path):
        raise ValueError("not a whole Keras model, the file is cut or no .keras file at all: copy or save it again")
    try:
        with _weights_bounded(path):
            if path.suffix == ".keras":
                _check_archive(path)
                return keras.models.load_model(path, compile=False)
            with hdf5.reading(path) as file:
                return keras.models.load_model(file, compile=False)
    except Exception as error:  # damaged files raise all kinds of errors
        if isinstance(error, ValueError) and str(error).startswith(f"{path}: "):
            raise
        raise damage.environment(error, path) or ValueError(_reason(error, path)) from error


def _check_archive(path):
    """Raise ValueError if a .keras file has other parts than a classifier's three, or weights in other files."""
    archive.check_zip(path, PARTS)
    hdf5.check(path, PARTS[-1])


@contextlib.contextmanager
def _weights_bounded(path):
    """Within the context, refuse to create more bytes of weights than a file of this size can hold."""
    add_weight, announced = keras.layers.Layer.add_weight, 0

    def counted(layer, shape=None, *arguments, **options):
        nonlocal announced
        announced += 4 * math.prod(map(int, numpy.atleast_1d(() if shape is None else shape)))
        damage.check_size(path, announced)
        return add_weight(layer, shape, *arguments, **options)

    keras.layers.Layer.add_weight = counted
    try:
        yield
    finally:
        keras.layers.Layer.add_weight = add_weight


def _reason(error, path):
    """Why Keras could not read a model, as a sentence."""
    if isinstance(error, MemoryError | RecursionError):
        return f"not a whole Keras model ({damage.reason(error)}): copy or save it again"
    message = str(error).strip()
    foreign = FOREIGN.search(message)
    if foreign:
        op = " (Keras's own ops need a .keras file)" if path.suffix != ".keras" else ""
        return (
            f"needs {foreign[1][:80]}, which Keras does not know{op}: import the code that defines it, registered with "
            "@keras.saving.register_keras_serializable(), before models.load"
        )
    if "lambda" in message.lower():
        return (
            "holds a Lambda layer, and code in a file is not run: build the model in your own code, load its weights, "
            "and pass it to models.to_logits"
        )
    if "No model config" in message:
        return "not a whole Keras model but weights alone: build the model and load them into it with load_weights"
    unmade = re.search(r"<class '([\w.]+)'> could not be deserialized", message)
    if unmade:
        return f"holds {unmade[1]}, which cannot be made from its configuration: give it get_config and from_config"
    first = message.splitlines()[0][: damage.LONGEST] if message else type(error).__name__
    return f"not a whole Keras model ({first}); expected a .keras or .h5 classifier that is not cut"
