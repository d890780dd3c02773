"""Cells of a preset as one SLURM array through submitit, the tables as the job after it, and how far they are.

A cell is a job: its commands, each in its own process, as reproduce.py runs them on this machine. Everything that a
cell has done lies in its run directories, so a job that is requeued, after a timeout, a preemption or a node's failure,
goes on where it was. What belongs to the sweep is in <runs>/cluster/<study>-<preset>/: jobs.json, and in logs/ what
submitit keeps of each job, its log and its outcome.
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
ANSWER = 60  # seconds that squeue has to answer


@dataclasses.dataclass(frozen=True)
class Resources:
    """Of each cell: gpus, cpus, memory in GiB, minutes after which it is requeued; partition, account, qos (None: the
    cluster's default); sbatch: further options of sbatch, name without dashes -> text, or True for one without."""

    gpus: int = 0
    cpus: int = 2
    memory: int = 8
    minutes: int = 240
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    sbatch: dict = dataclasses.field(default_factory=dict)

    def parameters(self, name, jobs):
        """submitit's parameters for so many jobs of this name."""
        asked = {
            "timeout_min": self.minutes, "cpus_per_task": self.cpus, "mem_gb": self.memory,
            "gpus_per_node": self.gpus, "slurm_partition": self.partition, "slurm_account": self.account,
            "slurm_qos": self.qos, "slurm_array_parallelism": max(1, jobs), "name": name,
        }  # fmt: skip
        return {one: value for one, value in asked.items() if value} | {"slurm_additional_parameters": self.sbatch}


@dataclasses.dataclass(frozen=True)
class Sweep:
    """folder: where its jobs and logs are; cells: name -> commands, each a list of arguments; tables: the commands
    that follow all of them."""

    folder: pathlib.Path
    cells: dict
    tables: list

    @property
    def logs(self):
        """submitit's folder."""
        return self.folder / "logs"


@dataclasses.dataclass(frozen=True)
class Job(submitit.helpers.Checkpointable):
    """What runs on a node: the commands one after the other, in `cwd`, until one fails. Before a timeout or a
    preemption submitit submits the same again, which goes on where this one was."""

    commands: list
    cwd: str

    def __call__(self):
        for one in self.commands:
            print(f"$ {shlex.join(one)}", flush=True)
            subprocess.run(one, cwd=self.cwd, check=True)


def submit(sweep, resources):
    """Submit every cell that is neither done nor under way, and the tables after them: (names submitted, tables' job).

    Raises ValueError where there is no SLURM, where it does not say what it runs, and where it takes no job.
    """
    if shutil.which("sbatch") is None:
        raise ValueError("sbatch is not on the PATH: --cluster slurm runs on a login node of a SLURM cluster")
    if not str(sweep.folder).isprintable():
        raise ValueError(f"{str(sweep.folder)!r} would be a line of its own in a job's script: name another --runs")
    queued = queue(sweep.folder.name)
    left = [name for name, one in _states(sweep, queued).items() if one["state"] in ("new", "failed")]
    cwd, jobs = os.getcwd(), known(sweep.folder)
    if not left and jobs["tables"] in queued:
        return [], jobs["tables"]
    sweep.folder.mkdir(parents=True, exist_ok=True)
    executor = submitit.AutoExecutor(folder=sweep.logs, cluster="slurm", slurm_max_num_timeout=1000)
    executor.update_parameters(**resources.parameters(sweep.folder.name, len(left)))
    if left:
        with _refusals("the cells; nothing was submitted"):
            made = executor.submit_array([Job(sweep.cells[name], cwd) for name in left])
        jobs["cells"] |= {
            name: {"id": job.job_id, "commands": sweep.cells[name]} for name, job in zip(left, made, strict=True)
        }
        files.write_json(sweep.folder / "jobs.json", jobs)
    if jobs["tables"] in queued:  # it waits for the jobs that these replace
        submitit.SlurmJob(sweep.logs, jobs["tables"]).cancel(check=False)
    waited = sorted({job["id"].partition("_")[0] for job in jobs["cells"].values()})
    executor.update_parameters(slurm_dependency="afterany:" + ":".join(waited))
    with _refusals("the tables' job; the cells are submitted, and the same command submits the tables alone"):
        jobs["tables"] = executor.submit(Job(sweep.tables, cwd)).job_id
    files.write_json(sweep.folder / "jobs.json", jobs)
    return left, jobs["tables"]


@contextlib.contextmanager
def _refusals(what):
    """What sbatch says where it takes no job, as a ValueError; its own lines stay off the terminal."""
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            yield
    except (submitit.core.utils.FailedJobError, submitit.core.utils.FailedSubmissionError) as error:
        lines = (line.removeprefix("sbatch: ").removeprefix("error: ").strip() for line in str(error).splitlines())
        said = "; ".join(line for line in lines if line) or "no reason given"
        raise ValueError(
            f"sbatch refused {what}: {said} (--partition, --account, --qos and --sbatch NAME=VALUE say what a cluster "
            "asks for)"
        ) from error


def known(folder):
    """What was submitted: "cells", name -> {"id", "commands"}, and "tables", the id of the job after them, or None."""
    path = folder / "jobs.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {"cells": {}, "tables": None}


def status(sweep):
    """name -> {"state": done, running, waiting, failed or new, "id", "log"} of every cell. Raises as queue."""
    return _states(sweep, queue(sweep.folder.name))


def _states(sweep, queued):
    jobs, found = known(sweep.folder)["cells"], {}
    for name, commands in sweep.cells.items():
        found[name] = {"state": "new", "id": None, "log": None}
        if name in jobs:
            job, same = submitit.SlurmJob(sweep.logs, jobs[name]["id"]), jobs[name]["commands"] == commands
            if same and _succeeded(job):
                state = "done"
            elif job.job_id in queued:
                state = "running" if queued[job.job_id] in RUNNING else "waiting"
            else:
                state = "failed" if same else "new"  # other commands are another cell
            found[name] = {"state": state, "id": job.job_id, "log": str(job.paths.stderr)}
    return found


def _succeeded(job):
    return job.paths.result_pickle.is_file() and job.exception() is None


def queue(name):
    """Job id -> state of the user's own jobs of that name in SLURM's queue.

    Raises ValueError where SLURM does not answer: what is not known to have ended may run, and is not to be repeated.
    """
    # Not submitit's job.state and job.done(): they ask sacct, which a SLURM without an accounting database lacks; they
    # wait for it without a limit; and where it fails they log a warning and say UNKNOWN, as of a job that it has not
    # recorded yet or has forgotten, so that an unreachable scheduler cannot be told from a job that has gone.
    line = ["squeue", "-h", "-r", "-u", str(os.getuid()), "-n", name, "-o", "%i %T"]
    try:
        shown = subprocess.run(line, capture_output=True, text=True, check=False, timeout=ANSWER)
    except FileNotFoundError as error:
        raise ValueError(
            "squeue is not on the PATH: --cluster slurm runs on a login node of a SLURM cluster"
        ) from error
    except subprocess.TimeoutExpired:
        said = f"no answer within {ANSWER} s"
    else:
        if shown.returncode == 0:
            return dict(line.split() for line in shown.stdout.splitlines() if len(line.split()) == 2)
        said = " ".join(shown.stderr.split()) or f"exit status {shown.returncode}"
    raise ValueError(f"squeue does not say which jobs run ({said}): nothing was submitted, try again later")


def last_lines(log, count=5):
    """The end of a log, or what is known of it."""
    path = pathlib.Path(log) if log else None
    if path is None or not path.is_file():
        return ["no log"]
    return path.read_text(encoding="utf-8", errors="replace").splitlines()[-count:] or ["an empty log"]
