"""Two processes on one run directory, and run directories that may not be written to."""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import pytest

pytestmark = pytest.mark.faults
STAGES = ["dare/1_train", "dare/4_generate_adv", "dare/5_finetune_dare", "robust_training/1_train"]
STAGES += ["classwise/1_attack", "guided_retraining/4_retrain"]
NOBODY = 65534


@pytest.mark.parametrize("script", STAGES)
def test_of_two_processes_one_works(script, whole, stages, tally, tmp_path):
    folder = stages.before(script, whole.folder, tmp_path / "run")
    both = [stages.begin(script, folder) for _ in range(2)]
    said = [(process.communicate(timeout=600)[1], process.returncode) for process in both]
    assert sorted(code for _, code in said) in ([0, 0], [0, 2]), said
    for err, code in said:
        if code:
            stages.refused(code, err, "another process is at work on this stage")
        tally[f"two processes: exit status {code}"] += 1
    assert stages.files(script, folder) == whole.files[script]


@pytest.fixture
def open_folder():
    """A folder that everybody may read, and only its owner write to."""
    folder = pathlib.Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def as_somebody():
    """Before a stage runs: no longer the owner of the files, where that may be (else they are marked read-only)."""
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)


@pytest.mark.parametrize("script", STAGES)
def test_a_read_only_folder_is_named(script, whole, stages, tally, open_folder):
    folder = stages.before(script, whole.folder, open_folder / "run")
    paths = [folder, *folder.rglob("*")]
    if os.geteuid() != 0:
        for path in paths:
            path.chmod(path.stat().st_mode & ~0o222)
    before = sorted(map(str, paths))
    done = subprocess.run(
        [sys.executable, str(stages.scripts / f"{script}.py"), *stages.options[script]], cwd=folder, check=False,
        capture_output=True, text=True, preexec_fn=as_somebody, env={**os.environ, "HOME": "/nowhere"},
    )  # fmt: skip
    stages.refused(done.returncode, done.stderr, "Permission denied")
    assert sorted(map(str, [folder, *folder.rglob("*")])) == before
    tally["read-only: refused, nothing changed"] += 1
    for path in paths:
        path.chmod(path.stat().st_mode | 0o200)
