"""IDX files, gzipped or unpacked: the format of MNIST and Fashion-MNIST.

Layout: two zero bytes, one type byte (8 = unsigned byte), one byte for the number of dimensions, the
dimensions as big-endian 32-bit integers, then the values. Source: the MNIST page,
http://yann.lecun.com/exdb/mnist/.
"""

import gzip
import pathlib
import struct

import numpy

from data import damage, dataset

TRAIN_IMAGES = "train-images-idx3-ubyte.gz"
TRAIN_LABELS = "train-labels-idx1-ubyte.gz"
TEST_IMAGES = "t10k-images-idx3-ubyte.gz"
TEST_LABELS = "t10k-labels-idx1-ubyte.gz"
FILES = (TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS)
GZIP = b"\x1f\x8b"  # the first bytes of a gzip file


def unpacked(name: str, *, dotted: bool = False) -> str:
    """The name of a published file once it is unpacked. dotted: as some copies have it, train-images.idx3-ubyte."""
    name = name.removesuffix(".gz")
    return name.replace("-idx", ".idx") if dotted else name


def _opened(path):
    """A stream of the unpacked content, whatever the file is called: some programs unpack and keep the name."""
    with open(path, "rb") as file:
        return gzip.open(path, "rb") if file.read(2) == GZIP else open(path, "rb")


def read_file(path: pathlib.Path, item_shape: tuple) -> numpy.ndarray:
    """The items of one IDX file, gzipped or not, of unsigned bytes: uint8 (N, *item_shape).

    Raises ValueError, naming the file, if it is not IDX, of other dimensions, cut or too long.
    """
    dimensions = 1 + len(item_shape)
    with damage.named(path, "not a whole gzip file", "fetch it again"):
        with _opened(path) as stream:
            header = stream.read(4 + 4 * dimensions)
            if header[:4] != bytes([0, 0, 8, dimensions]) or len(header) < 4 + 4 * dimensions:
                raise ValueError(
                    f"{path}: begins with bytes {header[:4].hex(' ')}, expected 00 00 08 {dimensions:02x} "
                    f"(IDX, unsigned bytes, {dimensions} dimensions): is this the right file?"
                )
            count, *shape = struct.unpack(f">{dimensions}I", header[4:])
            if tuple(shape) != tuple(item_shape):
                raise ValueError(
                    f"{path}: announces {count} items of shape {tuple(shape)}, expected shape {tuple(item_shape)}: "
                    "is this the right file?"
                )
            size = count * int(numpy.prod(item_shape, dtype=numpy.int64))
            damage.check_size(path, size)
            body = stream.read(size + 1)
    if len(body) != size:
        seen = f"only {len(body)}" if len(body) < size else "more"
        raise ValueError(f"{path}: holds {seen} bytes of data, expected {size}: fetch it again")
    return numpy.frombuffer(body, numpy.uint8).reshape(count, *item_shape)


def read(paths: dict) -> tuple:
    """Read the four files: ``(x_train, y_train, x_test, y_test)`` with images (N, 28, 28, 1).

    paths: published file name, or that of the unpacked file -> path. Errors as `read_file` and `data.dataset.check`.
    """
    paths = {f"{unpacked(name).replace('.idx', '-idx')}.gz": path for name, path in paths.items()}
    parts = []
    for images_name, labels_name in ((TRAIN_IMAGES, TRAIN_LABELS), (TEST_IMAGES, TEST_LABELS)):
        images = read_file(paths[images_name], (28, 28))[..., numpy.newaxis]
        labels = read_file(paths[labels_name], ())
        where = f"{paths[images_name]} with {paths[labels_name].name}"
        parts += dataset.check(images, labels, shape=(28, 28, 1), classes=10, where=where)
    return tuple(parts)
