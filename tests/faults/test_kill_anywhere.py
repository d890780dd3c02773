"""kill -9 at random moments of random stages, then the same command again: the files of an uninterrupted run.

pytest -m faults tests/faults -s; FAULTS_KILLS says how many (100), FAULTS_SEED which. A kill takes about ten seconds.
"""

import collections
import csv
import hashlib
import io
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import time

import pytest

pytestmark = pytest.mark.faults
SCRIPTS = pathlib.Path(__file__).resolve().parents[2] / "scripts"
KILLS, SEED = int(os.environ.get("FAULTS_KILLS", "100")), int(os.environ.get("FAULTS_SEED", "0"))
NET = ["--dataset", "digits", "--quiet", "--deterministic"]
ROBUST = [*NET, "--model", "small_cnn@0.1"]
GUIDED = [*NET, "--model", "mnist_cnn@0.05"]
DARE = [*NET, "--model", "alexnet@0.03"]
TRAIN = ["--setup", "fast", "--images", "300", "--validation", "60", "--probe-images", "20", "--no-augmentation"]
STAGES = {  # script -> (what it writes, its options), in an order in which each finds what it reads
    "dare/1_train": ("train", [*DARE, "--epochs", "6", "--batch-size", "64"]),
    "dare/2_slice": ("slice", DARE),
    "dare/3_get_ats": ("get_ats", DARE),
    "dare/4_generate_adv": ("generate_adv-*", [*DARE, "--attack", "fgsm", "pgd", "--parts", "12", "8", "12", "8"]),
    "dare/5_finetune_dare": (
        "finetune_dare-*",
        [*DARE, "--variant", "dare", "swa", "--choose-on", "fgsm", "--repeats", "1", "--learning-rates", "1e-4"],
    ),
    "dare/7_test": ("test-*", [*DARE, "--attack", "fgsm", "pgd", "--white-box", "pgd", "--white-box-images", "10"]),
    "robust_training/1_train": ("train-*", [*ROBUST, *TRAIN, "--bp-epochs", "6", "--method", "m+deat", "fat-5"]),
    "robust_training/2_test": ("test-*", [*ROBUST, "--test-images", "40", "--attack", "pgd-20", "apgd-ce"]),
    "classwise/1_attack": ("attack-*", [*ROBUST, "--test-images", "40", "--reach-images", "20", "--attack", "pgd-20"]),
    "guided_retraining/1_train": ("train", [*GUIDED, "--epochs", "2", "--images", "400"]),
    "guided_retraining/2_inputs": ("inputs", GUIDED),
    "guided_retraining/3_rank": ("rank", GUIDED),
    "guided_retraining/4_retrain": ("retrain", [*GUIDED, "--prefixes", "2", "--configuration", "c3"]),
}
TIMES = "wall_s", "seconds", "training_s", "forward_s", "peak_memory_mib", "joules", "metrics"
ORIGINS = "command", "commands", "commit", "dirty", "trained_at", "device", "resumed", "outputs", "inputs", "source"
VARYING = {*TIMES, *ORIGINS, "rank", "arguments", "of"}


def begin(script, folder):
    line = [sys.executable, str(SCRIPTS / f"{script}.py"), *STAGES[script][1]]
    return subprocess.Popen(line, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(script, folder):
    """Run a stage to its end; seconds that it took."""
    begun, process = time.monotonic(), begin(script, folder)
    _, err = process.communicate(timeout=600)
    assert process.returncode == 0, (script, err)
    return time.monotonic() - begun


def made(script, folder):
    """The folders that a stage has written."""
    return sorted(folder.glob(f"runs/{script.partition('/')[0]}/*/seed0/{STAGES[script][0]}"))


def content(path):
    """A file's bytes as a digest, without what differs from run to run in those that record times."""
    if path.suffix == ".json":
        text = json.dumps(steady(json.loads(path.read_text(encoding="utf-8"))), sort_keys=True)
    elif path.suffix == ".csv":
        rows = [dict(row) for row in csv.DictReader(io.StringIO(path.read_text(encoding="utf-8")))]
        text = json.dumps([{name: one for name, one in row.items() if name != "seconds"} for row in rows])
    else:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    return text


def steady(value):
    if isinstance(value, dict):
        return {name: steady(one) for name, one in value.items() if name not in VARYING}
    return [steady(one) for one in value] if isinstance(value, list) else value


def files(script, folder):
    found = {}
    for one in made(script, folder):
        for path in sorted(one.rglob("*")):
            if path.is_file() and path.name != "seconds.json":
                found[str(path.relative_to(folder))] = content(path)
    return found


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Uninterrupted runs of all stages: (folder, script -> seconds, script -> its files)."""
    folder = tmp_path_factory.mktemp("whole")
    seconds = {script: finish(script, folder) for script in STAGES}
    return folder, seconds, {script: files(script, folder) for script in STAGES}


def test_killed_anywhere_a_stage_ends_with_the_same_files(whole, tmp_path):
    golden, seconds, expected = whole
    chance, tally = random.Random(SEED), collections.Counter()
    order = list(STAGES)
    for number in range(KILLS):
        script = chance.choice(order)
        folder = tmp_path / str(number)
        shutil.copytree(golden, folder)
        for later in order[order.index(script) :]:
            for path in made(later, folder):
                shutil.rmtree(path)
        process = begin(script, folder)
        time.sleep(chance.uniform(0.1, 1.0) * seconds[script])
        process.send_signal(signal.SIGKILL)
        process.communicate()
        tally["killed" if process.returncode == -signal.SIGKILL else "ended before"] += 1
        tally[script] += 1
        finish(script, folder)
        found = files(script, folder)
        assert found.keys() == expected[script].keys(), (number, script, found.keys() ^ expected[script].keys())
        for name, one in found.items():
            assert one == expected[script][name], (number, script, name)
        shutil.rmtree(folder)
    print("\n" + "\n".join(f"{count:4d} {name}" for name, count in tally.items()))
    print(f"seed {SEED}: {KILLS} kills, all ended with the files of an uninterrupted run")


def test_a_small_disk_ends_a_stage_in_one_sentence(whole, tmp_path):
    """No file may grow beyond some bytes, as on a full disk: status 2, one sentence, and with room the same files."""
    golden, _, expected = whole
    order, tally = list(STAGES), collections.Counter()
    for script in order:
        folder = tmp_path / script.replace("/", "-")
        shutil.copytree(golden, folder)
        for later in order[order.index(script) :]:
            for path in made(later, folder):
                shutil.rmtree(path)
        options = " ".join(f"'{one}'" for one in STAGES[script][1])
        line = f"ulimit -f 2; exec {sys.executable} {SCRIPTS / script}.py {options}"  # two blocks of 1,024 bytes
        done = subprocess.run(["bash", "-c", line], cwd=folder, capture_output=True, text=True, check=False)
        tally[done.returncode] += 1
        if done.returncode:
            assert done.returncode == 2 and "Traceback" not in done.stderr, (
                script,
                done.returncode,
                done.stderr[-900:],
            )
            # TensorFlow, which can write no temporary file either, warns of that first
            assert done.stderr.splitlines()[-1].startswith(f"{pathlib.Path(script).name}.py: "), (script, done.stderr)
            finish(script, folder)
        assert files(script, folder) == expected[script], script
        shutil.rmtree(folder)
    print(f"a disk with room for 2 KiB a file: {dict(tally)} of {len(order)} stages, by exit status")
    assert tally[2] > len(order) / 2
