"""What the numbered scripts share: their common arguments, progress on a terminal, and errors in one sentence.

Import it before anything that imports Keras: it keeps the start-up lines of TensorFlow off the terminal.
"""

import argparse
import contextlib
import difflib
import math
import os
import sys
import time
import traceback

import rich.console
import rich.progress

import data
from results.parser import Parser


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


with _silent_start():
    import keras

    import models
    from adv import attacks
    from results import provenance
    from results import run as run_directory

models.settings.pin()  # whatever keras.json says
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
    made.add_argument("--runs", default="runs", help="folder of all run directories")
    made.add_argument("--data-dir", help="folder of the original data files (else $DARE_DATA, the cache, a download)")
    made.add_argument("--unverified", action="store_true", help="admit data files without the published digest")
    made.add_argument("--overwrite", action="store_true", help="replace a run made with other arguments")
    made.add_argument("--deterministic", action="store_true", help="the same bits at every run, at some cost in speed")
    made.add_argument("--quiet", action="store_true", help="no progress")
    return made


def add_attacks(parser, meaning, *, nargs="+"):
    """The option --attack of several stages: names of the catalogue. meaning: what they are there, for the help."""
    known = name("attack", attacks.ATTACKS)
    parser.add_argument("--attack", nargs=nargs, type=known, default=list(ATTACKS), help=meaning)


def name(what, known, prefix=None):
    """An argument's type: one of the names `known`, or anything that begins with `prefix`."""
    spelled = {one.replace("_", "-"): one for one in known}

    def parse(text):
        if text in known or (prefix and text.startswith(prefix) and text != prefix):
            return text
        near = difflib.get_close_matches(text.lower().replace("_", "-"), spelled, 1)
        hint = f"did you mean {spelled[near[0]]}? " if near else ""
        raise argparse.ArgumentTypeError(
            f"unknown {what} {text!r}: {hint}valid names: {', '.join(known)}{f', {prefix}<path>' if prefix else ''}"
        )

    return parse


def model(text):
    """An argument's type: a model of the catalogue, or one of another width (models.parse)."""
    try:
        models.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return text


def whole(least, most=None):
    """An argument's type: a whole number from `least` to `most`."""
    expected = f"expected a whole number of at least {least}" + ("" if most is None else f" and at most {most}")

    def parse(text):
        try:
            value = int(text)
        except ValueError:
            value = None
        if value is None or value < least or (most is not None and value > most):
            raise argparse.ArgumentTypeError(f"{text!r} given, {expected}")
        return value

    return parse


def real(*, above=-math.inf, least=-math.inf, most=math.inf):
    """An argument's type: a finite number above `above`, of at least `least` and at most `most`."""
    bounds = [("above", above), ("at least", least), ("at most", most)]
    expected = " and ".join(f"{word} {bound:g}" for word, bound in bounds if math.isfinite(bound))

    def parse(text):
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not (math.isfinite(value) and value > above and least <= value <= most):
            raise argparse.ArgumentTypeError(f"{text!r} given, expected a number {expected}".rstrip())
        return value

    return parse


def run(main, parser):
    """Parse, call ``main(arguments)``; bad input exits with status 2 and one sentence ($DARE_DEBUG=1: a traceback)."""
    arguments = parser.parse_args()
    try:
        provenance.check_checkout(sys.argv[0])
        with _silent_start():  # on every backend Keras imports TensorFlow here
            keras.utils.set_random_seed(arguments.seed)
        if getattr(arguments, "deterministic", False) and keras.backend.backend() == "tensorflow":
            import tensorflow

            tensorflow.config.experimental.enable_op_determinism()
        main(arguments)
    except (ValueError, OSError, ArithmeticError) as error:
        if os.environ.get("DARE_DEBUG"):
            traceback.print_exc()
        run_directory.abandon()
        print(f"{os.path.basename(sys.argv[0])}: {sentence(error)}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        run_directory.abandon()
        print("interrupted; the same command continues", file=sys.stderr)
        sys.exit(130)


def sentence(error):
    """An error in one line; of the operating system's, the file first."""
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


class Progress:
    """``with Progress("train", quiet) as progress: progress(done, total, note)``.

    A bar on a terminal; elsewhere a plain line at most every ten seconds and at the end; nothing if quiet. Both say how
    long it has taken in this process.
    """

    def __init__(self, title, quiet=False):
        self.title, self.quiet = title, quiet
        self.console = rich.console.Console(stderr=True)
        self.bar, self.task = None, None
        self.begun = self.spoke = time.monotonic()

    def __enter__(self):
        return self

    def __call__(self, done, total, note=""):
        if self.quiet:
            return
        if self.console.is_terminal:
            if self.bar is None:
                columns = (
                    *rich.progress.Progress.get_default_columns(),
                    rich.progress.TimeElapsedColumn(),
                    rich.progress.TextColumn("{task.fields[note]}"),
                )
                self.bar = rich.progress.Progress(*columns, console=self.console)
                self.task = self.bar.add_task(self.title, total=total, note=note)
                self.bar.start()
            self.bar.update(self.task, completed=done, total=total, note=note)
            return
        now = time.monotonic()
        if now - self.spoke > 10 or done == total:
            self.spoke = now
            said = f"{self.title}: {done}/{total} {note}".rstrip()
            print(f"{said}, {now - self.begun:.0f} s", file=sys.stderr, flush=True)

    def __exit__(self, *exception):
        if self.bar is not None:
            self.bar.stop()
