"""IDX, SVHN and digits: tiny files in the original formats come back as written, damaged ones are refused."""

import gzip
import struct

import numpy
import pytest
import scipy.io

import data
from data import digits, idx, svhn

FINGERPRINT_OF_DIGITS = "47781b9539eac93210ac7c1eeeb39c4642d775859951c974a7da82768508b240"


def test_idx_round_trip(tmp_path, write):
    images = numpy.random.default_rng(0).integers(0, 256, (7, 28, 28), numpy.uint8)
    write.idx(tmp_path / "images.gz", images)
    write.idx(tmp_path / "labels.gz", numpy.arange(7))
    assert numpy.array_equal(idx.read_file(tmp_path / "images.gz", (28, 28)), images)
    assert idx.read_file(tmp_path / "labels.gz", ()).tolist() == list(range(7))


def idx_bytes(count=3, shape=(28, 28), magic=b"\0\0\x08\x03", body=None):
    body = bytes(count * 784) if body is None else body
    return magic + struct.pack(">3I", count, *shape) + body


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "00 00 08 03"),
        (b"plain text", "begins with bytes 70 6c 61 69"),
        (gzip.compress(idx_bytes(), mtime=0)[:-12], "gzip"),
        (gzip.compress(idx_bytes(), mtime=0)[:15], "gzip"),
        (gzip.compress(idx_bytes(magic=b"\0\0\x08\x01"), mtime=0), "begins with bytes 00 00 08 01"),
        (gzip.compress(b"\0\0\x08\x03\0", mtime=0), "begins with"),
        (gzip.compress(idx_bytes(magic=b"\0\0\x0d\x03"), mtime=0), "begins with bytes 00 00 0d 03"),
        (gzip.compress(idx_bytes(shape=(32, 32)), mtime=0), r"shape \(32, 32\)"),
        (gzip.compress(idx_bytes(count=2**32 - 1, body=b""), mtime=0), "announces 3367254359280 bytes"),
        (gzip.compress(idx_bytes(body=bytes(100)), mtime=0), "only 100 bytes"),
        (gzip.compress(idx_bytes(body=bytes(5000)), mtime=0), "more bytes"),
    ],
)
def test_damaged_idx_files_are_named(tmp_path, content, words):
    path = tmp_path / "images.gz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=words) as caught:
        idx.read_file(path, (28, 28))
    assert "images.gz" in str(caught.value)


def idx_paths(folder):
    return {name: folder / name for name in (idx.TRAIN_IMAGES, idx.TRAIN_LABELS, idx.TEST_IMAGES, idx.TEST_LABELS)}


@pytest.mark.parametrize("dotted", [False, True])
def test_unpacked_idx_files_are_the_same(tmp_path, write, dotted):
    """Under the name of the unpacked file, in either spelling, or still called .gz."""
    written, paths = write.mnist(tmp_path), {}
    for name, path in idx_paths(tmp_path).items():
        content = gzip.decompress(path.read_bytes())
        loose = name if name == idx.TEST_LABELS else idx.unpacked(name, dotted=dotted)
        (tmp_path / loose).write_bytes(content)
        paths[loose] = tmp_path / loose
    for array, expected in zip(idx.read(paths), written, strict=True):
        assert numpy.array_equal(array, expected)


def test_the_four_idx_files_become_a_data_set(tmp_path, write):
    written = write.mnist(tmp_path)
    for array, expected in zip(idx.read(idx_paths(tmp_path)), written, strict=True):
        assert numpy.array_equal(array, expected)
        assert array.dtype == (numpy.uint8 if array.ndim == 4 else numpy.int64)


def test_idx_labels_must_fit_their_images(tmp_path, write):
    write.mnist(tmp_path)
    write.idx(tmp_path / idx.TEST_LABELS, numpy.arange(19) % 10)
    with pytest.raises(ValueError, match="20 images but 19 labels"):
        idx.read(idx_paths(tmp_path))
    write.idx(tmp_path / idx.TEST_LABELS, numpy.arange(20))
    with pytest.raises(ValueError, match="labels range from 0 to 19, expected 0 to 9"):
        idx.read(idx_paths(tmp_path))


