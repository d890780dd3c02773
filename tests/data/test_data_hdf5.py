"""What the system says of a file (a lock, permissions, a disk) is not taken for damage, and nobody deletes for it."""

import contextlib
import errno
import fcntl
import os
import signal

import h5py
import keras
import numpy
import pytest

import models
from data import files, hdf5
from train import checkpoints, history


@contextlib.contextmanager
def locked(path):
    """Another process holds the file, as HDF5 does where it writes one, until the context ends."""
    ready, told = os.pipe()
    child = os.fork()
    if not child:
        handle = open(path, "rb")
        fcntl.flock(handle, fcntl.LOCK_EX)
        os.write(told, b"1")
        signal.pause()
    try:
        os.read(ready, 1)
        yield
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(ready)
        os.close(told)


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
def test_what_the_system_says_is_said(tmp_path, monkeypatch, number):
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
        lambda: checkpoints._is_whole_model(path),
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
