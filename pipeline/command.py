"""What the numbered scripts share: their common arguments, and errors in one sentence.

Import it before anything that imports Keras: it keeps the start-up lines of TensorFlow off the terminal.
"""

import argparse
import contextlib
import importlib.util
import os
import sys

import data
from pipeline import signals
from pipeline.arguments import Parser, name, path, real, whole  # noqa: F401 (real: of the scripts)
from pipeline.progress import Progress

BACKENDS = "tensorflow", "jax"
EXPECTED = ValueError, OSError, ArithmeticError, MemoryError, RecursionError


@contextlib.contextmanager
def _silent_start():
    """Standard error of this process and its C++ libraries goes nowhere ($DARE_DEBUG=1: stays)."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if os.environ.get("DARE_DEBUG"):
        yield
        return
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _refuse_other_backends(backend):
    """Exit with status 2 unless Keras's backend is one of ours, and installed."""
    if backend not in BACKENDS:
        said = f"Keras's backend is {backend!r}, expected {' or '.join(BACKENDS)}: set KERAS_BACKEND to one of them"
    elif importlib.util.find_spec(backend) is None:
        said = f"{backend}, Keras's backend, is not installed: install it, or set KERAS_BACKEND to another"
    else:
        return
    print(f"{os.path.basename(sys.argv[0])}: {said}", file=sys.stderr)
    sys.exit(2)


_refuse_other_backends(os.environ.get("KERAS_BACKEND") or BACKENDS[0])
with _silent_start():
    import keras
_refuse_other_backends(keras.backend.backend())  # keras.json may name one
with _silent_start():
    import models
    from adv import attacks
    from pipeline import provenance, run_directory

models.settings.pin()  # whatever keras.json says
signals.at_end(run_directory.abandon)
ATTACKS = ("fgsm", "pgd", "deepfool")  # where none is named: each of another kind, none that takes long


def parser(description, *, study):
    """An argument parser with what every stage of a study takes: which cell, which data, where runs go."""
    made = Parser(description=description)
    made.set_defaults(study=study)
    datasets = f"{', '.join(data.DATASETS)} or folder:<path>"
    made.add_argument("--dataset", type=name("data set", data.DATASETS, "folder:"), default="digits", help=datasets)
    widths = f"{', '.join(models.MODELS)}; alexnet@0.25 has a quarter of the channels and units"
    made.add_argument("--model", type=model, default="alexnet", help=widths)
    made.add_argument("--seed", type=whole(0, 2**32 - 1), default=0, help="seed of split, training and sampling")
    made.add_argument("--runs", type=path, default="runs", help="folder of all run directories")
    where = "folder of the original data files (else $DARE_DATA, the cache, a download)"
    made.add_argument("--data-dir", type=path, help=where)
    made.add_argument("--unverified", action="store_true", help="admit data files without the published digest")
    made.add_argument("--overwrite", action="store_true", help="replace a run made with other arguments")
    made.add_argument("--deterministic", action="store_true", help="the same bits at every run, at some cost in speed")
    made.add_argument("--quiet", action="store_true", help="no progress")
    return made


def add_attacks(parser, meaning, *, nargs="+"):
    """The option --attack of several stages: names of the catalogue. meaning: what they are there, for the help."""
    known = name("attack", attacks.ATTACKS)
    parser.add_argument("--attack", nargs=nargs, type=known, default=list(ATTACKS), help=meaning)


def model(text):
    """An argument's type: a model of the catalogue, or one of another width (models.parse)."""
    try:
        models.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return text


def run(main, parser):
    """Parse, call ``main(arguments)``; bad input exits with status 2 and one sentence ($DARE_DEBUG=1: a traceback)."""
    arguments = parser.parse_args()
    try:
        provenance.check_checkout(sys.argv[0])
        with _silent_start():  # on every backend Keras imports TensorFlow here
            keras.utils.set_random_seed(arguments.seed)
        if getattr(arguments, "deterministic", False):
            models.compute.deterministic()
        main(arguments)
    except KeyboardInterrupt:  # with $DARE_DEBUG, or raised by a library; else pipeline/signals.py
        run_directory.abandon()
        print("interrupted; the same command continues", file=sys.stderr)
        sys.exit(130)
    except BaseException as error:
        run_directory.abandon()
        if os.environ.get("DARE_DEBUG") or not isinstance(error, EXPECTED + models.compute.ERRORS):
            raise  # a fault of ours: with its traceback
        print(f"{os.path.basename(sys.argv[0])}: {sentence(error)}", file=sys.stderr)
        sys.exit(2)


def sentence(error):
    """An error in one line; of the operating system's, the file first."""
    if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error) or "OOM when" in str(error):
        return f"out of memory: give it more, or a smaller --batch-size ({' '.join(str(error).split())[:200]})"
    if isinstance(error, RecursionError):
        return f"nested too deeply: {' '.join(str(error).split())}"
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return " ".join(str(error).split())


def narrow(arguments, **changes):
    """The arguments of one stage of a script that makes several: some replaced, the lists they stand for gone."""
    return argparse.Namespace(**{**vars(arguments), **changes})


def load_dataset(arguments):
    """The data set that the arguments name, with download progress."""
    with Progress("download", arguments.quiet) as progress:
        return data.load(
            arguments.dataset,
            arguments.data_dir,
            unverified=arguments.unverified,
            progress=lambda path, done, total: progress(done, total, str(path)),
        )
