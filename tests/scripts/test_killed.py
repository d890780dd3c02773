"""A stage that is killed or runs out of disk, and the same command again: the bytes of an uninterrupted run."""

import contextlib
import resource
import shutil
import signal
import types

import pytest

pytestmark = pytest.mark.slow

MODEL = ["--model", "alexnet@0.05"]
STAGES = {
    "1_train": ("train", [*MODEL, "--epochs", "8", "--deterministic"]),
    "2_slice": ("slice", [*MODEL, "--deterministic"]),
    "3_get_ats": ("get_ats", [*MODEL, "--deterministic", "--evaluate"]),
    "4_generate_adv": (
        "generate_adv-fgsm",
        [*MODEL, "--attack", "fgsm", "--parts", "250", "100", "260", "60", "--deterministic"],
    ),
}


@pytest.fixture(scope="module")
def whole(shell, tmp_path_factory):
    """Uninterrupted runs: .runs, and .digests of each script's stage but for run.json."""
    folder = tmp_path_factory.mktemp("whole")
    for script, (_, options) in STAGES.items():
        completed = shell.here(script, *options, cwd=folder)
        assert completed.code == 0, completed.err
    digests = {script: digests_of(shell, folder, script) for script in STAGES}
    return types.SimpleNamespace(runs=folder / "runs", digests=digests)


@pytest.fixture
def trained(whole, tmp_path):
    """tmp_path with the uninterrupted training."""
    shutil.copytree(cell(whole.runs.parent) / "train", cell(tmp_path) / "train")
    return tmp_path


@pytest.fixture
def small_files():
    """``with small_files(limit)``: no file may grow beyond so many bytes, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    @contextlib.contextmanager
    def small_files(limit):
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    yield small_files
    signal.signal(signal.SIGXFSZ, handler)


def cell(folder):
    return folder / "runs" / "dare" / f"digits-{MODEL[1]}" / "seed0"


def digests_of(shell, folder, script):
    """The digests of what a script wrote, but for run.json; none may be a temporary file."""
    digests = shell.digests(cell(folder) / STAGES[script][0], but=["run.json"])
    assert not [name for name in digests if ".writing-" in name or name == "started.json"]
    return digests


@pytest.mark.parametrize(
    ("script", "pattern"),
    [
        ("1_train", "history/epoch-0001.record.h5"),
        ("1_train", "history/.writing-*-epoch-0003.weights.h5"),
        ("3_get_ats", ".writing-*-targets.h5"),
        ("4_generate_adv", "block-train-00000.h5"),
        ("4_generate_adv", "block-test-00000.h5"),
    ],
)
def test_killed_and_continued_gives_the_same_bytes(shell, call, whole, trained, script, pattern):
    stage, options = STAGES[script]
    if script == "1_train":
        shutil.rmtree(cell(trained) / "train")
    shell.kill_when(shell.start(script, *options, cwd=trained), cell(trained) / stage, pattern)
    assert not (cell(trained) / stage / "run.json").exists()
    completed = call(script, *options)
    assert completed.code == 0, completed.err
    assert digests_of(shell, trained, script) == whole.digests[script]


@pytest.mark.parametrize(
    ("script", "limit"),
    [("1_train", 8_000), ("1_train", 40_000), ("2_slice", 10_000), ("3_get_ats", 50_000), ("4_generate_adv", 90_000)],
)
def test_a_full_disk_is_one_sentence_and_leaves_whole_files_only(
    shell, call, small_files, whole, trained, script, limit
):
    stage, options = STAGES[script]
    if script == "1_train":
        shutil.rmtree(cell(trained) / "train")
    with small_files(limit):
        completed = call(script, *options, "--quiet")
    assert completed.code == 2, completed
    sentence = completed.err.strip()
    assert sentence.startswith(f"{script}.py: runs/dare/digits-{MODEL[1]}/seed0/{stage}/") and "\n" not in sentence
    assert sentence.endswith("File too large")
    leftovers = shell.digests(cell(trained) / stage, but=["started.json", "run.json", "metrics.csv", ".written"])
    assert leftovers.items() <= whole.digests[script].items()
    completed = call(script, *options)
    assert completed.code == 0, completed.err
    assert digests_of(shell, trained, script) == whole.digests[script]
