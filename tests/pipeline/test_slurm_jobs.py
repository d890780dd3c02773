"""The jobs and messages of a sweep on a cluster, with a SLURM of shell scripts."""

import os
import re
import subprocess
import sys

import pytest

from pipeline import slurm

JOB = 'until [ -x "$1" ]; do shift; done; exec "$@"'  # of srun: its own options are left out


@pytest.fixture
def sweep(tmp_path, monkeypatch):
    """Two cells that write a file each, and tables that write another; the second cell fails while `broken` exists."""
    monkeypatch.chdir(tmp_path)

    def write(name):
        return [sys.executable, "-c", f"open({name!r}, 'a').write('x'); assert {name!r} != 'b' or "
                "not __import__('os').path.exists('broken')"]  # fmt: skip

    return slurm.Sweep(tmp_path / "sweep", {"a": [write("a")], "b": [write("b")]}, [write("tables")])


@pytest.fixture
def scheduler(tmp_path, monkeypatch):
    """A SLURM of shell scripts: scheduler(sbatch=..., squeue=...) says what they do; .asked(), the scripts given to
    sbatch; .calls(), the options of squeue; .run(), run what was submitted since the last time."""
    folder, queue = tmp_path / "bin", tmp_path / "kept"
    folder.mkdir(), queue.mkdir()

    def install(**commands):
        for name, lines in {"srun": JOB, "scancel": "", **commands}.items():
            (folder / name).write_text(f'#!/bin/sh\necho "$@" >> {queue}/{name}\n{lines}\n')
            (folder / name).chmod(0o755)

    def run():
        for path in sorted(queue.glob("script*")):
            number, text = 70 + int(path.name.removeprefix("script")), path.read_text()
            array = re.search("--array=0-(\\d+)", text)
            for task in range(int(array[1]) + 1) if array else [None]:
                own = {"SLURM_JOB_ID": f"{number}", "SLURM_NTASKS": "1", "SLURM_PROCID": "0", "SLURM_LOCALID": "0"}
                own |= {"SLURM_NODEID": "0", "SLURM_JOB_NUM_NODES": "1"}
                if array:
                    own |= {"SLURM_ARRAY_JOB_ID": f"{number}", "SLURM_ARRAY_TASK_ID": f"{task}"}
                subprocess.run(["sh", str(path)], env=os.environ | own, check=False, capture_output=True)
            path.rename(queue / f"ran{path.name}")

    accept = f"n=$(ls {queue} | grep -c script); cp $1 {queue}/script$n; echo Submitted batch job $((70 + n))"
    install(sbatch=accept, squeue="")
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    install.asked = lambda: [path.read_text() for path in sorted(queue.glob("script*"))]
    install.calls = lambda name: (queue / name).read_text().splitlines() if (queue / name).is_file() else []
    install.run = run
    return install


def test_a_job_runs_its_commands_until_one_fails(sweep, tmp_path):
    (tmp_path / "broken").touch()
    with pytest.raises(subprocess.CalledProcessError, match="non-zero exit status 1"):
        slurm.Job([*sweep.cells["a"], *sweep.cells["b"], *sweep.tables], str(tmp_path))()
    assert (tmp_path / "a").read_text() == "x" and not (tmp_path / "tables").exists()


def test_a_job_before_its_timeout_is_submitted_again_as_it_is(sweep, tmp_path):
    job = slurm.Job(sweep.cells["a"], str(tmp_path))
    assert job.checkpoint().function == job


def states(sweep):
    return [cell["state"] for cell in slurm.status(sweep).values()]


def test_what_ended_is_done_or_failed_and_submitting_again_runs_what_is_missing(sweep, scheduler, tmp_path):
    assert states(sweep) == ["new", "new"]
    (tmp_path / "broken").touch()
    assert slurm.submit(sweep, slurm.Resources()) == (["a", "b"], "71")
    scheduler(squeue="echo 70_0 RUNNING; echo 70_1 PENDING; echo 71 PENDING")
    assert states(sweep) == ["running", "waiting"] and slurm.submit(sweep, slurm.Resources()) == ([], "71")
    scheduler.run()
    scheduler(squeue="echo 70_0 COMPLETING")
    assert states(sweep) == ["done", "failed"], "a job that is being cleared away has done what it had to"
    (tmp_path / "broken").unlink()
    assert slurm.submit(sweep, slurm.Resources()) == (["b"], "73")
    scheduler.run()
    assert states(sweep) == ["done", "done"]
    assert [(tmp_path / name).read_text() for name in ("a", "b", "tables")] == ["x", "xx", "xx"]
    scheduler(squeue="")
    other = slurm.Sweep(sweep.folder, {**sweep.cells, "a": [*sweep.cells["a"], ["true"]]}, [])
    assert states(other) == ["new", "done"], "other commands are another cell"


def test_a_job_that_was_killed_has_failed(sweep, scheduler):
    slurm.submit(sweep, slurm.Resources())
    assert states(sweep) == ["failed", "failed"] and slurm.submit(sweep, slurm.Resources())[0] == ["a", "b"]


def test_a_scheduler_gets_the_options_and_is_asked_for_our_jobs_alone(sweep, scheduler):
    further = {"constraint": "a100", "exclusive": True, "wckey": "mine"}
    resources = slurm.Resources(gpus=1, partition="long", account="lab", qos="low", sbatch=further)
    assert slurm.submit(sweep, resources) == (["a", "b"], "71")
    for text in scheduler.asked():
        for line in ("partition=long", "account=lab", "qos=low", "constraint=a100", "exclusive", "wckey=mine"):
            assert f"#SBATCH --{line}\n" in text, line
    assert scheduler.calls("squeue") == [f"-h -r -u {os.getuid()} -n sweep -o %i %T"]
    scheduler(squeue="echo 70_0 RUNNING; echo 71 PENDING")
    assert states(sweep) == ["running", "failed"]
    assert slurm.submit(sweep, resources) == (["b"], "73") and scheduler.calls("scancel") == ["71"]


@pytest.mark.parametrize(
    ("squeue", "message"),
    [
        ("echo slurm_load_jobs error: Unable to contact slurm controller >&2; exit 1", "Unable to contact slurm"),
        ("exit 3", "exit status 3"),
        ("sleep 5", "no answer within 0.2 s"),
    ],
)
def test_a_scheduler_that_does_not_answer_gets_nothing_and_no_cell_has_failed(
    sweep, scheduler, squeue, message, monkeypatch
):
    slurm.submit(sweep, slurm.Resources())
    before = (sweep.folder / "jobs.json").read_text()
    scheduler(squeue=squeue)
    monkeypatch.setattr(slurm, "ANSWER", 0.2 if "sleep" in squeue else 60)
    for ask in (lambda: slurm.submit(sweep, slurm.Resources()), lambda: slurm.status(sweep)):
        with pytest.raises(ValueError, match=f"squeue does not say which jobs run .*{message}.*: nothing was sub"):
            ask()
    assert len(scheduler.asked()) == 2 and (sweep.folder / "jobs.json").read_text() == before


def test_a_refusal_is_one_sentence_and_nothing_is_lost(sweep, scheduler, capfd):
    refusal = "echo sbatch: error: Invalid account or account/partition combination specified >&2; exit 1"
    scheduler(sbatch=refusal)
    with pytest.raises(ValueError) as caught:
        slurm.submit(sweep, slurm.Resources(account="nobody"))
    message = str(caught.value)
    assert "\n" not in message and "--account" in message and "nothing was submitted: Invalid account or" in message
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
