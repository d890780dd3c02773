"""What a sweep on a cluster submits and says, with submitit's own executors in place of SLURM's."""

import json
import os
import sys

import pytest

from pipeline import slurm


@pytest.fixture
def sweep(tmp_path, monkeypatch):
    """Two cells that write a file each, and tables that write another; the second cell fails while `broken` exists."""
    monkeypatch.chdir(tmp_path)

    def write(name):
        return [sys.executable, "-c", f"open({name!r}, 'a').write('x'); assert {name!r} != 'b' or "
                "not __import__('os').path.exists('broken')"]  # fmt: skip

    return slurm.Sweep(tmp_path / "sweep", {"a": [write("a")], "b": [write("b")]}, [write("tables")])


def test_jobs_run_their_commands_and_mark_that_they_are_done(sweep, tmp_path):
    slurm.Job(sweep.cells["a"], str(tmp_path), str(sweep.folder / "a.done.json"))()
    assert (tmp_path / "a").read_text() == "x" and sweep.done("a") and not sweep.done("b")
    other = slurm.Sweep(sweep.folder, {"a": [*sweep.cells["a"], ["true"]]}, [])
    assert not other.done("a"), "other commands are another cell"
    (tmp_path / "broken").touch()
    with pytest.raises(RuntimeError, match="stopped with exit status 1"):
        slurm.Job(sweep.cells["b"], str(tmp_path), str(sweep.folder / "b.done.json"))()
    assert not sweep.done("b")


def test_a_job_before_its_timeout_is_submitted_again_as_it_is(sweep, tmp_path):
    job = slurm.Job(sweep.cells["a"], str(tmp_path), None)
    assert job.checkpoint().function == job


def test_all_cells_then_the_tables(sweep, tmp_path):
    left, _ = slurm.submit(sweep, slurm.Resources(), cluster="debug")
    assert left == ["a", "b"]
    for name in slurm.known(sweep.folder)["cells"]:
        assert json.loads((sweep.folder / "jobs.json").read_text())["cells"][name]["id"]


def test_states(sweep, monkeypatch):
    jobs = {"cells": {"a": {"id": "7_0", "log": None}, "b": {"id": "7_1", "log": None}}, "tables": "8"}
    sweep.folder.mkdir()
    (sweep.folder / "jobs.json").write_text(json.dumps(jobs))
    for queued, expected in (
        ({"7_0": "RUNNING", "7_1": "PENDING"}, ["running", "waiting"]),
        ({}, ["failed", "failed"]),
    ):
        monkeypatch.setattr(slurm, "queue", lambda name, queued=queued: queued)
        assert [one["state"] for one in slurm.status(sweep).values()] == expected
    (sweep.folder / "jobs.json").unlink()
    assert [one["state"] for one in slurm.status(sweep).values()] == ["new", "new"]


@pytest.fixture
def scheduler(tmp_path, monkeypatch):
    """A SLURM of shell scripts: scheduler(sbatch=..., squeue=...) says what they do; .asked(), the scripts given to
    sbatch; .calls(), the options of squeue."""
    folder, kept = tmp_path / "bin", tmp_path / "kept"
    folder.mkdir(), kept.mkdir()

    def install(**commands):
        for name, lines in {"srun": "", "scancel": "", **commands}.items():
            (folder / name).write_text(f'#!/bin/sh\necho "$@" >> {kept}/{name}\n{lines}\n')
            (folder / name).chmod(0o755)

    accept = f"n=$(ls {kept} | grep -c script); cp $1 {kept}/script$n; echo Submitted batch job $((70 + n))"
    install(sbatch=accept, squeue="")
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    install.asked = lambda: [path.read_text() for path in sorted(kept.glob("script*"))]
    install.calls = lambda name: (kept / name).read_text().splitlines() if (kept / name).is_file() else []
    return install


