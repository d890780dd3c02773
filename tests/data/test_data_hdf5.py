"""Errors of the system (a lock, permissions, a disk) are not reported as damage, which would suggest to delete."""

import contextlib
import errno
import os
import subprocess
import sys

import h5py
import keras
import numpy
import pytest

import models
from data import files, hdf5
from train import checkpoints, history

HOLDER = "import fcntl, sys; file = open(sys.argv[1]); fcntl.flock(file, fcntl.LOCK_EX); print(flush=True); input()"


@contextlib.contextmanager
def locked(path):
    """Another process holds the lock on the file, as HDF5 does while writing, until the context ends."""
    command = [sys.executable, "-c", HOLDER, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        child.stdout.readline()
        yield
        child.communicate(b"\n")


def net():
    inputs = keras.Input((4, 4, 1))
    return keras.Model(inputs, keras.layers.Dense(3)(keras.layers.Flatten()(inputs)))


def test_a_lock_that_another_process_holds_keeps_nobody_from_reading(tmp_path):
    files.save_artefact(tmp_path / "a.h5", "numbers", {"x": numpy.arange(3)})
    with locked(tmp_path / "a.h5"):
        with pytest.raises(BlockingIOError):
            h5py.File(tmp_path / "a.h5", "r")
        assert files.load_artefact(tmp_path / "a.h5", "numbers")[0]["x"].tolist() == [0, 1, 2]
        stored = files.load_artefact(tmp_path / "a.h5", "numbers", [], stored=["x"])[0]["x"]
        assert stored[1:].tolist() == [1, 2]


@pytest.mark.filterwarnings("ignore")
def test_weights_and_whole_models_that_are_locked_are_read(tmp_path):
    model = net()
    paths = [tmp_path / name for name in ("epoch-1.weights.h5", "model.h5", "model.keras")]
    history.save_weights(model, paths[0])
    for path in paths[1:]:
        model.save(path)
    with locked(paths[0]), locked(paths[1]), locked(paths[2]):
        other = net()
        history.load_weights(other, paths[0])
        assert models.fingerprint(other) == models.fingerprint(model)
        for path in paths[1:]:
            assert models.fingerprint(models.load(path)) == models.fingerprint(model)
    (tmp_path / "own").mkdir()
    model.save(tmp_path / "own" / "epoch-1.h5")
    with locked(tmp_path / "own" / "epoch-1.h5"):
        assert models.fingerprint(checkpoints.Checkpoints(tmp_path / "own").final_model()) == models.fingerprint(model)


@pytest.mark.parametrize("number", [errno.EIO, errno.EACCES, errno.EAGAIN, errno.ENOLCK, errno.ESTALE, errno.EMFILE])
def test_errors_of_the_system_are_shown(tmp_path, monkeypatch, number):
    path = tmp_path / "a.h5"
    files.save_artefact(path, "numbers", {"x": numpy.arange(3.0)})
    history.save_weights(net(), tmp_path / "epoch-1.weights.h5")
    stored = files.load_artefact(path, "numbers", [], stored=["x"])[0]["x"]

    def fails(*arguments, **options):
        raise OSError(number, f"Unable to read (errno = {number}, error message = '...')")

    class Failing:
        __getitem__ = fails

    monkeypatch.setattr(h5py, "File", fails)
    stored.dataset = Failing()
    calls = [
        lambda: files.load_artefact(path, "numbers"),
        lambda: stored[:],
        lambda: history.load_weights(net(), tmp_path / "epoch-1.weights.h5"),
        lambda: checkpoints.is_whole_model(path),
    ]
    for call in calls:
        with pytest.raises(OSError) as caught:
            call()
        assert caught.value.errno == number and caught.value.strerror == os.strerror(number)
        assert caught.value.filename.endswith(".h5") and "delete" not in str(caught.value)


def test_damage_is_still_damage(tmp_path):
    for error in (
        OSError("truncated file"),
        OSError(errno.EINVAL, "file read failed"),
        ValueError("no"),
        KeyError("x"),
    ):
        assert hdf5.environment(error, tmp_path) is None
