"""Cost of the run directory: comparing the inputs of a stage, and skipping finished stages.

    python benchmarks/run_directory.py

A small cell (digits, alexnet at a tenth of its width) is run stage by stage in this process, measuring the fraction of
processor time spent comparing inputs. Then every stage of nine copies of the cell is called again. Aims: under 2 % of
each stage; all skipped in under 2 s, without imports.
"""

import contextlib
import io
import os
import pathlib
import shutil
import tempfile
import time
from collections.abc import Callable

import keras

from data import ledger
from pipeline import records, run_directory, stages

SCRIPTS = pathlib.Path(__file__).resolve().parents[1] / "scripts" / "dare"
CELL = ["--dataset", "digits", "--model", "alexnet@0.1", "--quiet"]
COMMANDS = {
    "1_train": ["--epochs", "6", "--batch-size", "16"],
    "2_slice": [],
    "3_get_ats": [],
    "4_generate_adv": ["--attack", "fgsm", "--parts", "100", "50", "200", "50"],
    "5_finetune_dare": ["--variant", "dare", "--choose-on", "fgsm", "--repeats", "1", "--learning-rates", "1e-4"],
    "7_test": ["--attack", "fgsm", "--white-box-images", "50"],
}
COPIES = 8


class Meter:
    """Processor seconds spent in functions; nested calls count once."""

    def __init__(self):
        self.seconds, self.inside = 0.0, False

    def of(self, function: Callable) -> Callable:
        """The function, with its processor seconds added to the meter."""

        def metered(*arguments, **options):
            if self.inside:
                return function(*arguments, **options)
            self.inside, started_at = True, time.process_time()
            try:
                return function(*arguments, **options)
            finally:
                self.seconds, self.inside = self.seconds + time.process_time() - started_at, False

        return metered


def run(name: str) -> float:
    """Run a stage in this process; returns processor seconds."""
    script = stages.script(SCRIPTS / f"{name}.py")
    arguments = script.options().parse_args([*CELL, *COMMANDS[name]])
    keras.utils.set_random_seed(0)
    started_at = time.process_time()
    with contextlib.redirect_stdout(io.StringIO()):
        script.main(arguments)
    return time.process_time() - started_at


def main() -> None:
    meter = Meter()
    for module, function in ((ledger, "check"), (run_directory, "intact"), (run_directory, "complete"),
                             (run_directory, "check_ancestors"), (records, "complete")):  # fmt: skip
        setattr(module, function, meter.of(getattr(module, function)))
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for name in COMMANDS:
            meter.seconds = 0.0
            seconds = run(name)
            print(f"{name:16s} {seconds:7.2f} s, of it comparing inputs {100 * meter.seconds / seconds:5.2f} %")
        cell = next(pathlib.Path("runs/dare").iterdir())
        finished = len([*cell.glob("seed0/*/run.json")])
        started_at = time.perf_counter()
        for _ in range(1 + COPIES):
            for name in COMMANDS:
                run(name)
        seconds = time.perf_counter() - started_at
        print(f"{(1 + COPIES) * finished} finished stages of {1 + COPIES} cells skipped in {seconds:.2f} s")
        os.chdir("/")
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
