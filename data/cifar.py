"""CIFAR-10 and CIFAR-100, Python version: pickled batches in a folder or in the published tar.gz.

Source: Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009,
https://www.cs.toronto.edu/~kriz/cifar.html. A batch is a dict with b"data" (N, 3072) uint8, channel by
channel, a list of labels, and a list of file names. Batches of one's own may have keys of text and an array of labels.
"""

import dataclasses
import pathlib

import numpy

from data import archive, damage, dataset, pickles


@dataclasses.dataclass(frozen=True)
class Layout:
    """File names inside the published folder, the key of the labels, and the number of classes."""

    folder: str
    archive: str
    train: tuple
    test: tuple
    labels: bytes
    classes: int


MOST = 1 << 29  # bytes of a batch; the largest published one has a quarter of it

CIFAR10 = Layout(
    folder="cifar-10-batches-py",
    archive="cifar-10-python.tar.gz",
    train=tuple(f"data_batch_{number}" for number in range(1, 6)),
    test=("test_batch",),
    labels=b"labels",
    classes=10,
)
CIFAR100 = Layout(
    folder="cifar-100-python",
    archive="cifar-100-python.tar.gz",
    train=("train",),
    test=("test",),
    labels=b"fine_labels",
    classes=100,
)


def read_batch(content: bytes, layout: Layout, where: str | pathlib.Path) -> tuple:
    """Decode one pickled batch: images uint8 (N, 32, 32, 3), labels int64 (N,), file names (N,).

    The file names are None where the batch has none; published batches have them.
    Raises ValueError, naming `where`, if the batch is cut, is not of this `layout`, or asks for any code.
    """
    with damage.named(where, "not a readable CIFAR batch", "fetch it again"):
        batch = pickles.load(content)
    if isinstance(batch, dict):  # of Python 2 the keys are bytes, of one's own mostly text
        batch = {key.encode() if isinstance(key, str) else key: value for key, value in batch.items()}
    if not isinstance(batch, dict) or b"data" not in batch or layout.labels not in batch:
        raise ValueError(f"{where}: no CIFAR batch with data and {layout.labels.decode()}: is this the right file?")
    pixels, labels = getattr(batch[b"data"], "array", None), batch[layout.labels]
    if pixels is None or pixels.dtype != numpy.uint8 or pixels.ndim != 2 or pixels.shape[1] != 3072:
        seen = "no array" if pixels is None else f"an array of {pixels.dtype} and shape {pixels.shape}"
        raise ValueError(f"{where}: data is {seen}, expected bytes (N, 3072): is this the right file?")
    if isinstance(labels, pickles.Array) and labels.array is not None and labels.array.ndim == 1:
        labels = labels.array.tolist()
    if not isinstance(labels, list) or any(type(label) is not int for label in labels):
        raise ValueError(f"{where}: {layout.labels.decode()} is not a list of integers: is this the right file?")
    if any(not 0 <= label < layout.classes for label in labels):
        raise ValueError(
            f"{where}: labels range from {min(labels)} to {max(labels)}, expected 0 to "
            f"{layout.classes - 1}: is this the right file?"
        )
    images = pixels.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    labels = numpy.array(labels, numpy.int64)
    images, labels = dataset.check(images, labels, shape=(32, 32, 3), classes=layout.classes, where=where)
    return images, labels, _file_names(batch.get(b"filenames"), len(labels), where)


def _file_names(names, count, where):
    """The file names of a batch as text (N,), or None."""
    if names is None:
        return None
    if not isinstance(names, list) or len(names) != count or any(type(name) not in (bytes, str) for name in names):
        raise ValueError(f"{where}: filenames is not a list of {count} names: is this the right file?")
    return numpy.array([name.decode("utf-8", "replace") if type(name) is bytes else name for name in names])


def read_archive(path: str | pathlib.Path, layout: Layout) -> dict[str, bytes]:
    """name -> bytes of the batches of a `layout` in the published tar.gz at `path`. Errors as data.archive.read."""
    return archive.read(path, layout.folder, (*layout.train, *layout.test))


def read(paths: dict, layout: Layout) -> tuple:
    """Read all batches: ``(x_train, y_train, x_test, y_test, {"files_train": ..., "files_test": ...})``.

    paths: file name -> path, of the archive or of every batch; layout: of the data set.
    """
    if layout.archive in paths:
        contents = read_archive(paths[layout.archive], layout)
        places = {name: f"{paths[layout.archive]}: {name}" for name in contents}
    else:
        contents = {name: None for name in (*layout.train, *layout.test)}
        places = {name: paths[name] for name in contents}
    parts, file_names = [], {}
    for part, names in (("files_train", layout.train), ("files_test", layout.test)):
        batches = []
        for name in names:
            content = contents.pop(name)
            content = damage.content(paths[name], MOST) if content is None else content
            batches.append(read_batch(content, layout, places[name]))
        images, labels, files = zip(*batches, strict=True)
        parts += [numpy.concatenate(images), numpy.concatenate(labels)]
        file_names[part] = None if any(names is None for names in files) else numpy.concatenate(files)
    return *parts, file_names
