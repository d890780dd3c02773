"""What the numbered scripts share: their common arguments, progress on a terminal, and errors in one sentence."""

import argparse
import os
import sys
import time
import traceback

import keras
import rich.console
import rich.progress

import data


def parser(description, *, study):
    """An argument parser with what every stage of a study takes: which cell, which data, where runs go."""
    made = argparse.ArgumentParser(
        description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter, allow_abbrev=False
    )
    made.set_defaults(study=study)
    made.add_argument("--dataset", default="digits", help=f"{', '.join(data.DATASETS)} or folder:<path>")
    made.add_argument("--model", default="alexnet", help="a model of the catalogue")
    made.add_argument("--seed", type=int, default=0, help="seed of split, training and sampling")
    made.add_argument("--runs", default="runs", help="folder of all run directories")
    made.add_argument("--data-dir", help="folder of the original data files (else $DARE_DATA, the cache, a download)")
    made.add_argument("--unverified", action="store_true", help="admit data files without the published digest")
    made.add_argument("--overwrite", action="store_true", help="replace a run made with other arguments")
    made.add_argument("--deterministic", action="store_true", help="the same bits at every run, at some cost in speed")
    made.add_argument("--quiet", action="store_true", help="no progress")
    return made


def run(main, parser):
    """Parse, call ``main(arguments)``; bad input exits with status 2 and one sentence ($DARE_DEBUG=1: a traceback)."""
    arguments = parser.parse_args()
    try:
        keras.utils.set_random_seed(arguments.seed)
        if getattr(arguments, "deterministic", False) and keras.backend.backend() == "tensorflow":
            import tensorflow

            tensorflow.config.experimental.enable_op_determinism()
        main(arguments)
    except (ValueError, OSError, ArithmeticError) as error:
        if os.environ.get("DARE_DEBUG"):
            traceback.print_exc()
        print(f"{os.path.basename(sys.argv[0])}: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted; the same command continues", file=sys.stderr)
        sys.exit(130)


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

    A bar on a terminal; elsewhere a plain line at most every ten seconds and at the end; nothing if quiet.
    """

    def __init__(self, title, quiet=False):
        self.title, self.quiet = title, quiet
        self.console = rich.console.Console(stderr=True)
        self.bar, self.task, self.spoke = None, None, time.monotonic()

    def __enter__(self):
        return self

    def __call__(self, done, total, note=""):
        if self.quiet:
            return
        if self.console.is_terminal:
            if self.bar is None:
                columns = (
                    *rich.progress.Progress.get_default_columns(),
                    rich.progress.TextColumn("{task.fields[note]}"),
                )
                self.bar = rich.progress.Progress(*columns, console=self.console)
                self.task = self.bar.add_task(self.title, total=total, note=note)
                self.bar.start()
            self.bar.update(self.task, completed=done, total=total, note=note)
        elif time.monotonic() - self.spoke > 10 or done == total:
            self.spoke = time.monotonic()
            print(f"{self.title}: {done}/{total} {note}".rstrip(), file=sys.stderr, flush=True)

    def __exit__(self, *exception):
        if self.bar is not None:
            self.bar.stop()
