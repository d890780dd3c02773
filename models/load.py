"""Bring a saved classifier into the form every stage expects: a flat functional Keras model that ends in logits."""

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


def load(path, scale=None):
    """Read a whole Keras classifier (``.keras`` or ``.h5``) as a model of images in [0, 1] that ends in float32 logits.

    A softmax or sigmoid at its end is taken off, and models inside it are opened: models.logits.to_logits, which says
    what scale is (``scale=255`` for a net that was trained on pixels of 0..255). Of several sigmoids, one a class, the
    logits name the same class as their outputs do; a softmax of them is not what the net was trained with.
    Raises FileNotFoundError; OSError where the file cannot be read; ValueError, with one sentence, where it is cut, no
    whole model, announces more than a file of its size can hold, reads other files, needs a class that is not known
    here, or is none of those that to_logits takes.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such model file")
    try:
        with pinned():
            return to_logits(_read(path), scale)
    except OSError:
        raise
    except Exception as error:  # of a graph that no net has
        sentence = " ".join(str(error).split()) if isinstance(error, ValueError) else damage.reason(error)
        raise ValueError(sentence if str(path) in sentence else f"{path}: {sentence}") from error


def _read(path):
    """The Keras model in a file, whatever it is."""
    if path.suffix == ".keras" and not zipfile.is_zipfile(path):
        raise ValueError("not a whole Keras model, the file is cut or no .keras file at all: copy or save it again")
    try:
        with _weights_bounded(path):
            if path.suffix == ".keras":
                _check_archive(path)
                return keras.models.load_model(path, compile=False)
            with hdf5.reading(path) as file:
                return keras.models.load_model(file, compile=False)
    except Exception as error:  # whatever Keras, TensorFlow, HDF5 and zipfile meet in a damaged file
        if isinstance(error, ValueError) and str(error).startswith(f"{path}: "):
            raise
        raise damage.environment(error, path) or ValueError(_reason(error, path)) from error


def _check_archive(path):
    """Raise ValueError where a .keras file has more than a classifier's three parts, or its weights lie elsewhere."""
    archive.check_zip(path, PARTS)
    hdf5.check(path, PARTS[-1])


@contextlib.contextmanager
def _weights_bounded(path):
    """While a model is made: refuse weights, before they are made, of more bytes than a file of this size can hold."""
    make, announced = keras.layers.Layer.add_weight, 0

    def counted(layer, shape=None, *arguments, **options):
        nonlocal announced
        announced += 4 * math.prod(map(int, numpy.atleast_1d(() if shape is None else shape)))
        damage.check_size(path, announced)
        return make(layer, shape, *arguments, **options)

    keras.layers.Layer.add_weight = counted
    try:
        yield
    finally:
        keras.layers.Layer.add_weight = make


def _reason(error, path):
    """Why Keras could not read a model, in one sentence."""
    if isinstance(error, MemoryError | RecursionError):
        return f"not a whole Keras model ({damage.reason(error)}): copy or save it again"
    said = str(error).strip()
    foreign = FOREIGN.search(said)
    if foreign:
        op = " (one of Keras's own ops is kept in a .keras file alone)" if path.suffix != ".keras" else ""
        return (
            f"needs {foreign[1][:80]}, which Keras does not know{op}: import the code that defines it, registered with "
            "@keras.saving.register_keras_serializable(), before models.load"
        )
    if "lambda" in said.lower():
        return (
            "holds a Lambda layer, and code in a file is not run: build the model in your own code, load its weights, "
            "and pass it to models.to_logits"
        )
    if "No model config" in said:
        return "not a whole Keras model but weights alone: build the model and load them into it with load_weights"
    unmade = re.search(r"<class '([\w.]+)'> could not be deserialized", said)
    if unmade:
        return f"holds {unmade[1]}, which cannot be made from its configuration: give it get_config and from_config"
    first = said.splitlines()[0][: damage.LONGEST] if said else type(error).__name__
    return f"not a whole Keras model ({first}); expected a .keras or .h5 classifier that is not cut"
