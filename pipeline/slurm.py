"""The cells of a preset as one SLURM array through submitit, the tables as the job after it, and their progress.

A cell is one job: its commands, each in its own process, as reproduce.py runs them on this machine. All results of a
cell are in its run directories, so a job that is requeued after a timeout, a preemption or the failure of a node
continues. The folder <runs>/cluster/<study>-<preset>/ has jobs.json, and in logs/ the log and outcome of each job.
"""

import contextlib
import dataclasses
import io
import json
import os
import pathlib
import shlex
import shutil
import subprocess

import submitit

from data import files

RUNNING = ("RUNNING", "COMPLETING")
ANSWER = 60  # seconds for squeue to answer


@dataclasses.dataclass(frozen=True)
class Resources:
    """The resources of each cell.

    gpus, cpus: numbers.
    memory: GiB.
    minutes: time limit, after which the job is requeued.
    partition, account, qos: None for the cluster's default.
    sbatch: further options of sbatch: name without dashes -> text, or True for an option without a value.
    """

    gpus: int = 0
    cpus: int = 2
    memory: int = 8
    minutes: int = 240
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    sbatch: dict = dataclasses.field(default_factory=dict)

    def parameters(self, name: str, jobs: int) -> dict:
        """submitit's parameters. name: of the jobs; jobs: their number."""
        options = {
            "timeout_min": self.minutes, "cpus_per_task": self.cpus, "mem_gb": self.memory,
            "gpus_per_node": self.gpus, "slurm_partition": self.partition, "slurm_account": self.account,
            "slurm_qos": self.qos, "slurm_array_parallelism": max(1, jobs), "name": name,
        }  # fmt: skip
        options = {option: value for option, value in options.items() if value}
        return {**options, "slurm_additional_parameters": self.sbatch}


@dataclasses.dataclass(frozen=True)
class Sweep:
    """All jobs of a preset.

    folder: of jobs.json and logs.
    cells: name -> commands, each a list of arguments.
    tables: the commands after all cells.
    """

    folder: pathlib.Path
    cells: dict
    tables: list

    @property
    def logs(self) -> pathlib.Path:
        """submitit's folder."""
        return self.folder / "logs"


@dataclasses.dataclass(frozen=True)
class Job(submitit.helpers.Checkpointable):
    """What runs on a node: the commands one after the other, in `cwd`, until one fails.

    Before a timeout or a preemption submitit submits the same job again, which continues.
    """

    commands: list
    cwd: str

    def __call__(self):
        for command in self.commands:
            print(f"$ {shlex.join(command)}", flush=True)
            subprocess.run(command, cwd=self.cwd, check=True)


def submit(sweep: Sweep, resources: Resources) -> tuple[list[str], str]:
    """Submit all cells that are not done, running or waiting, and the tables after them.

    Returns the names of the submitted cells and the id of the tables' job.
    Raises ValueError where SLURM is missing, does not list its jobs, or refuses a job.
    """
    # The cells to submit.
    if shutil.which("sbatch") is None:
        raise ValueError("sbatch is not on the PATH: --cluster slurm runs on a login node of a SLURM cluster")
    if not str(sweep.folder).isprintable():
        raise ValueError(f"{str(sweep.folder)!r} would be a line of its own in a job's script: name another --runs")
    queued = queue(sweep.folder.name)
    unfinished = [name for name, cell in _states(sweep, queued).items() if cell["state"] in ("new", "failed")]
    cwd, jobs = os.getcwd(), known(sweep.folder)
    if not unfinished and jobs["tables"] in queued:
        return [], jobs["tables"]

    # The cells, as one array.
    sweep.folder.mkdir(parents=True, exist_ok=True)
    executor = submitit.AutoExecutor(folder=sweep.logs, cluster="slurm", slurm_max_num_timeout=1000)
    executor.update_parameters(**resources.parameters(sweep.folder.name, len(unfinished)))
    if unfinished:
        with _refusals("the cells; nothing was submitted"):
            submitted = executor.submit_array([Job(sweep.cells[name], cwd) for name in unfinished])
        jobs["cells"] |= {
            name: {"id": job.job_id, "commands": sweep.cells[name]}
            for name, job in zip(unfinished, submitted, strict=True)
        }
        files.write_json(sweep.folder / "jobs.json", jobs)

    # The tables, in a job that waits for all cells.
    if jobs["tables"] in queued:  # that job waits for the cells of an earlier submission
        submitit.SlurmJob(sweep.logs, jobs["tables"]).cancel(check=False)
    waited = sorted({job["id"].partition("_")[0] for job in jobs["cells"].values()})
    executor.update_parameters(slurm_dependency="afterany:" + ":".join(waited))
    with _refusals("the tables' job; the cells are submitted, and the same command submits the tables alone"):
        jobs["tables"] = executor.submit(Job(sweep.tables, cwd)).job_id
    files.write_json(sweep.folder / "jobs.json", jobs)
    return unfinished, jobs["tables"]


