"""Cells of a preset as one SLURM array through submitit, the tables as the job after it, and how far they are.

A cell is a job: its commands, each in its own process, as reproduce.py runs them on this machine. Everything that a
cell has done lies in its run directories, so a job that is requeued, after a timeout, a preemption or a node's failure,
goes on where it was. What belongs to the sweep is in <runs>/cluster/<study>-<preset>/: jobs.json, logs, and for each
finished cell <cell>.done.json with its commands.
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

    def done(self, name):
        """Whether a cell has finished with these very commands."""
        path = self.folder / f"{name}.done.json"
        return path.is_file() and json.loads(path.read_text(encoding="utf-8"))["commands"] == self.cells[name]


@dataclasses.dataclass(frozen=True)
class Job:
    """What runs on a node: the commands one after the other, in `cwd`; then `marker` is written (None: nothing)."""

    commands: list
    cwd: str
    marker: str | None

    def __call__(self):
        for one in self.commands:
            print(f"$ {shlex.join(one)}", flush=True)
            code = subprocess.run(one, cwd=self.cwd, check=False).returncode
            if code:
                raise RuntimeError(f"stopped with exit status {code}: {shlex.join(one)}")
        if self.marker:
            files.write_json(self.marker, {"commands": self.commands, "job": os.environ.get("SLURM_JOB_ID")})

    def checkpoint(self):
        """Called by submitit before a timeout or a preemption: the same again, which goes on where this one was."""
        import submitit

        return submitit.helpers.DelayedSubmission(self)


def submit(sweep, resources, *, cluster="slurm"):
    """Submit every cell that is neither done nor under way, and the tables after them: (names submitted, tables' job).

    Raises ValueError where there is no such cluster, where it does not say what it runs, and where it takes no job.
    """
    import submitit  # needed for clusters alone

    slurm = cluster == "slurm"
    if slurm and shutil.which("sbatch") is None:
        raise ValueError("sbatch is not on the PATH: --cluster slurm runs on a login node of a SLURM cluster")
    if not str(sweep.folder).isprintable():
        raise ValueError(f"{str(sweep.folder)!r} would be a line of its own in a job's script: name another --runs")
    queued = queue(sweep.folder.name) if slurm else {}
    state = _states(sweep, queued)
    left = [name for name in sweep.cells if not slurm or state[name]["state"] in ("new", "failed")]
    cwd, jobs = os.getcwd(), known(sweep.folder)
    if not left and jobs["tables"] in queued:
        return [], jobs["tables"]
    sweep.folder.mkdir(parents=True, exist_ok=True)
    executor = submitit.AutoExecutor(folder=sweep.folder / "logs", cluster=cluster, slurm_max_num_timeout=1000)
    executor.update_parameters(**resources.parameters(sweep.folder.name, len(left)))
    if left:
        marker = {name: str(sweep.folder.resolve() / f"{name}.done.json") for name in left}
        with _refusals(submitit, "the cells; nothing was submitted"), executor.batch():
            made = [executor.submit(Job(sweep.cells[name], cwd, marker[name])) for name in left]
        jobs["cells"] |= {
            name: {"id": job.job_id, "log": str(job.paths.stderr)} for name, job in zip(left, made, strict=True)
        }
        files.write_json(sweep.folder / "jobs.json", jobs)
    if slurm:
        if jobs["tables"] in queued:  # it waits for the jobs that these replace
            subprocess.run(["scancel", jobs["tables"]], check=False)
        waited = sorted({job["id"].partition("_")[0] for job in jobs["cells"].values()})
        executor.update_parameters(slurm_dependency="afterany:" + ":".join(waited))
    said = "the tables' job; the cells are submitted, and the same command submits the tables alone"
    with _refusals(submitit, said):
        jobs["tables"] = executor.submit(Job(sweep.tables, cwd, None)).job_id
    files.write_json(sweep.folder / "jobs.json", jobs)
    return left, jobs["tables"]


@contextlib.contextmanager
def _refusals(submitit, what):
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
    """What was submitted: "cells", name -> {"id", "log"}, and "tables", the id of the job after them, or None."""
    path = folder / "jobs.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {"cells": {}, "tables": None}


def status(sweep):
    """name -> {"state": done, running, waiting, failed or new, "id", "log"} of every cell. Raises as queue."""
    return _states(sweep, queue(sweep.folder.name))


def _states(sweep, queued):
    jobs, found = known(sweep.folder)["cells"], {}
    for name in sweep.cells:
        job = jobs.get(name, {"id": None, "log": None})
        said = queued.get(job["id"])
        if sweep.done(name):
            state = "done"
        elif said is not None:
            state = "running" if said in RUNNING else "waiting"
        else:
            state = "failed" if job["id"] else "new"
        found[name] = {"state": state, **job}
    return found


def queue(name):
    """Job id -> state of the user's own jobs of that name in SLURM's queue.

    Raises ValueError where SLURM does not answer: what is not known to have ended may run, and is not to be repeated.
    """
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