def svhn_arrays(count=30):
    generator = numpy.random.default_rng(0)
    images = generator.integers(0, 256, (32, 32, 3, count), numpy.uint8)
    return {"X": images, "y": (numpy.arange(count) % 10 + 1).astype(numpy.uint8)[:, None]}


def test_svhn_label_10_is_digit_0(tmp_path):
    arrays = svhn_arrays()
    scipy.io.savemat(tmp_path / "a.mat", arrays)
    images, labels = svhn.read_file(tmp_path / "a.mat")
    assert labels.tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9, 0] * 3 and labels.dtype == numpy.int64
    assert images.flags.c_contiguous
    assert all(numpy.array_equal(images[i], arrays["X"][:, :, :, i]) for i in range(30))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"y": numpy.arange(30)[:, None]}, "y holds 0, expected 1 to 10"),
        ({"y": numpy.full((30, 1), 11)}, "y holds 11"),
        ({"y": numpy.full((30, 1), 1.5)}, "y holds 1.5"),
        ({"y": numpy.full((30, 1), numpy.nan)}, "y holds nan"),
        ({"y": numpy.ones((29, 1))}, "30 images but 29 labels"),
        ({"y": numpy.ones((6, 5))}, r"shape \(6, 5\)"),
        ({"X": numpy.zeros((32, 32, 30), numpy.uint8)}, r"X has shape"),
        ({"X": numpy.zeros((28, 28, 3, 30), numpy.uint8)}, r"\(28, 28, 3\)"),
        ({"X": numpy.zeros((32, 32, 3, 30))}, "float64 images"),
        ({"X": None}, "lacks the variables"),
    ],
)
def test_wrong_svhn_content_is_named(tmp_path, change, words):
    arrays = {name: value for name, value in (svhn_arrays() | change).items() if value is not None}
    scipy.io.savemat(tmp_path / "a.mat", arrays)
    with pytest.raises(ValueError, match=words) as caught:
        svhn.read_file(tmp_path / "a.mat")
    assert "a.mat" in str(caught.value)


def test_damaged_svhn_files_are_named(tmp_path):
    scipy.io.savemat(tmp_path / "whole.mat", svhn_arrays(), do_compression=True)
    whole = (tmp_path / "whole.mat").read_bytes()
    for content in (
        b"",
        b"text",
        whole[:100],
        whole[:200],
        whole[: len(whole) // 2],
        bytes(500),
        whole[::-1],
    ):
        path = tmp_path / "a.mat"
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"a\.mat"):
            svhn.read_file(path)


def naive_enlarge(image):
    """Bilinear interpolation of one 8x8 image at the centres of 28x28 pixels, in floating point."""
    result = numpy.zeros((28, 28))
    for i in range(28):
        for j in range(28):
            y, x = (min(max((k + 0.5) * 8 / 28 - 0.5, 0), 7) for k in (i, j))
            top, left = min(int(y), 6), min(int(x), 6)
            v, u = y - top, x - left
            result[i, j] = (
                (1 - v) * (1 - u) * image[top, left]
                + (1 - v) * u * image[top, left + 1]
                + v * (1 - u) * image[top + 1, left]
                + v * u * image[top + 1, left + 1]
            )
    return result * 255 / 16


def test_digits_are_enlarged_bilinearly():
    images = numpy.random.default_rng(0).integers(0, 17, (4, 8, 8))
    for image, enlarged in zip(images, digits.enlarge(images), strict=True):
        assert numpy.abs(enlarged - naive_enlarge(image)).max() <= 0.5 + 1e-9
    assert (digits.enlarge(numpy.full((1, 8, 8), 16)) == 255).all()


def test_digits_need_no_file_and_stay_the_same(monkeypatch, tmp_path):
    monkeypatch.setenv("DARE_DATA", str(tmp_path / "nowhere"))
    dataset = data.load("digits")
    assert dataset.x_train.shape == (1438, 28, 28, 1) and dataset.x_test.shape == (359, 28, 28, 1)
    assert dataset.verified and dataset.name == "digits" and dataset.classes == tuple("0123456789")
    counts = numpy.bincount(dataset.y_test) / numpy.bincount(numpy.r_[dataset.y_train, dataset.y_test])
    assert numpy.abs(counts - 0.2).max() < 0.006
    assert dataset.fingerprint == FINGERPRINT_OF_DIGITS
