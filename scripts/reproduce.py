"""Run a whole study: expand a preset into the commands of its numbered scripts, and run them.

    python scripts/reproduce.py --study dare --preset quick
    python scripts/reproduce.py --study dare --preset paper --dry-run      # print the commands and what they cost
    python scripts/reproduce.py --study dare --preset paper --status       # how many cells are done, running, left
    python scripts/reproduce.py --study dare --preset paper --cluster slurm --gpus 1       # each cell a job of an array
    python scripts/reproduce.py --study dare --preset paper --cluster slurm --status       # done, running, failed
    python scripts/reproduce.py --study dare --preset gpu-15min --minutes 9 # stops itself; the same command goes on
    python scripts/reproduce.py --from-artefacts release.zip                # score a release again, train nothing

Each cell (data set, model, seed) runs in its own process, stage after stage; finished stages are skipped, so the same
command continues after a crash. With --minutes the running stage is ended in time, with exit status 75.
"""

try:
    from pipeline import signals
    from pipeline.arguments import Parser, name, path, whole
except ModuleNotFoundError as error:  # another Python than that of the environment
    raise SystemExit(f"no module {error.name}: run it with .venv/bin/python (make quick makes it)") from None

import argparse
from collections.abc import Sequence
import concurrent.futures
import math
import os
import pathlib
import re
import shlex
import sys
import time

from data import DATASETS
from reporting.cell import cell_name
from studies.catalogue import STUDIES
from studies.presets import cells as cells_of

SCRIPTS = pathlib.Path(__file__).resolve().parent


NOT_YET = 75  # exit status: stopped in time, try again (EX_TEMPFAIL of sysexits.h)


def main(arguments: argparse.Namespace) -> int:
    if arguments.from_artefacts:
        return again(arguments)
    presets = STUDIES[arguments.study].presets()
    if arguments.preset not in presets:
        known = ", ".join(presets)
        message = f"{arguments.study} has no preset {arguments.preset!r}: give {known} (--help lists the options)"
        print(f"reproduce.py: {message}", file=sys.stderr)
        return 2
    chosen = cells_of(presets[arguments.preset], arguments.dataset, arguments.model, arguments.seed)
    cells = [commands(arguments, cell, lines) for cell, lines in chosen.items()]
    tables = [sys.executable, str(SCRIPTS / "tables.py"), "--study", arguments.study, "--runs", arguments.runs]
    if arguments.data_dir:
        tables += ["--data-dir", arguments.data_dir]
    if arguments.unverified:
        tables.append("--unverified")
    if arguments.dry_run:
        from pipeline import command

        from studies import estimate

        command.load()
        for lines in [*cells, [tables]]:
            print("\n".join(show(line) for line in lines))
        print("\n".join(f"# {line}" for line in estimate.lines(cells)))
        return 0
    cell_names = [f"{cell_name(dataset, model)}-seed{seed}" for dataset, model, seed in chosen]
    by_name = dict(zip(cell_names, cells, strict=True))
    if arguments.cluster:
        try:
            return on_cluster(arguments, by_name, tables)
        except ValueError as error:
            print(f"reproduce.py: {error}", file=sys.stderr)
            return 2
    if arguments.status:
        return here(by_name, arguments.runs)
    until = time.monotonic() + 60 * arguments.minutes if arguments.minutes else math.inf
    with concurrent.futures.ThreadPoolExecutor(arguments.workers) as pool:
        failed = [code for code in pool.map(lambda commands: run_cell(commands, until), cells) if code]
    if NOT_YET in failed:
        print(f"reproduce.py: stopped after {arguments.minutes} minutes; the same command continues", file=sys.stderr)
        return NOT_YET
    whole = run_cell([tables]) if len(failed) < len(cells) else 0  # of the cells that there are
    return max([*failed, whole])


def again(arguments: argparse.Namespace) -> int:
    """Score a release again and print what differs; returns the exit status."""
    from pipeline import command

    command.load()
    from studies.dare import rescoring

    folder = pathlib.Path(arguments.runs) / "rescored"
    try:
        rows, differing = rescoring.rescore(arguments.from_artefacts, arguments, folder)
    except command.EXPECTED as error:
        print(f"reproduce.py: {command.sentence(error)}", file=sys.stderr)
        return 2
    print("\n".join([*differing, f"{len(rows)} rows scored again, {len(differing)} differences ({folder / 'tables'})"]))
    return 1 if differing else 0


