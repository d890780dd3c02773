"""STL-10's binary files and archive: a round trip, and damaged specimens."""

import io
import tarfile

import numpy
import pytest

import data
from data import stl10


@pytest.fixture
def parts():
    """name -> bytes of two tiny parts, and the arrays that they stand for."""
    generator = numpy.random.default_rng(0)
    contents, arrays = {}, []
    for (images, labels), count in zip(stl10.PARTS, (20, 10), strict=True):
        pixels = generator.integers(0, 256, (count, 96, 96, 3), numpy.uint8)
        numbers = (numpy.arange(count) % 10).astype(numpy.int64)
        contents[images] = pixels.transpose(0, 3, 2, 1).tobytes()  # image, channel, column, row
        contents[labels] = (numbers + 1).astype(numpy.uint8).tobytes()
        arrays += [pixels, numbers]
    return contents, arrays


def write(folder, contents):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        (folder / name).write_bytes(content)


@pytest.mark.parametrize("form", ["files", "archive"])
def test_a_round_trip_through_files_and_archive(form, parts, tmp_path):
    contents, arrays = parts
    folder = tmp_path / "stl10"
    if form == "files":
        write(folder / "stl10_binary", contents)
    else:
        folder.mkdir()
        with tarfile.open(folder / stl10.ARCHIVE, "w:gz") as file:
            for name, content in {**contents, "unlabeled_X.bin": b"left alone"}.items():
                entry = tarfile.TarInfo(f"stl10_binary/{name}")
                entry.size = len(content)
                file.addfile(entry, io.BytesIO(content))
    dataset = data.load("stl10", tmp_path, unverified=True)
    for name, expected in zip(("x_train", "y_train", "x_test", "y_test"), arrays, strict=True):
        numpy.testing.assert_array_equal(getattr(dataset, name), expected)
    assert dataset.x_train.flags.c_contiguous and not dataset.verified and dataset.classes[7] == "monkey"
    with pytest.raises(ValueError, match="expected the published"):
        data.load("stl10", tmp_path)


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("train_X.bin", lambda content: content[:-1], "expected a multiple of 27648"),
        ("train_X.bin", lambda content: b"", "holds 0 bytes of images"),
        ("test_X.bin", lambda content: content[: stl10.IMAGE], "1 images but 10 labels"),
        ("train_y.bin", lambda content: b"\x00" + content[1:], "label 0, expected 1 to 10"),
        ("test_y.bin", lambda content: content[:-1] + b"\x0b", "label 11, expected 1 to 10"),
        ("test_y.bin", lambda content: b"\x01" * len(content), "no image of class bird"),
    ],
)
def test_damage_is_named(name, change, words, parts, tmp_path):
    contents, _ = parts
    write(tmp_path / "stl10", contents | {name: change(contents[name])})
    with pytest.raises(ValueError, match=words):
        data.load("stl10", tmp_path, unverified=True)


def test_a_cut_archive(tmp_path):
    (tmp_path / stl10.ARCHIVE).write_bytes(b"\x1f\x8b\x08\x00cut")
    with pytest.raises(ValueError, match="not a whole tar.gz archive"):
        data.load("stl10", tmp_path, unverified=True)
