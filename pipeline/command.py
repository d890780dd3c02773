"""The common part of the numbered scripts: shared arguments, and errors in one sentence.

Import it before anything that imports Keras: it hides the start-up messages of TensorFlow.
"""

import argparse
import contextlib
import importlib.util
import os
import sys
from collections.abc import Callable

import data
from pipeline import signals
from pipeline.arguments import Parser, name, path, real, whole  # noqa: F401 (real: of the scripts)
from pipeline.progress import Progress

BACKENDS = "tensorflow", "jax"
EXPECTED = ValueError, OSError, ArithmeticError, MemoryError, RecursionError


@contextlib.contextmanager
def _silent_start():
    """Discard standard error of this process and its C++ libraries (not with $DARE_DEBUG=1)."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if os.environ.get("DARE_DEBUG"):
        yield
        return
    sys.stderr.flush()
    error, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(error, 2)
        os.close(error)
        os.close(nowhere)


def _refuse_other_backends(backend):
    """Exit with status 2 unless Keras's backend is in BACKENDS and installed."""
    if backend not in BACKENDS:
        message = f"Keras's backend is {backend!r}, expected {' or '.join(BACKENDS)}: set KERAS_BACKEND to one of them"
    elif importlib.util.find_spec(backend) is None:
        message = f"{backend}, Keras's backend, is not installed: install it, or set KERAS_BACKEND to another"
    else:
        return
    print(f"{os.path.basename(sys.argv[0])}: {message}", file=sys.stderr)
    sys.exit(2)


_refuse_other_backends(os.environ.get("KERAS_BACKEND") or BACKENDS[0])
with _silent_start():
    import keras
_refuse_other_backends(keras.backend.backend())  # keras.json may set another one
with _silent_start():
    import models
    from adv import attacks
    from pipeline import provenance, run_directory

models.settings.pin()  # overrides keras.json
signals.at_end(run_directory.abandon)
ATTACKS = ("fgsm", "pgd", "deepfool")  # the default of --attack: three kinds of attack, all fast


def parser(description: str, *, study: str) -> Parser:
    """An argument parser with the arguments of every stage: the cell, the data, the folder of runs."""
    options = Parser(description=description)
    options.set_defaults(study=study)
    datasets = f"{', '.join(data.DATASETS)} or folder:<path>"
    options.add_argument("--dataset", type=name("data set", data.DATASETS, "folder:"), default="digits", help=datasets)
    widths = f"{', '.join(models.MODELS)}; alexnet@0.25 has a quarter of the channels and units"
    options.add_argument("--model", type=model, default="alexnet", help=widths)
    options.add_argument("--seed", type=whole(0, 2**32 - 1), default=0, help="seed of split, training and sampling")
    options.add_argument("--runs", type=path, default="runs", help="folder of all run directories")
    where = "folder of the original data files (else $DARE_DATA, the cache, a download)"
    options.add_argument("--data-dir", type=path, help=where)
    options.add_argument("--unverified", action="store_true", help="admit data files without the published digest")
    options.add_argument("--overwrite", action="store_true", help="replace a run made with other arguments")
    deterministic = "the same bits at every run, at some cost in speed"
    options.add_argument("--deterministic", action="store_true", help=deterministic)
    options.add_argument("--quiet", action="store_true", help="no progress")
    return options


def add_attacks(parser: Parser, meaning: str, *, nargs: str = "+"):
    """Add the option --attack: names of the catalogue. meaning: its help text."""
    known = name("attack", attacks.ATTACKS)
    parser.add_argument("--attack", nargs=nargs, type=known, default=list(ATTACKS), help=meaning)


def model(text: str) -> str:
    """An argument's type: a model of the catalogue, also with another width (models.parse)."""
    try:
        models.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return text


def run(main: Callable, parser: Parser):
    """Parse the command line and call ``main(arguments)``.

    Bad input exits with status 2 and one sentence ($DARE_DEBUG=1: a traceback).
    """
    arguments = parser.parse_args()
    try:
        provenance.check_checkout(sys.argv[0])
        with _silent_start():  # on every backend Keras imports TensorFlow here
            keras.utils.set_random_seed(arguments.seed)
        if getattr(arguments, "deterministic", False):
            models.compute.deterministic()
        main(arguments)
    except KeyboardInterrupt:  # with $DARE_DEBUG, or raised by a library; otherwise pipeline/signals.py exits
        run_directory.abandon()
        print("interrupted; the same command continues", file=sys.stderr)
        sys.exit(130)
    except BaseException as error:
        run_directory.abandon()
        if os.environ.get("DARE_DEBUG") or not isinstance(error, EXPECTED + models.compute.ERRORS):
            raise  # a bug: with its traceback
        print(f"{os.path.basename(sys.argv[0])}: {sentence(error)}", file=sys.stderr)
        sys.exit(2)


def sentence(error: BaseException) -> str:
    """An error in one line; an error of the operating system begins with the file."""
    if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error) or "OOM when" in str(error):
        return f"out of memory: give it more, or a smaller --batch-size ({' '.join(str(error).split())[:200]})"
    if isinstance(error, RecursionError):
        return f"nested too deeply: {' '.join(str(error).split())}"
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return " ".join(str(error).split())


def narrow(arguments: argparse.Namespace, **changes) -> argparse.Namespace:
    """The arguments with some of them replaced: of one stage of a script that makes several."""
    return argparse.Namespace(**{**vars(arguments), **changes})


def load_dataset(arguments: argparse.Namespace) -> data.Dataset:
    """The data set of the arguments, with download progress."""
    with Progress("download", arguments.quiet) as progress:
        return data.load(
            arguments.dataset,
            arguments.data_dir,
            unverified=arguments.unverified,
            progress=lambda path, done, total: progress(done, total, str(path)),
        )
