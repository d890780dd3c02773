"""What data files announce is compared with their size before it is used: nesting, sizes, members, numbers."""

import contextlib
import gzip
import math
import struct
import tarfile
import tracemalloc
import zlib

import numpy
import pytest
import scipy.io

import data
from data import archive, cifar, damage, idx, mat5, sources, stl10, svhn


@contextlib.contextmanager
def modest():
    """The code inside takes no more memory, as Python and NumPy count it, than a small file justifies."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < damage.SLACK + damage.SLACK // 2
    finally:
        tracemalloc.stop()


def test_a_huge_file_is_not_read_to_be_digested(tmp_path):
    for name in cifar.CIFAR10.train + cifar.CIFAR10.test:
        with open(tmp_path / name, "wb") as file:
            file.truncate(sources.LARGEST + 1)
    with pytest.raises(ValueError, match="data_batch_1: has 4294967297 bytes, expected at most"), modest():
        data.load("cifar10", tmp_path, unverified=True)
    paths = {name: tmp_path / name for name in cifar.CIFAR10.train + cifar.CIFAR10.test}
    with pytest.raises(ValueError, match="data_batch_1: has"), modest():
        cifar.read(paths, cifar.CIFAR10)
    with pytest.raises(ValueError, match="data_batch_1: has"), modest():
        mat5.read(paths["data_batch_1"], ("X",))
    with pytest.raises(ValueError, match="data_batch_1: has"), modest():
        stl10.read(dict.fromkeys(stl10.FILES, paths["data_batch_1"]))


def nested(start, step, end, depth=100_000):
    return start + step * depth + end


PICKLES = {
    "tuples": nested(b"\x80\x02)", b"\x85", b"."),
    "tuples as a key": nested(b"\x80\x02})", b"\x85", b"K\x00s."),
    "tuples shared twice": nested(b"\x80\x02})q\x00", b"h\x00h\x00\x86q\x00", b"K\x00s.", 60),
    "lists": nested(b"\x80\x02", b"]", b"." + b"a" * 10),
    "marks": nested(b"\x80\x02", b"(", b"."),
    "an array of a shape of 100,000 axes": b"\x80\x02cnumpy.core.multiarray\n_reconstruct\n)R(K\x01("
    + b"K\x01" * 100_000 + b"tcnumpy\ndtype\nX\x02\x00\x00\x00u1\x85R\x89B\x01\x00\x00\x00xtb.",
    "an array of a negative shape": b"\x80\x02cnumpy.core.multiarray\n_reconstruct\n)R(K\x01J\xff\xff\xff\xff\x85"
    b"cnumpy\ndtype\nX\x02\x00\x00\x00u1\x85R\x89B\x01\x00\x00\x00xtb.",
    "a dtype of nested tuples": nested(b"\x80\x02cnumpy\ndtype\n)", b"\x85", b"\x85R."),
    "bytes that are not there": b"\x80\x03B\xff\xff\xff\x7fx.",
    "bytes of 2**63": b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7fx.",
    "a frame that is not there": b"\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\x7f).",
    "a number of a million digits": b"\x80\x02I" + b"1" * 10**6 + b"\n.",
    "a memo that is not there": b"\x80\x02h\x07.",
    "a memo of a large place": b"\x80\x02)r\xff\xff\xff\xff.",
    "nothing to put": b"\x80\x02q\x00.",
    "nothing to return": b"\x80\x02.",
    "extensions": b"\x80\x02\x82\x01.",
    "a persistent name": b"\x80\x02K\x01Q.",
    "a buffer of another process": b"\x80\x05\x97.",
}  # fmt: skip


@pytest.mark.parametrize("kind", PICKLES)
def test_pickles(kind):
    with pytest.raises(ValueError, match="^batch: (not a readable CIFAR batch|no CIFAR batch)") as caught, modest():
        cifar.read_batch(PICKLES[kind], cifar.CIFAR10, "batch")
    assert len(str(caught.value)) < 500


def test_a_pickle_of_too_many_opcodes(monkeypatch):
    monkeypatch.setattr("data.pickles.MOST", 100)
    with pytest.raises(ValueError, match="more than 100 opcodes"), modest():
        cifar.read_batch(b"\x80\x02" + b"NN" * 60 + b".", cifar.CIFAR10, "batch")


def tar(path, size, kind=tarfile.REGTYPE, name="cifar-10-batches-py/data_batch_1", body=b""):
    header = tarfile.TarInfo(name)
    header.type, header.size = kind, size
    path.write_bytes(gzip.compress(header.tobuf(tarfile.GNU_FORMAT) + body))


@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_SPARSE])
@pytest.mark.parametrize("size", [1 << 40, 1 << 30, 1 << 62, -512, -(1 << 40)])
def test_sizes_of_a_tar(size, kind, tmp_path):
    path = tmp_path / "a.tar.gz"
    tar(path, size, kind)
    with pytest.raises(ValueError, match=r"a\.tar\.gz: (not a whole tar\.gz|lacks|member .* is a link)"), modest():
        cifar.read_archive(path, cifar.CIFAR10)


@pytest.mark.parametrize("name", ["cifar-10-batches-py/data_batch_1", "other"])
@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE])
def test_what_a_gz_of_a_tar_unpacks_to(name, kind, tmp_path):
    size = 2 * damage.SLACK
    tar(tmp_path / "a.tar.gz", size, kind, name, bytes(size))
    with pytest.raises(ValueError, match=r"a\.tar\.gz: not a whole tar\.gz archive \(it announces byte"), modest():
        cifar.read_archive(tmp_path / "a.tar.gz", cifar.CIFAR10)


def test_members_of_a_tar(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "MEMBERS", 5)
    header = tarfile.TarInfo("a").tobuf()
    (tmp_path / "a.tar.gz").write_bytes(gzip.compress(header * 6 + bytes(1024)))
    with pytest.raises(ValueError, match="more than 5 members"), modest():
        cifar.read_archive(tmp_path / "a.tar.gz", cifar.CIFAR10)


@pytest.mark.parametrize("count", [2**32 - 1, 10**6])
def test_items_of_an_idx_file(count, tmp_path):
    (tmp_path / "a.gz").write_bytes(gzip.compress(bytes([0, 0, 8, 3]) + struct.pack(">3I", count, 28, 28)))
    with pytest.raises(ValueError, match=r"a\.gz: announces \d+ bytes, expected at most"), modest():
        idx.read_file(tmp_path / "a.gz", (28, 28))


def mat(path, name, numbers, kind, stored, shape):
    """A MATLAB 5 file of one compressed variable: class `kind`, values stored as `stored`."""

    def element(code, content):
        return struct.pack("<II", code, len(content)) + content + bytes(-len(content) % 8)

    parts = element(6, struct.pack("<II", kind, 0)) + element(5, numpy.array(shape, "<i4").tobytes())
    parts += element(1, name.encode()) + element(stored, numbers)
    packed = zlib.compress(element(14, parts))
    path.write_bytes(b"MATLAB 5.0 MAT-file".ljust(124) + b"\0\1IM" + struct.pack("<II", 15, len(packed)) + packed)


def test_what_a_mat_file_unpacks_to(tmp_path):
    path = tmp_path / "a.mat"
    size = damage.SLACK * 2
    mat(path, "X", bytes(size), 9, 2, (size, 1))
    assert path.stat().st_size < damage.SLACK / 100
    with pytest.raises(ValueError, match=r"a\.mat: .*too large for a file of this size"), modest():
        mat5.read(path, ("X",))
    mat(path, "X", bytes(damage.SLACK // 3), 6, 2, (damage.SLACK // 3, 1))
    with pytest.raises(ValueError, match=r"a\.mat: .*too large for a file of this size"), modest():
        mat5.read(path, ("X",))


def test_many_variables_of_a_mat_file_are_bounded_together(tmp_path):
    path = tmp_path / "a.mat"
    mat(path, "other", bytes(damage.SLACK // 2), 9, 2, (damage.SLACK // 2, 1))
    path.write_bytes(path.read_bytes() + path.read_bytes()[128:] * 40)
    with pytest.raises(ValueError, match="too large for a file of this size"), modest():
        mat5.read(path, ("X",))


@pytest.mark.parametrize("value", [math.nan, 300.7, -5.0, 256.0, math.inf, 1e300, 0.5])
def test_pixels_and_labels_are_whole_numbers_of_their_class(value, tmp_path):
    mat(tmp_path / "a.mat", "X", numpy.array([1.0, value]).tobytes(), 9, 9, (2, 1))
    with pytest.raises(ValueError, match=r"a\.mat: .*X holds .*, expected numbers of uint8"), modest():
        mat5.read(tmp_path / "a.mat", ("X",))
    scipy.io.savemat(
        tmp_path / "b.mat", {"X": numpy.zeros((32, 32, 3, 2), "uint8"), "y": numpy.array([[1.0], [value]])}
    )
    with pytest.raises(ValueError, match=r"b\.mat: y holds"), modest():
        svhn.read_file(tmp_path / "b.mat")