def here(cells: dict[str, list], runs: str) -> int:
    """Say how far the cells are by what lies in their run directories; returns the exit status, 0."""
    from pipeline import command, stages

    from studies import hours

    command.load()
    progress_of = {name: stages.progress(commands) for name, commands in cells.items()}
    states = [progress.state for progress in progress_of.values()]
    print(", ".join(f"{states.count(state)} {state}" for state in ("done", "running", "left")))
    if {*states} - {"done"}:
        every = [command for commands in cells.values() for command in commands]
        print(hours.sentence(every, hours.measured(runs), unfinished=True))
    for name, progress in progress_of.items():
        if progress.state != "done":
            stages_done = f"{progress.done} of {progress.of} stages done"
            print(f"{progress.state}: {name}, {stages_done}, next:\n    $ {show(progress.next)}")
    return 0


def on_cluster(arguments: argparse.Namespace, cells: dict[str, list], tables: list[str]) -> int:
    """Submit the cells that are left, or with --status say how far they are; returns the exit status."""
    from pipeline import slurm

    folder = pathlib.Path(arguments.runs) / "cluster" / f"{arguments.study}-{arguments.preset}"
    sweep = slurm.Sweep(folder, cells, [tables])
    if not arguments.status:
        names = ("gpus", "cpus", "memory", "minutes", "partition", "account", "qos")
        resources = {name: getattr(arguments, name) for name in names} | {"minutes": arguments.minutes or 240}
        submitted, after = slurm.submit(sweep, slurm.Resources(**resources, sbatch=dict(arguments.sbatch or ())))
        print(f"{len(submitted)} of {len(cells)} cells submitted, the tables after them in job {after} ({folder})")
        return 0
    statuses = slurm.status(sweep)
    states = [status["state"] for status in statuses.values()]
    print(", ".join(f"{states.count(state)} {state}" for state in ("done", "running", "waiting", "failed", "new")))
    for (name, status), cell in zip(statuses.items(), cells.values(), strict=True):
        if status["state"] == "failed":
            dataset, model, seed = (cell[0][cell[0].index(option) + 1] for option in ("--dataset", "--model", "--seed"))
            again = ["--dataset", dataset, "--model", model, "--seed", seed]
            print(f"failed: {name}, {status['log']}")
            print("\n".join(f"    {line}" for line in slurm.last_lines(status["log"])))
            print(f"    $ {again_of(arguments, again)}")
    return 1 if "failed" in states else 0


def again_of(arguments: argparse.Namespace, cell: Sequence[str]) -> str:
    """The command that runs one cell on this machine."""
    line = [sys.executable, str(SCRIPTS / "reproduce.py"), "--study", arguments.study, "--preset", arguments.preset]
    for option in ("runs", "data_dir"):
        if getattr(arguments, option):
            line += [f"--{option.replace('_', '-')}", getattr(arguments, option)]
    return show([*line, *(["--unverified"] if arguments.unverified else []), *cell])


def commands(arguments: argparse.Namespace, cell: tuple, lines: Sequence[tuple]) -> list[list[str]]:
    """The argument lists of a cell's commands. lines: (script, options) of each."""
    dataset, model, seed = cell
    where = ["--runs", arguments.runs, *(["--data-dir", arguments.data_dir] if arguments.data_dir else [])]
    where += [flag for flag in ("--unverified", "--quiet") if getattr(arguments, flag[2:])]
    own = ["--dataset", dataset, "--model", model]
    made = []
    for script, options in lines:
        seeded = [] if "--seed" in options else ["--seed", str(seed)]  # a line of another seed names it itself
        made.append([sys.executable, str(SCRIPTS / f"{script}.py"), *own, *seeded, *where, *options])
    return made


def run_cell(commands: list[list[str]], until: float = math.inf) -> int:
    """Run the commands one after the other, each in its own process; the first failure's exit status, or 0.

    until: time.monotonic() at which the running command is ended and no other begun; the status is then NOT_YET.
    A process that a signal ended counts as 128 plus the signal, as in a shell.
    """
    for command in commands:
        if time.monotonic() >= until:
            return NOT_YET
        print(f"$ {show(command)}", flush=True)
        code = signals.run(command, until)
        if code and time.monotonic() >= until:
            return NOT_YET
        if code:
            print(f"stopped with exit status {code}: {show(command)}", file=sys.stderr, flush=True)
            return code
    return 0


