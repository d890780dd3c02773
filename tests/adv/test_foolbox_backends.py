"""foolbox's minimum-norm attacks FMN and DDN run on TensorFlow and on jax."""

import os
import pathlib
import subprocess
import sys

import foolbox
import keras
import numpy
import pytest

from adv import foolbox_model, search

ATTACKS = {"L2FMNAttack": (2, 10), "LInfFMNAttack": (numpy.inf, 20), "DDNAttack": (2, 20)}  # name: norm, steps
ROOT = pathlib.Path(__file__).parents[2]
ELSEWHERE = """
import sys

import foolbox
import keras
import numpy

from adv import foolbox_model

model = keras.models.load_model(sys.argv[1])
arrays = numpy.load(sys.argv[2])
results = {}
for name, steps in zip(sys.argv[4::2], sys.argv[5::2], strict=True):
    attack = getattr(foolbox.attacks, name)(steps=int(steps))
    results[name] = foolbox_model.run(attack, model, arrays["x"], arrays["labels"], batch_size=5)
numpy.savez(sys.argv[3], backend=keras.backend.backend(), **results)
"""


@pytest.fixture(scope="module")
def attacked(net, images, tmp_path_factory):
    """name -> the images attacked on the other backend, in a process of its own."""
    other = {"tensorflow": "jax", "jax": "tensorflow"}[keras.backend.backend()]
    folder = tmp_path_factory.mktemp("backend")
    net.save(folder / "net.keras")
    numpy.savez(folder / "images.npz", x=images[0], labels=search.classes(net, images[0]))
    paths = [folder / name for name in ("net.keras", "images.npz", "attacked.npz")]
    steps = [part for name, (_, steps) in ATTACKS.items() for part in (name, str(steps))]
    completed = subprocess.run(
        [sys.executable, "-c", ELSEWHERE, *map(str, paths), *steps],
        env={**os.environ, "KERAS_BACKEND": other, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert not completed.returncode, completed.stderr
    with numpy.load(paths[-1]) as arrays:
        results = dict(arrays)
    assert results.pop("backend") == other
    return results


@pytest.mark.parametrize("name", ATTACKS)
def test_a_minimum_norm_attack_runs_on_both_backends(name, attacked, net, images):
    norm, steps = ATTACKS[name]
    x = images[0]
    labels = search.classes(net, x)
    here = foolbox_model.run(getattr(foolbox.attacks, name)(steps=steps), net, x, labels, batch_size=5)
    distances = []
    for points in (here, attacked[name]):
        assert points.shape == x.shape and points.dtype == numpy.float32
        assert 0 <= points.min() and points.max() <= 1
        assert (search.classes(net, points) != labels).mean() > 0.7
        distances.append(numpy.linalg.norm((points - x).reshape(len(x), -1), ord=norm, axis=1))
    # Rounding differs between the backends, and each step follows a gradient over its own size.
    assert numpy.isclose(*distances, rtol=0.05).mean() > 0.8