@contextlib.contextmanager
def _refusals(what):
    """Turn the message of sbatch, when it refuses a job, into a ValueError; its own lines are not printed."""
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            yield
    except (submitit.core.utils.FailedJobError, submitit.core.utils.FailedSubmissionError) as error:
        lines = (line.removeprefix("sbatch: ").removeprefix("error: ").strip() for line in str(error).splitlines())
        reason = "; ".join(line for line in lines if line) or "no reason given"
        raise ValueError(
            f"sbatch refused {what}: {reason} (--partition, --account, --qos and --sbatch NAME=VALUE say what a "
            "cluster asks for)"
        ) from error


def known(folder: pathlib.Path) -> dict:
    """The submitted jobs: "cells", name -> {"id", "commands"}, and "tables", the id of their job or None."""
    path = folder / "jobs.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {"cells": {}, "tables": None}


def status(sweep: Sweep) -> dict:
    """name -> {"state": done, running, waiting, failed or new, "id", "log"} of every cell. Errors as queue."""
    return _states(sweep, queue(sweep.folder.name))


def _states(sweep, queued):
    """As status. queued: job id -> state in SLURM's queue."""
    jobs, cells = known(sweep.folder)["cells"], {}
    for name, commands in sweep.cells.items():
        cells[name] = {"state": "new", "id": None, "log": None}
        if name in jobs:
            job, same = submitit.SlurmJob(sweep.logs, jobs[name]["id"]), jobs[name]["commands"] == commands
            if same and _succeeded(job):
                state = "done"
            elif job.job_id in queued:
                state = "running" if queued[job.job_id] in RUNNING else "waiting"
            else:
                state = "failed" if same else "new"  # other commands are another cell
            cells[name] = {"state": state, "id": job.job_id, "log": str(job.paths.stderr)}
    return cells


def _succeeded(job):
    """Whether submitit has the result of a job without an exception."""
    return job.paths.result_pickle.is_file() and job.exception() is None


def queue(name: str) -> dict[str, str]:
    """job id -> state of the user's jobs of that name in SLURM's queue.

    Raises ValueError where SLURM does not answer: a job that may still run must not be submitted again.
    """
    # Not submitit's job.state and job.done(): they ask sacct, which a SLURM without an accounting database lacks; they
    # wait for it without a limit; and where it fails they log a warning and return UNKNOWN, as for a job that is not
    # recorded yet or not any more, so that an unreachable scheduler looks like a job that has ended.
    line = ["squeue", "-h", "-r", "-u", str(os.getuid()), "-n", name, "-o", "%i %T"]
    try:
        shown = subprocess.run(line, capture_output=True, text=True, check=False, timeout=ANSWER)
    except FileNotFoundError as error:
        raise ValueError(
            "squeue is not on the PATH: --cluster slurm runs on a login node of a SLURM cluster"
        ) from error
    except subprocess.TimeoutExpired:
        reason = f"no answer within {ANSWER} s"
    else:
        if shown.returncode == 0:
            return dict(line.split() for line in shown.stdout.splitlines() if len(line.split()) == 2)
        reason = " ".join(shown.stderr.split()) or f"exit status {shown.returncode}"
    raise ValueError(f"squeue does not say which jobs run ({reason}): nothing was submitted, try again later")


def last_lines(log: str | None, count: int = 5) -> list[str]:
    """The last lines of a log, or a line that there is none."""
    path = pathlib.Path(log) if log else None
    if path is None or not path.is_file():
        return ["no log"]
    return path.read_text(encoding="utf-8", errors="replace").splitlines()[-count:] or ["an empty log"]