def show(command: list[str]) -> str:
    """The command as a user would type it."""
    return shlex.join(["python", os.path.relpath(command[1]), *command[2:]])


def sbatch_option(text: str) -> tuple[str, str | bool]:
    """(name, value) of an option of sbatch given as NAME=VALUE, or as NAME alone: then the value is True."""
    name, equals, value = text.partition("=")
    if not re.fullmatch(r"[a-z][a-z-]*", name) or (equals and not (value and value.isprintable())):
        raise argparse.ArgumentTypeError(f"{text!r} given, expected NAME=VALUE or NAME, as constraint=a100")
    return name, value if equals else True


def options() -> Parser:
    """The parser of the options."""
    parser = Parser(description=__doc__, usage="%(prog)s --study NAME [--preset NAME] [options]")
    parser.add_argument("--study", choices=STUDIES, default="dare", help="which")
    parser.add_argument(
        "--preset", default="quick", help="quick, small, paper or another of scripts/presets/<study>.toml"
    )
    parser.add_argument(
        "--from-artefacts", metavar="RELEASE", help="score a release of scripts/pack.py again (a file or an address)"
    )
    parser.add_argument("--dry-run", action="store_true", help="print the commands and what they cost, run nothing")
    parser.add_argument("--status", action="store_true", help="run nothing, say how far the cells are")
    cells = parser.add_argument_group("cells, instead of the preset's: all combinations")
    cells.add_argument("--dataset", nargs="+", type=name("data set", DATASETS, "folder:"), help="images")
    cells.add_argument("--model", nargs="+", metavar="NAME", help="nets; alexnet@0.25 has a quarter of the channels")
    cells.add_argument("--seed", nargs="+", type=whole(0, 2**32 - 1), help="seeds of split, training and sampling")
    running = parser.add_argument_group("running")
    running.add_argument("--workers", type=whole(1), default=1, help="cells that run at once")
    running.add_argument("--runs", type=path, default="runs", help="folder of all run directories")
    running.add_argument("--data-dir", type=path, help="folder of the original data files")
    running.add_argument("--unverified", action="store_true", help="admit data files without the published digest")
    running.add_argument("--quiet", action="store_true", help="no progress")
    running.add_argument(
        "--minutes", type=whole(1), help="stop the cells then; on a cluster requeue them (default there: 240)"
    )
    cluster = parser.add_argument_group("on a cluster")
    cluster.add_argument("--cluster", choices=["slurm"], help="submit the cells instead, as one array")
    cluster.add_argument("--gpus", type=whole(0), default=0, help="of each cell")
    cluster.add_argument("--cpus", type=whole(1), default=2, help="of each cell")
    cluster.add_argument("--memory", type=whole(1), default=8, help="GiB of each cell")
    for option, what in (
        ("partition", "partition"),
        ("account", "account that is charged"),
        ("qos", "quality of service"),
    ):
        cluster.add_argument(f"--{option}", metavar="NAME", help=f"{what} (default: the cluster's)")
    cluster.add_argument(
        "--sbatch", nargs="+", type=sbatch_option, metavar="NAME=VALUE",
        help="further options of sbatch, without dashes: constraint=a100 wckey=project exclusive",
    )  # fmt: skip
    of_jobs = ("--gpus", "--cpus", "--memory", "--partition", "--account", "--qos", "--sbatch")
    parser.needs(
        of_jobs, lambda arguments: arguments.cluster and not arguments.status, "--cluster slurm, and no --status"
    )
    parser.needs(
        ["--minutes"], lambda arguments: not arguments.status and not arguments.dry_run, "no --status and no --dry-run"
    )
    of_studies = (
        "--preset",
        "--dry-run",
        "--status",
        "--dataset",
        "--model",
        "--seed",
        "--workers",
        "--minutes",
        "--cluster",
    )
    parser.needs(of_studies, lambda arguments: not arguments.from_artefacts, "no --from-artefacts")
    parser.needs(
        ["--workers"], lambda arguments: not arguments.cluster and not arguments.status, "no --cluster and no --status"
    )
    parser.needs(["--status"], lambda arguments: not arguments.dry_run, "no --dry-run")
    return parser


if __name__ == "__main__":
    if len(sys.argv) == 1:
        options().print_help()
        print("\nreproduce.py: say which study: --study dare --preset quick takes some minutes", file=sys.stderr)
        sys.exit(2)
    sys.exit(main(options().parse_args()))