def test_a_scheduler_gets_the_options_and_is_asked_for_our_jobs_alone(sweep, scheduler):
    further = {"constraint": "a100", "exclusive": True, "wckey": "mine"}
    asked = slurm.Resources(gpus=1, partition="long", account="lab", qos="low", sbatch=further)
    assert slurm.submit(sweep, asked) == (["a", "b"], "71")
    for text in scheduler.asked():
        for line in ("partition=long", "account=lab", "qos=low", "constraint=a100", "exclusive", "wckey=mine"):
            assert f"#SBATCH --{line}\n" in text, line
    assert scheduler.calls("squeue") == [f"-h -r -u {os.getuid()} -n sweep -o %i %T"]
    scheduler(squeue="echo 70_0 RUNNING; echo 71 PENDING")
    assert [one["state"] for one in slurm.status(sweep).values()] == ["running", "failed"]
    assert slurm.submit(sweep, asked) == (["b"], "73") and scheduler.calls("scancel") == ["71"]


@pytest.mark.parametrize(
    ("squeue", "said"),
    [
        ("echo slurm_load_jobs error: Unable to contact slurm controller >&2; exit 1", "Unable to contact slurm"),
        ("exit 3", "exit status 3"),
        ("sleep 5", "no answer within 0.2 s"),
    ],
)
def test_a_scheduler_that_does_not_answer_gets_nothing_and_no_cell_has_failed(
    sweep, scheduler, squeue, said, monkeypatch
):
    slurm.submit(sweep, slurm.Resources())
    before = (sweep.folder / "jobs.json").read_text()
    scheduler(squeue=squeue)
    monkeypatch.setattr(slurm, "ANSWER", 0.2 if "sleep" in squeue else 60)
    for ask in (lambda: slurm.submit(sweep, slurm.Resources()), lambda: slurm.status(sweep)):
        with pytest.raises(ValueError, match=f"squeue does not say which jobs run .*{said}.*: nothing was submitted"):
            ask()
    assert len(scheduler.asked()) == 2 and (sweep.folder / "jobs.json").read_text() == before


def test_a_refusal_is_one_sentence_and_nothing_is_lost(sweep, scheduler, capfd):
    refusal = "echo sbatch: error: Invalid account or account/partition combination specified >&2; exit 1"
    scheduler(sbatch=refusal)
    with pytest.raises(ValueError) as caught:
        slurm.submit(sweep, slurm.Resources(account="nobody"))
    said = str(caught.value)
    assert "\n" not in said and "--account" in said and "nothing was submitted: Invalid account or" in said
    assert not (sweep.folder / "jobs.json").exists() and capfd.readouterr().err == ""
    scheduler(sbatch=f"grep -q dependency $1 && {{ {refusal}; }}; echo Submitted batch job 70")
    with pytest.raises(ValueError, match="the tables' job; the cells are submitted"):
        slurm.submit(sweep, slurm.Resources())
    scheduler(sbatch="echo Submitted batch job 90", squeue="echo 70_0 RUNNING; echo 70_1 PENDING")
    assert slurm.submit(sweep, slurm.Resources()) == ([], "90")
    scheduler(sbatch="echo hello")
    with pytest.raises(ValueError, match="Could not make sense"):
        slurm.submit(sweep, slurm.Resources())


def test_a_folder_with_a_line_break_is_no_line_of_a_job_script(tmp_path, scheduler):
    sweep = slurm.Sweep(tmp_path / "a\n#SBATCH --account=theirs", {"a": [["true"]]}, [])
    with pytest.raises(ValueError, match="name another --runs"):
        slurm.submit(sweep, slurm.Resources())
    assert scheduler.asked() == []


def test_without_slurm_it_says_so(sweep, monkeypatch):
    monkeypatch.setattr(slurm.shutil, "which", lambda name: None)
    with pytest.raises(ValueError, match="sbatch is not on the PATH"):
        slurm.submit(sweep, slurm.Resources())
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ValueError, match="squeue is not on the PATH"):
        slurm.status(sweep)


def test_the_end_of_a_log(tmp_path):
    (tmp_path / "log").write_text("\n".join(map(str, range(9))))
    assert slurm.last_lines(tmp_path / "log", 2) == ["7", "8"] and slurm.last_lines(None) == ["no log"]
