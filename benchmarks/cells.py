"""Overhead of a cell over its plain commands: run by reproduce.py, and as a job through submitit.

    python benchmarks/cells.py                 # jobs are local processes; --slurm: SLURM jobs

The cell is that of the quick preset of robust training, made smaller. The aim is 3 s plus the imports (reproduce.py's
own, and submitit's in the job).
"""

import argparse
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

from pipeline import slurm

ROOT = pathlib.Path(__file__).resolve().parents[1]
CELL = ["--study", "robust_training", "--preset", "quick", "--model", "small_cnn@0.05", "--quiet"]
REPRODUCE = [sys.executable, str(ROOT / "scripts" / "reproduce.py"), *CELL]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--slurm", action="store_true", help="the job is SLURM's")
    arguments = parser.parse_args()
    how = "slurm" if arguments.slurm else "local"
    ways = {"plain": plain, "reproduce": reproduce, "job": lambda commands, folder: job(commands, folder, how)}
    seconds = {name: [] for name in ways}
    commands = printed()
    for _ in range(arguments.rounds):
        for name, run in ways.items():
            with tempfile.TemporaryDirectory() as folder:
                started_at = time.perf_counter()
                run(commands, folder)
                seconds[name].append(time.perf_counter() - started_at)
    middle = {name: statistics.median(rounds) for name, rounds in seconds.items()}
    print(f"{len(commands)} plain commands: {middle['plain']:.1f} s (median of {arguments.rounds} rounds)")
    for name, module in (("reproduce", "studies.presets"), ("job", "submitit")):
        imports = statistics.median(imported(module) for _ in range(arguments.rounds))
        print(f"{name}: {middle[name] - middle['plain']:+.1f} s, imports {imports:.1f} s [3 s and the imports]")


def printed() -> list[list[str]]:
    """The cell's commands with the tables' at the end, as --dry-run prints them."""
    dry_run = subprocess.run([*REPRODUCE, "--dry-run"], capture_output=True, text=True, check=True, cwd=ROOT)
    lines = [line.split() for line in dry_run.stdout.splitlines() if line.startswith("python ")]
    return [[sys.executable, str(ROOT / script), *options] for _, script, *options in lines]


def plain(commands: list[list[str]], folder: str) -> None:
    """Run the commands one after the other."""
    for command in commands:
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)


def reproduce(commands: list[list[str]], folder: str) -> None:
    """Run the same cell by scripts/reproduce.py."""
    subprocess.run(REPRODUCE, cwd=folder, check=True, stdout=subprocess.DEVNULL)


def job(commands: list[list[str]], folder: str, how: str) -> None:
    """As scripts/reproduce.py --cluster does it, up to the end of the last job."""
    import submitit

    executor = submitit.AutoExecutor(folder=pathlib.Path(folder) / "logs", cluster=how)
    executor.update_parameters(timeout_min=60, cpus_per_task=os.cpu_count())
    executor.submit(slurm.Job(commands, folder)).result()


def imported(module: str) -> float:
    """Seconds that a new process takes to import a module, without its start."""
    seconds = []
    for line in ("pass", f"import {module}"):
        started_at = time.perf_counter()
        subprocess.run([sys.executable, "-c", line], check=True, cwd=ROOT)
        seconds.append(time.perf_counter() - started_at)
    return seconds[1] - seconds[0]


if __name__ == "__main__":
    main()
