"""SVHN, cropped digits: MATLAB files with X (32, 32, 3, N) and y (N, 1).

Source: Netzer et al. 2011, http://ufldl.stanford.edu/housenumbers/. The files label digit 0 as 10; here the class is
the digit, so 10 becomes 0 [D]. (DARE's released code subtracts one from every label, which orders the classes
differently but changes no accuracy.)
"""

import pathlib

import numpy

from data import dataset, mat5

TRAIN = "train_32x32.mat"
TEST = "test_32x32.mat"


def read_file(path: pathlib.Path) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Read one file: images uint8 (N, 32, 32, 3) and digits int64 (N,). Raises ValueError for any other file."""
    content = mat5.read(path, ("X", "y"))
    if "X" not in content or "y" not in content:
        raise ValueError(f"{path}: lacks the variables X and y of SVHN: is this the right file?")
    images, labels = content["X"], content["y"]
    if images.ndim != 4:
        raise ValueError(f"{path}: X has shape {images.shape}, expected (32, 32, 3, N): is this the right file?")
    if labels.shape not in ((labels.size, 1), (1, labels.size)) or labels.dtype.kind not in "iuf":
        raise ValueError(f"{path}: y is {labels.dtype} of shape {labels.shape}, expected numbers (N, 1)")
    labels = labels.ravel()
    invalid = labels[~numpy.isin(labels, numpy.arange(1, 11))]
    if invalid.size:
        raise ValueError(f"{path}: y holds {invalid[0]}, expected 1 to 10 (10 stands for digit 0)")
    labels = labels.astype(numpy.int64) % 10
    return dataset.check(images.transpose(3, 0, 1, 2), labels, shape=(32, 32, 3), classes=10, where=path)


def read(paths: dict) -> tuple:
    """Read both files: ``(x_train, y_train, x_test, y_test)``. paths: file name -> path."""
    return (*read_file(paths[TRAIN]), *read_file(paths[TEST]))
