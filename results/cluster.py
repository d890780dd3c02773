"""Cells of a preset as one SLURM array through submitit, the tables as the job after it, and how far they are.

A cell is a job: its commands, each in its own process, as reproduce.py runs them on this machine. Everything that a
cell has done lies in its run directories, so a job that is requeued, after a timeout, a preemption or a node's failure,
goes on where it was. What belongs to the sweep is in <runs>/cluster/<study>-<preset>/: jobs.json, logs, and for each
finished cell <cell>.done.json with its commands.
"""

import dataclasses
import json
import os
import pathlib
import shlex
import shutil
import subprocess

from data import files

RUNNING = ("RUNNING", "COMPLETING")
WAITING = ("PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "SUSPENDED", "STOPPED")


@dataclasses.dataclass(frozen=True)
class Resources:
    """Of each cell: gpus, cpus, memory in GiB, minutes after which it is requeued, and a partition (None: default)."""

    gpus: int = 0
    cpus: int = 2
    memory: int = 8
    minutes: int = 240
    partition: str | None = None


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

    Raises ValueError where there is no such cluster.
    """
    import submitit  # needed for clusters alone

    if cluster == "slurm" and shutil.which("sbatch") is None:
        raise ValueError("sbatch is not on the PATH: --cluster slurm runs on a login node of a SLURM cluster")
    state = status(sweep) if cluster == "slurm" else {}
    left = [name for name in sweep.cells if state.get(name, {"state": "new"})["state"] in ("new", "failed")]
    sweep.folder.mkdir(parents=True, exist_ok=True)
    executor = submitit.AutoExecutor(folder=sweep.folder / "logs", cluster=cluster, slurm_max_num_timeout=1000)
    asked = {
        "timeout_min": resources.minutes, "cpus_per_task": resources.cpus, "mem_gb": resources.memory,
        "gpus_per_node": resources.gpus, "slurm_array_parallelism": max(1, len(left)), "name": sweep.folder.name,
    }  # fmt: skip
    if resources.partition:
        asked["slurm_partition"] = resources.partition
    executor.update_parameters(**{name: value for name, value in asked.items() if value != 0})
    cwd, jobs = os.getcwd(), known(sweep.folder)
    if left:
        with executor.batch():
            made = [
                executor.submit(Job(sweep.cells[name], cwd, str(sweep.folder.resolve() / f"{name}.done.json")))
                for name in left
            ]
        jobs["cells"] |= {
            name: {"id": job.job_id, "log": str(job.paths.stderr)} for name, job in zip(left, made, strict=True)
        }
        files.write_json(sweep.folder / "jobs.json", jobs)
    elif jobs["tables"] in queue():
        return [], jobs["tables"]
    if cluster == "slurm":
        if jobs["tables"] in queue():  # it waits for the jobs that these replace
            subprocess.run(["scancel", jobs["tables"]], check=False)
        waited = sorted({job["id"].partition("_")[0] for job in jobs["cells"].values()})
        executor.update_parameters(slurm_dependency="afterany:" + ":".join(waited))
    jobs["tables"] = executor.submit(Job(sweep.tables, cwd, None)).job_id
    files.write_json(sweep.folder / "jobs.json", jobs)
    return left, jobs["tables"]


def known(folder):
    """What was submitted: "cells", name -> {"id", "log"}, and "tables", the id of the job after them, or None."""
    path = folder / "jobs.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {"cells": {}, "tables": None}


def status(sweep):
    """name -> {"state": done, running, waiting, failed or new, "id", "log"} of every cell."""
    jobs, queued = known(sweep.folder)["cells"], queue()
    found = {}
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


def queue():
    """Job id -> state of what SLURM has in its queue: {} where it does not answer."""
    try:
        shown = subprocess.run(["squeue", "-h", "-r", "-o", "%i %T"], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return {}
    return dict(line.split() for line in shown.stdout.splitlines() if len(line.split()) == 2)


def last_lines(log, count=5):
    """The end of a log, or what is known of it."""
    path = pathlib.Path(log) if log else None
    if path is None or not path.is_file():
        return ["no log"]
    return path.read_text(encoding="utf-8", errors="replace").splitlines()[-count:] or ["an empty log"]
