"""kill -9 at random moments of random stages, then the same command again: the files of an uninterrupted run.

pytest -m faults tests/faults -s; FAULTS_KILLS says how many (100), FAULTS_SEED which. A kill takes about ten seconds.
"""

import os
import random
import shlex
import shutil
import signal
import subprocess
import sys
import time

import pytest

pytestmark = pytest.mark.faults
KILLS, SEED = int(os.environ.get("FAULTS_KILLS", "100")), int(os.environ.get("FAULTS_SEED", "0"))


def test_killed_anywhere_a_stage_ends_with_the_same_files(whole, stages, tally, tmp_path):
    chance = random.Random(SEED)
    for number in range(KILLS):
        script = chance.choice(stages.names)
        folder = stages.before(script, whole.folder, tmp_path / str(number))
        process = stages.begin(script, folder)
        time.sleep(chance.uniform(0.1, 1.0) * whole.seconds[script])
        process.send_signal(signal.SIGKILL)
        process.communicate()
        killed = process.returncode == -signal.SIGKILL
        tally[f"{script} {'killed' if killed else 'ended before the kill'}, then the same files"] += 1
        stages.finish(script, folder)
        written, expected = stages.files(script, folder), whole.files[script]
        assert written.keys() == expected.keys(), (number, script, written.keys() ^ expected.keys())
        assert {name for name in written if written[name] != expected[name]} == set(), (number, script)
        shutil.rmtree(folder)


def test_a_small_disk_ends_a_stage_in_one_sentence(whole, stages, tally, tmp_path):
    """No file may grow beyond some bytes, as on a full disk: status 2, one sentence, and with room the same files."""
    for script in stages.names:
        folder = stages.before(script, whole.folder, tmp_path / script.replace("/", "-"))
        command = shlex.join([sys.executable, str(stages.scripts / f"{script}.py"), *stages.options[script]])
        line = ["bash", "-c", f"ulimit -f 2; exec {command}"]  # two blocks of 1,024 bytes
        completed = subprocess.run(line, cwd=folder, capture_output=True, text=True, check=False)
        tally[f"small disk: exit status {completed.returncode}"] += 1
        if completed.returncode:
            stages.refused(completed.returncode, completed.stderr, "File too large")
            stages.finish(script, folder)
        assert stages.files(script, folder) == whole.files[script], script
        shutil.rmtree(folder)
    assert tally["small disk: exit status 2"] > len(stages.names) / 2
