"""Mining while training and mining somebody's checkpoints, from the shell: the targets of the stored history."""

import shutil

import pytest

from data import files

TRAIN = ("--epochs", "4", "--batch-size", "8", "--deterministic", "--quiet", "--mine", "--keep", "last")


def targets(folder):
    return (cell(folder) / "get_ats" / "targets.h5").read_bytes()


def cell(folder):
    return folder / "runs" / "dare" / "digits-alexnet@0.03" / "seed0"


def test_targets_are_the_same_without_checkpoints(study, call, tmp_path):
    completed = call("1_train", *TRAIN)
    assert completed.code == 0, completed.err
    history = cell(tmp_path) / "train" / "history"
    assert [path.name for path in history.glob("*.weights.h5")] == ["epoch-0004.weights.h5"]
    completed = call("3_get_ats", "--layer", "dense1")
    assert completed.code == 2 and "was kept for layer conv5, not dense1" in completed.err
    assert call("3_get_ats", "--evaluate").err.count("are not kept: train with --keep second-half") == 1
    completed = call("3_get_ats", "--deterministic", "--quiet", "--keep", "mined")
    assert completed.code == 0, completed.err
    assert targets(tmp_path) == targets(study.folder)
    summary = (cell(tmp_path) / "get_ats" / "summary.md").read_text()
    assert summary == (cell(study.folder) / "get_ats" / "summary.md").read_text()
    assert "| samples mined | 719 |" in summary
    assert not (cell(tmp_path) / "train" / "mined").exists()


@pytest.mark.slow
def test_training_in_bfloat16_is_mined_in_float32(call, tmp_path):
    """On the way and from the checkpoints alike; a run in float32 is another run.

    Eight epochs: after four, on some processors, this net answers with one class, and no epoch can be mined.
    """
    train, made = ("1_train", "--epochs", "8", *TRAIN[2:-3]), []
    for how in (["--mine", "--keep", "last"], ["--keep", "all"]):
        said = call(*train, *how, "--precision", "bfloat16", "--overwrite")
        assert said.code == 0, said.err
        said = call("3_get_ats", "--deterministic", "--quiet", "--overwrite")
        assert said.code == 0, said.err
        made.append(targets(tmp_path))
    assert made[0] == made[1]
    said = call(*train, "--keep", "all")
    assert said.code == 2 and "precision" in said.err and "bfloat16" in said.err


def test_somebodys_checkpoints_are_mined(study, call, tmp_path):
    for epoch in range(1, 5):
        shutil.copy(
            cell(study.folder) / "train" / "history" / f"epoch-{epoch:04d}.weights.h5",
            tmp_path / f"net.{epoch}.weights.h5",
        )
    completed = call("3_get_ats", "--checkpoints", tmp_path, "--keep", "mined")
    assert completed.code == 2 and "not your own --checkpoints" in completed.err
    completed = call("3_get_ats", "--scale", "255")
    assert completed.code == 2 and "--scale: without effect here, it needs --checkpoints" in completed.err
    completed = call("3_get_ats", "--checkpoints", tmp_path / "none")
    assert completed.code == 2 and "none: no checkpoints" in completed.err
    assert not cell(tmp_path).exists()
    completed = call("3_get_ats", "--checkpoints", tmp_path, "--quiet")
    assert completed.code == 0, completed.err
    assert targets(tmp_path) == targets(study.folder)


MINED = ("--model", "alexnet@0.05", "--epochs", "8", "--deterministic", "--mine", "--keep", "last")


@pytest.fixture(scope="module")
def uninterrupted(shell, tmp_path_factory):
    """The digests of a training that mines, but for run.json."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    completed = shell.here("1_train", *MINED, cwd=folder)
    assert completed.code == 0, completed.err
    return shell.digests(train(folder), but=["run.json"])


def train(folder):
    return folder / "runs" / "dare" / "digits-alexnet@0.05" / "seed0" / "train"


@pytest.mark.slow
@pytest.mark.parametrize("pattern", ["mined/epoch-0005.best.h5", "mined/.writing-*-epoch-0006.best.h5"])
def test_killed_and_continued_gives_the_same_bytes(shell, call, uninterrupted, tmp_path, pattern):
    shell.kill_when(shell.start("1_train", *MINED, cwd=tmp_path), train(tmp_path), pattern)
    completed = call("1_train", *MINED)
    assert completed.code == 0, completed.err
    assert shell.digests(train(tmp_path), but=["run.json"]) == uninterrupted
    assert not list(train(tmp_path).rglob(files.TEMPORARY + "*"))
