"""Two processes on one run directory, and run directories that may not be written to."""

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.faults
STAGES = ["dare/1_train", "dare/4_generate_adv", "dare/5_finetune_dare", "robust_training/1_train"]
STAGES += ["classwise/1_attack", "guided_retraining/4_retrain"]


@pytest.mark.parametrize("script", STAGES)
def test_of_two_processes_one_works(script, whole, stages, tally, tmp_path):
    folder = stages.before(script, whole.folder, tmp_path / "run")
    both = [stages.begin(script, folder) for _ in range(2)]
    results = [(*process.communicate(timeout=600), process.returncode) for process in both]
    codes = sorted(code for *_, code in results)
    assert codes == [0, 2] or (codes == [0, 0] and any("done before, skipped" in out for out, *_ in results)), results
    for _, err, code in results:
        if code:
            stages.refused(code, err, "another process is at work on this stage")
        tally[f"two processes: exit status {code}"] += 1
    assert stages.files(script, folder) == whole.files[script]


@pytest.mark.parametrize("script", STAGES)
def test_a_read_only_folder_is_named(script, whole, stages, tally, tmp_path):
    """Read-only by a mount where this process may mount (root can write to any folder), else by its modes."""
    folder = stages.before(script, whole.folder, tmp_path / "run")
    before = sorted(map(str, folder.rglob("*")))
    line = [sys.executable, str(stages.scripts / f"{script}.py"), *stages.options[script]]
    if os.geteuid() == 0:
        mount = 'mount --bind "$PWD" "$PWD" && mount -o remount,ro,bind "$PWD" && cd "$PWD" && exec "$@"'
        line, message = ["unshare", "--mount", "sh", "-c", mount, "sh", *line], "Read-only file system"
    else:
        message = "Permission denied"
        for path in (folder, *folder.rglob("*")):
            path.chmod(path.stat().st_mode & ~0o222)
    completed = subprocess.run(line, cwd=folder, check=False, capture_output=True, text=True)
    stages.refused(completed.returncode, completed.stderr, message)
    for path in (folder, *folder.rglob("*")):
        path.chmod(path.stat().st_mode | 0o200)
    assert sorted(map(str, folder.rglob("*"))) == before
    tally["read-only: refused, nothing changed"] += 1
