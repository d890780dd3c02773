"""Every stage of every study at its smallest, one uninterrupted run of all, and the comparison of runs."""

import collections
import contextlib
import csv
import hashlib
import io
import json
import pathlib
import re
import runpy
import shutil
import subprocess
import sys
import time
import types

import pytest

SCRIPTS = pathlib.Path(__file__).resolve().parents[2] / "scripts"
NET = ["--dataset", "digits", "--quiet", "--deterministic"]
ROBUST = [*NET, "--model", "small_cnn@0.1"]
GUIDED = [*NET, "--model", "mnist_cnn@0.05"]
DARE = [*NET, "--model", "alexnet@0.03"]
TRAIN = ["--setup", "fast", "--images", "300", "--validation", "60", "--probe-images", "20", "--no-augmentation"]
STAGES = {  # script -> (what it writes, its options), in an order in which each finds what it reads
    "dare/1_train": ("train", [*DARE, "--epochs", "6", "--batch-size", "8"]),
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
TIME, EFFORT = re.compile(r"(.*_)?(s|seconds)"), ("peak_memory_mib", "joules")
DIGESTS = "metrics", "digest"
ORIGINS = "command", "commands", "commit", "commits", "dirty", "device", "devices", "resumed", "outputs", "inputs"
PROCESSES = "processes", "continued", "cores", "kernels"
VARYING = {*EFFORT, *DIGESTS, *ORIGINS, *PROCESSES, "rank", "arguments", "of"}


def begin(script, folder):
    line = [sys.executable, str(SCRIPTS / f"{script}.py"), *STAGES[script][1]]
    return subprocess.Popen(line, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(script, folder):
    """Run a stage to its end; returns the seconds that it took."""
    started_at, process = time.monotonic(), begin(script, folder)
    _, err = process.communicate(timeout=600)
    assert process.returncode == 0, (script, err)
    return time.monotonic() - started_at


def folders(script, folder):
    """The folders that a stage has written."""
    return sorted(folder.glob(f"runs/{script.partition('/')[0]}/*/seed0/{STAGES[script][0]}"))


def content(path):
    """The digest of a file, without the entries that differ from run to run, such as times."""
    if path.suffix == ".json":
        text = json.dumps(steady(json.loads(path.read_text(encoding="utf-8"))), sort_keys=True)
    elif path.suffix == ".csv":
        rows = [dict(row) for row in csv.DictReader(io.StringIO(path.read_text(encoding="utf-8")))]
        text = json.dumps(steady(rows))
    else:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    return text


def steady(value):
    if isinstance(value, dict):
        return {name: steady(part) for name, part in value.items() if name not in VARYING and not TIME.fullmatch(name)}
    return [steady(part) for part in value] if isinstance(value, list) else value


def files(script, folder):
    contents = {}
    for stage in folders(script, folder):
        for path in sorted(stage.rglob("*")):
            if path.is_file() and path.name != "seconds.json":
                contents[str(path.relative_to(folder))] = content(path)
    return contents


def here(script, folder, *options):
    """Run a stage in this process, which is faster: .code, .err. For commands that are refused at their start."""
    code, err = 0, io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "argv", [f"{script}.py", *STAGES[script][1], *options])
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(err):
            try:
                runpy.run_path(str(SCRIPTS / f"{script}.py"), run_name="__main__")
            except SystemExit as exit:
                code = exit.code
    return types.SimpleNamespace(code=code, err=err.getvalue())


def before(script, golden, folder):
    """Copy a whole run to `folder`, without the outputs of a stage and of later ones."""
    shutil.copytree(golden, folder)
    order = list(STAGES)
    for later in order[order.index(script) :]:
        for path in folders(later, folder):
            shutil.rmtree(path)
    return folder


def refused(code, err, *words):
    """Exit status 2 and one last sentence with these words in it."""
    assert code == 2 and "Traceback" not in err, (code, err[-900:])
    sentence = err.splitlines()[-1]  # TensorFlow may warn before it, of a disk that takes no temporary file for example
    assert ".py: " in sentence and len(sentence) < 900, err[-900:]
    for word in words:
        assert word in sentence, (word, sentence)


@pytest.fixture(scope="session")
def stages():
    """The functions above and the names of the stages."""
    return types.SimpleNamespace(
        names=list(STAGES), begin=begin, finish=finish, folders=folders, files=files, here=here, before=before,
        refused=refused, options={script: options for script, (_, options) in STAGES.items()}, scripts=SCRIPTS,
    )  # fmt: skip


@pytest.fixture(scope="session")
def whole(tmp_path_factory):
    """Uninterrupted runs of all stages: .folder, .seconds and .files of each script."""
    folder = tmp_path_factory.mktemp("whole")
    seconds = {script: finish(script, folder) for script in STAGES}
    written = {script: files(script, folder) for script in STAGES}
    return types.SimpleNamespace(folder=folder, seconds=seconds, files=written)


@pytest.fixture(scope="module")
def tally():
    """A Counter, printed at the end of a file's tests."""
    counted = collections.Counter()
    yield counted
    print("\n" + "\n".join(f"{count:4d} {name}" for name, count in sorted(counted.items())))
