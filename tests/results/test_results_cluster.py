"""What a sweep on a cluster submits and says, with submitit's own executors in place of SLURM's."""

import json
import sys

import pytest

from results import cluster


@pytest.fixture
def sweep(tmp_path, monkeypatch):
    """Two cells that write a file each, and tables that write another; the second cell fails while `broken` exists."""
    monkeypatch.chdir(tmp_path)

    def write(name):
        return [sys.executable, "-c", f"open({name!r}, 'a').write('x'); assert {name!r} != 'b' or "
                "not __import__('os').path.exists('broken')"]  # fmt: skip

    return cluster.Sweep(tmp_path / "sweep", {"a": [write("a")], "b": [write("b")]}, [write("tables")])


def test_jobs_run_their_commands_and_mark_that_they_are_done(sweep, tmp_path):
    cluster.Job(sweep.cells["a"], str(tmp_path), str(sweep.folder / "a.done.json"))()
    assert (tmp_path / "a").read_text() == "x" and sweep.done("a") and not sweep.done("b")
    other = cluster.Sweep(sweep.folder, {"a": [*sweep.cells["a"], ["true"]]}, [])
    assert not other.done("a"), "other commands are another cell"
    (tmp_path / "broken").touch()
    with pytest.raises(RuntimeError, match="stopped with exit status 1"):
        cluster.Job(sweep.cells["b"], str(tmp_path), str(sweep.folder / "b.done.json"))()
    assert not sweep.done("b")


def test_a_job_before_its_timeout_is_submitted_again_as_it_is(sweep, tmp_path):
    job = cluster.Job(sweep.cells["a"], str(tmp_path), None)
    assert job.checkpoint().function == job


def test_all_cells_then_the_tables(sweep, tmp_path):
    left, _ = cluster.submit(sweep, cluster.Resources(), cluster="debug")
    assert left == ["a", "b"]
    for name in cluster.known(sweep.folder)["cells"]:
        assert json.loads((sweep.folder / "jobs.json").read_text())["cells"][name]["id"]


def test_states(sweep, monkeypatch):
    jobs = {"cells": {"a": {"id": "7_0", "log": None}, "b": {"id": "7_1", "log": None}}, "tables": "8"}
    sweep.folder.mkdir()
    (sweep.folder / "jobs.json").write_text(json.dumps(jobs))
    for queued, expected in (
        ({"7_0": "RUNNING", "7_1": "PENDING"}, ["running", "waiting"]),
        ({}, ["failed", "failed"]),
    ):
        monkeypatch.setattr(cluster, "queue", lambda queued=queued: queued)
        assert [one["state"] for one in cluster.status(sweep).values()] == expected
    (sweep.folder / "jobs.json").unlink()
    assert [one["state"] for one in cluster.status(sweep).values()] == ["new", "new"]


def test_without_slurm_it_says_so(sweep, monkeypatch):
    monkeypatch.setattr(cluster.shutil, "which", lambda name: None)
    with pytest.raises(ValueError, match="sbatch is not on the PATH"):
        cluster.submit(sweep, cluster.Resources())


def test_the_end_of_a_log(tmp_path):
    (tmp_path / "log").write_text("\n".join(map(str, range(9))))
    assert cluster.last_lines(tmp_path / "log", 2) == ["7", "8"] and cluster.last_lines(None) == ["no log"]
