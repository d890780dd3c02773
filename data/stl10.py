"""STL-10, binary version: images of 96x96 as bytes, column by column, in a folder or in the published tar.gz.

Source: Coates, Ng, Lee, An Analysis of Single-Layer Networks in Unsupervised Feature Learning, AISTATS 2011,
https://cs.stanford.edu/~acoates/stl10/. The files number the classes from 1, here they start at 0. The unlabelled
images are not read.
"""

import numpy

from data import archive, damage, dataset

ARCHIVE = "stl10_binary.tar.gz"
FOLDER = "stl10_binary"
PARTS = (("train_X.bin", "train_y.bin"), ("test_X.bin", "test_y.bin"))
FILES = tuple(name for part in PARTS for name in part)
IMAGE = 3 * 96 * 96
MOST = 1 << 29  # most bytes of a file; the largest of these has two fifths of it


def decode(images: bytes, labels: bytes, where: str) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Decode one part: images uint8 (N, 96, 96, 3) and labels int64 (N,).

    Raises ValueError, naming `where`, for an incomplete image, and for labels other than 1 to 10.
    """
    if not images or len(images) % IMAGE:
        raise ValueError(
            f"{where}: holds {len(images)} bytes of images, expected a multiple of {IMAGE} (3 x 96 x 96): "
            "the file is cut or another one, fetch it again"
        )
    numbers = numpy.frombuffer(labels, numpy.uint8)
    invalid = numbers[(numbers < 1) | (numbers > 10)]
    if invalid.size:
        raise ValueError(f"{where}: label {invalid[0]}, expected 1 to 10: is this the right file?")
    pixels = numpy.frombuffer(images, numpy.uint8).reshape(-1, 3, 96, 96).transpose(0, 3, 2, 1)
    return dataset.check(pixels, numbers.astype(numpy.int64) - 1, shape=(96, 96, 3), classes=10, where=where)


def read(paths: dict) -> tuple:
    """Read both parts: ``(x_train, y_train, x_test, y_test)``. paths: file name -> path, of archive or files."""
    if ARCHIVE in paths:
        contents, place = archive.read(paths[ARCHIVE], FOLDER, FILES), f"{paths[ARCHIVE]}: "
    else:
        contents, place = {name: damage.content(paths[name], MOST) for name in FILES}, f"{paths[FILES[0]].parent}/"
    parts = []
    for images, labels in PARTS:
        parts += decode(contents.pop(images), contents.pop(labels), f"{place}{images} with {labels}")
    return tuple(parts)
