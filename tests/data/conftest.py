"""Tiny data sets in the original file formats, and the folder of real ones."""

import gzip
import os
import pathlib
import pickle
import struct
import types

import numpy
import pytest


@pytest.fixture
def real():
    """The folder of real data sets that DARE_DATA names."""
    if not os.environ.get("DARE_DATA"):
        pytest.skip("DARE_DATA names no folder of real data")
    return pathlib.Path(os.environ["DARE_DATA"])


def write_idx(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    path.write_bytes(gzip.compress(header + array.astype(numpy.uint8).tobytes()))


def write_mnist(folder, seed=0, train=40, test=20):
    """The four IDX files with every digit; returns the arrays written."""
    generator = numpy.random.default_rng(seed)
    arrays = []
    for prefix, count in (("train", train), ("t10k", test)):
        images = generator.integers(0, 256, (count, 28, 28), numpy.uint8)
        labels = numpy.arange(count) % 10
        write_idx(folder / f"{prefix}-images-idx3-ubyte.gz", images)
        write_idx(folder / f"{prefix}-labels-idx1-ubyte.gz", labels)
        arrays += [images[..., None], labels]
    return arrays


def cifar_bytes(pixels, labels, key=b"labels"):
    """A batch as Python 2 pickled it: byte-string keys, protocol 2, the old module name of NumPy."""
    names = [f"object{label}_s_{place:06d}.png".encode() for place, label in enumerate(labels)]
    content = {b"data": pixels, key: labels, b"batch_label": b"tiny", b"filenames": names}
    content = pickle.dumps(content, protocol=2)
    return content.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")


def cifar_batches(seed=0, count=20, classes=10):
    """Six batches by name, (pixels (N, 3072), labels)."""
    generator = numpy.random.default_rng(seed)
    names = [f"data_batch_{number}" for number in range(1, 6)] + ["test_batch"]
    return {
        name: (generator.integers(0, 256, (count, 3072), numpy.uint8), [i % classes for i in range(count)])
        for name in names
    }


def write_cifar(folder, batches):
    folder.mkdir(parents=True, exist_ok=True)
    for name, (pixels, labels) in batches.items():
        (folder / name).write_bytes(cifar_bytes(pixels, labels))


@pytest.fixture
def write():
    """The writers of this file: idx, mnist, cifar_bytes, cifar_batches, cifar."""
    return types.SimpleNamespace(
        idx=write_idx,
        mnist=write_mnist,
        cifar_bytes=cifar_bytes,
        cifar_batches=cifar_batches,
        cifar=write_cifar,
    )
