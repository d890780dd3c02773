"""The common part of the numbered scripts: shared arguments, and errors in one sentence.

`run` loads Keras once the arguments are read, and keeps the start-up lines of TensorFlow off the terminal.
"""

import argparse
import contextlib
import difflib
import importlib.util
import logging
import os
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any

import keras

import data
import models
from adv import attacks
from data import files, folder
from pipeline import guide, late, provenance, run_directory, signals
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


signals.at_end(files.discard)
signals.at_end(run_directory.abandon)
OWN = r"[A-Za-z][A-Za-z0-9_.-]{0,60}"  # names of users' own nets
WIDTHS = "net; alexnet@0.25 has a quarter of the channels and units"
ATTACKS = ("fgsm", "pgd", "deepfool")  # the default of --attack: three kinds of attack, all fast


def parser(
    description: str,
    *,
    study: str,
    accepted: Sequence[str] | None = None,
    own: bool = False,
    add_model: bool = True,
    example: str = "",
    **settings: Any,
) -> Parser:
    """An argument parser with the arguments of every stage: the cell, the data, the folder of runs.

    accepted: models of the catalogue that the stage accepts, of any width (None: all); own: also the names of nets that
    a user imported before; add_model: whether there is --model; example: options of a command; settings: argparse's.
    """
    parser = Parser(description=description, example=example, **settings)
    parser.set_defaults(study=study)
    accepted = tuple(dict.fromkeys(accepted or models.MODELS))
    cell = parser.add_argument_group("cell")
    cell.add_argument("--dataset", type=name("data set", data.DATASETS, "folder:"), default="digits", help="images")
    if add_model:
        also = ", or the name of a net that 0_import.py took" if own else ""
        cell.add_argument("--model", type=model(accepted, own), default="alexnet", help=WIDTHS + also)
    cell.add_argument("--seed", type=whole(0, 2**32 - 1), default=0, help="seed of split, training and sampling")
    if own:
        parser.require(
            lambda arguments: not _refused(arguments.model, accepted) or _is_imported(arguments),
            lambda arguments: (
                f"argument --model: {_refused(arguments.model, accepted)}; none of that name was imported"
            ),
        )
    add_data(parser)
    running = add_running(parser)
    running.add_argument("--runs", type=path, default="runs", help="folder of all run directories")
    running.add_argument("--overwrite", action="store_true", help="replace a run made with other arguments")
    return parser


def add_data(parser: Parser) -> None:
    """The options that say where the data files are."""
    group = parser.add_argument_group("data")
    where = "folder of the original data files (default: $DARE_DATA, the cache, a download)"
    group.add_argument("--data-dir", type=path, help=where)
    group.add_argument("--unverified", action="store_true", help="admit data files without the published digest")


def add_running(parser: Parser) -> None:
    """The options on how a script runs, as a group to add to."""
    group = parser.add_argument_group("running")
    same = "the same bits at every run, at some cost in speed"
    group.add_argument("--deterministic", action="store_true", help=same)
    group.add_argument("--quiet", action="store_true", help="no progress")
    return group


def add_attacks(parser: Parser, meaning: str, *, nargs: str = "+") -> None:
    """Add the option --attack: names of the catalogue. meaning: its help text."""
    known = name("attack", attacks.ATTACKS)
    parser.add_argument("--attack", nargs=nargs, type=known, default=list(ATTACKS), help=meaning)


def model(accepted: tuple[str, ...], own: bool = False) -> Callable:
    """An argument's type: an accepted model of the catalogue, or one of another width (models.parse).

    own: any other name of a folder passes too; the parser refuses it where no such net is imported.
    """

    def parse(text):
        reason = _refused(text, accepted)
        if reason and not (own and re.fullmatch(OWN, text) and text not in models.MODELS):
            raise argparse.ArgumentTypeError(reason)
        return text

    parse.metavar, parse.known = "NAME", accepted
    return parse


def _refused(text, accepted):
    """Why a name is none of the accepted models, of any width; None where it is."""
    stem = text.partition("@")[0]
    if stem not in accepted:
        near = difflib.get_close_matches(stem.lower(), accepted, 1)
        hint = f"did you mean {near[0]}? " if near else ""
        what = "model that does not fit here," if stem in models.MODELS else "unknown model"
        return f"{what} {text!r}: {hint}valid names: {', '.join(accepted)}, narrower as in {accepted[0]}@0.25"
    try:
        models.parse(text)
    except ValueError as error:
        return str(error)
    return None


def _is_imported(arguments):
    with contextlib.suppress(ValueError):  # a wrong --dataset is refused where it is read
        return run_directory.finished(run_directory.folder(arguments, "train"))
    return False


def width(arguments: argparse.Namespace) -> float:
    """The width of the model that the arguments name: 1 of a user's own."""
    return models.parse(arguments.model)[1] if arguments.model.partition("@")[0] in models.MODELS else 1.0


def load() -> None:
    """Load Keras on its backend, silently, and pin its settings: what each process of a script does first.

    TensorFlow's warnings are turned off (not with $DARE_DEBUG=1): it says of each net of its own that it compiles anew.

    Exits with status 2 where the backend is none of ours.
    """
    _refuse_other_backends(os.environ.get("KERAS_BACKEND") or BACKENDS[0])
    with _silent_start():
        backend = keras.backend.backend()
    _refuse_other_backends(backend)  # keras.json may name one
    with _silent_start():
        late.load()
    models.settings.pin()  # whatever keras.json says
    if not os.environ.get("DARE_DEBUG"):
        logging.getLogger("tensorflow").setLevel(logging.ERROR)


def run(main: Callable, parser: Parser, follower: str | None = None) -> None:
    """Parse, say what the script does, call ``main(arguments)``, say what comes next.

    Bad input exits with status 2 and one sentence ($DARE_DEBUG=1: a traceback). follower: the name of the next script,
    where it is not the one of the next number.
    """
    arguments = parser.parse_args()
    guide.announce(parser.description, arguments)
    load()
    try:
        provenance.check_checkout(sys.argv[0])
        with _silent_start():  # on every backend Keras imports TensorFlow here
            keras.utils.set_random_seed(arguments.seed)
        if getattr(arguments, "deterministic", False):
            models.compute.deterministic()
        main(arguments)
        following = guide.next_line(arguments, follower)
        if following:
            print(following)
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


def narrow(arguments: argparse.Namespace, **changes: Any) -> argparse.Namespace:
    """The arguments with some of them replaced: of one stage of a script that makes several."""
    return argparse.Namespace(**{**vars(arguments), **changes})


def load_dataset(arguments: argparse.Namespace) -> data.Dataset:
    """The data set of the arguments, with download progress; for a folder of images, a line on what was read."""
    with Progress("download", arguments.quiet) as progress:
        dataset = data.load(
            arguments.dataset,
            arguments.data_dir,
            unverified=arguments.unverified,
            progress=lambda path, done, total: progress(done, total, str(path)),
        )
    _, _, where = arguments.dataset.partition(":")
    if where and not arguments.quiet:
        print(f"{arguments.dataset}: {_read(dataset, where)}", file=sys.stderr, flush=True)
    return dataset


def _read(dataset, where):
    """What was read of a folder of images, and what was not."""
    height, width, channels = dataset.x_train.shape[1:]
    counts = f"{len(dataset.x_train)} training and {len(dataset.x_test)} test images of {height}x{width}x{channels}"
    left_out = folder.left_out(folder.parse(where)[0])
    reasons = "; ".join(f"{count} {reason}" for reason, count in left_out.items())
    return f"{len(dataset.classes)} classes, {counts}; files left out: {reasons or 'none'}"
