"""CIFAR batches and archives: round trips, damage, and pickles and archives that try to do more than hold data."""

import io
import os
import pickle
import tarfile

import numpy
import pytest

from data import cifar


def test_batch_round_trip(write):
    pixels = numpy.random.default_rng(0).integers(0, 256, (9, 3072), numpy.uint8)
    images, labels, names = cifar.read_batch(write.cifar_bytes(pixels, list(range(9))), cifar.CIFAR10, "batch")
    assert names.tolist() == [f"object{place}_s_{place:06d}.png" for place in range(9)]
    assert labels.tolist() == list(range(9)) and labels.dtype == numpy.int64
    assert images.shape == (9, 32, 32, 3) and images.dtype == numpy.uint8 and images.flags.c_contiguous
    for i, y, x, c in [(0, 0, 0, 0), (3, 5, 7, 1), (8, 31, 30, 2)]:
        assert images[i, y, x, c] == pixels[i, c * 1024 + y * 32 + x]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("kind", ["i8", ">i4", "u1", "list", "scalars"])
def test_batches_of_ones_own(protocol, kind):
    """Of every protocol, with keys of text or bytes, labels as an array or a list, of Python's numbers or NumPy's."""
    pixels = numpy.arange(2 * 3072).astype(numpy.uint8).reshape(2, 3072)
    labels = {"list": [1, 2], "scalars": [numpy.int64(1), numpy.uint8(2)]}.get(kind)
    labels = numpy.array([1, 2], kind) if labels is None else labels
    for data, key in ((b"data", b"labels"), ("data", "labels")):
        content = pickle.dumps({data: pixels, key: labels, "filenames": ["a.png", b"b.png"]}, protocol=protocol)
        images, read, names = cifar.read_batch(content, cifar.CIFAR10, "batch")
        assert images[1, 0, 1, 0] == pixels[1, 1]
        assert read.tolist() == [1, 2] and names.tolist() == ["a.png", "b.png"]


def test_column_order_is_respected():
    pixels = numpy.asfortranarray(numpy.random.default_rng(0).integers(0, 256, (4, 3072), numpy.uint8))
    content = pickle.dumps({b"data": pixels, b"labels": [0, 1, 2, 3]}, protocol=2)
    images, *_ = cifar.read_batch(content, cifar.CIFAR10, "batch")
    assert numpy.array_equal(images.transpose(0, 3, 1, 2).reshape(4, 3072), pixels)


class Call:
    """Pickles as a call of `function` with `arguments`."""

    def __init__(self, function, *arguments):
        self.recipe = (function, arguments)

    def __reduce__(self):
        return self.recipe


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize("form", ["reduce", "inside data", "inside labels"])
def test_a_pickle_that_runs_code_is_refused_before_it_does(tmp_path, form, protocol):
    witness = tmp_path / "witness"
    attack = Call(os.mkdir, str(witness))
    content = {
        "reduce": attack,
        "inside data": {b"data": attack, b"labels": [0]},
        "inside labels": {b"data": numpy.zeros((1, 3072), numpy.uint8), b"labels": [attack]},
    }[form]
    with pytest.raises(ValueError, match=r"asks for .*mkdir"):
        cifar.read_batch(pickle.dumps(content, protocol), cifar.CIFAR10, "batch")
    assert not witness.exists()


@pytest.mark.parametrize(
    "function", [eval, getattr, print, numpy.load, numpy.fromfile, __import__, bytearray, numpy.frombuffer]
)
def test_no_other_function_is_admitted(function):
    with pytest.raises(ValueError, match="which no batch needs"):
        cifar.read_batch(pickle.dumps(Call(function, "1"), 2), cifar.CIFAR10, "batch")


@pytest.mark.parametrize(
    "opcodes",
    [
        b"cos\nsystem\n(S'true'\ntR.",
        b"(S'true'\nios\nsystem\n.",
        b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x04true\x85R.",
        b"cnumpy.core.multiarray\n_reconstruct.__globals__\n.",
        b"\x80\x04\x8c\x05numpy\x8c\x0fndarray.__new__\x93.",
        b"cnumpy\nndarray\n(tR.",
        b"\x80\x02cnumpy\ndtype\n)\x81.",
        b"Pname\n.",
    ],
)
def test_opcodes_that_reach_for_names_are_refused(opcodes):
    with pytest.raises(ValueError, match="not a readable CIFAR batch"):
        cifar.read_batch(opcodes, cifar.CIFAR10, "batch")


def test_object_arrays_are_refused():
    pixels = numpy.zeros((1, 3072), object)
    with pytest.raises(ValueError, match=r"array of .*O8"):
        cifar.read_batch(pickle.dumps({b"data": pixels, b"labels": [0]}, 2), cifar.CIFAR10, "batch")


ONE = numpy.zeros((1, 3072), numpy.uint8)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not a readable"),
        (b"garbage", "not a readable"),
        (pickle.dumps([1, 2], 2), "no CIFAR batch"),
        (pickle.dumps({b"data": ONE}, 2), "no CIFAR batch"),
        (pickle.dumps({b"data": ONE, b"fine_labels": [0]}, 2), "no CIFAR batch with data and labels"),
        (pickle.dumps({b"data": 5, b"labels": [0]}, 2), "data is no array"),
        (pickle.dumps({b"data": ONE[:, :784], b"labels": [0]}, 2), r"shape \(1, 784\)"),
        (pickle.dumps({b"data": ONE.astype(float), b"labels": [0]}, 2), "f8"),
        (pickle.dumps({b"data": ONE, b"labels": [0, 1]}, 2), "1 images but 2 labels"),
        (pickle.dumps({b"data": ONE, b"labels": [10]}, 2), "labels range from 10 to 10, expected 0 to 9"),
        (pickle.dumps({b"data": ONE, b"labels": [-1]}, 2), "labels range from -1"),
        (pickle.dumps({b"data": ONE, b"labels": [10**30]}, 2), "labels range from 1000000"),
        (pickle.dumps({b"data": ONE, b"labels": ["0"]}, 2), "not a list of integers"),
        (pickle.dumps({b"data": ONE, b"labels": ONE}, 5), "not a list of integers"),
        (pickle.dumps({b"data": ONE.astype("i4"), b"labels": [0]}, 5), r"array of int32 and shape \(1, 3072\)"),
        (pickle.dumps({b"data": ONE, b"labels": 0}, 2), "not a list of integers"),
        (pickle.dumps({b"data": ONE[:0], b"labels": []}, 4), "holds no image"),
        (pickle.dumps({b"data": ONE, b"labels": [0], b"filenames": []}, 2), "filenames is not a list of 1 names"),
        (pickle.dumps({b"data": ONE, b"labels": [0], b"filenames": [5]}, 2), "filenames is not a list of 1 names"),
    ],
)
def test_wrong_batches_are_named(content, words):
    with pytest.raises(ValueError, match=words) as caught:
        cifar.read_batch(content, cifar.CIFAR10, "folder/data_batch_3")
    assert str(caught.value).startswith("folder/data_batch_3: ")


def test_a_batch_cut_anywhere_is_refused(write):
    whole = write.cifar_bytes(ONE, [4])
    for length in range(0, len(whole) - 1, 41):
        with pytest.raises(ValueError, match="not a readable"):
            cifar.read_batch(whole[:length], cifar.CIFAR10, "batch")


def archive(path, members, folder="cifar-10-batches-py", extra=()):
    with tarfile.open(path, "w:gz") as tar:
        for name, content in members.items():
            information = tarfile.TarInfo(f"{folder}/{name}")
            information.size = len(content)
            tar.addfile(information, io.BytesIO(content))
        for information in extra:
            tar.addfile(information, io.BytesIO(bytes(information.size)))


def test_folder_and_archive_hold_the_same(tmp_path, write):
    batches = write.cifar_batches()
    write.cifar(tmp_path, batches)
    archive(tmp_path / "a.tar.gz", {name: write.cifar_bytes(*batch) for name, batch in batches.items()})
    loose = cifar.read({name: tmp_path / name for name in batches}, cifar.CIFAR10)
    packed = cifar.read({cifar.CIFAR10.archive: tmp_path / "a.tar.gz"}, cifar.CIFAR10)
    for array, other in zip(loose[:4], packed[:4], strict=True):
        assert numpy.array_equal(array, other)
    assert all(numpy.array_equal(loose[4][name], packed[4][name]) for name in ("files_train", "files_test"))
    assert loose[4]["files_test"].tolist() == [f"object{i % 10}_s_{i:06d}.png" for i in range(20)]
    assert loose[0].shape == (100, 32, 32, 3) and loose[2].shape == (20, 32, 32, 3)
    assert loose[1].tolist() == [label for name in cifar.CIFAR10.train for label in batches[name][1]]


def test_cifar100_takes_the_fine_labels(tmp_path, write):
    for name in ("train", "test"):
        content = write.cifar_bytes(numpy.zeros((100, 3072), numpy.uint8), list(range(100)), key=b"fine_labels")
        (tmp_path / name).write_bytes(content)
    arrays = cifar.read({name: tmp_path / name for name in ("train", "test")}, cifar.CIFAR100)
    assert arrays[1].tolist() == arrays[3].tolist() == list(range(100))


def member(name, kind=tarfile.REGTYPE, target="", size=4):
    information = tarfile.TarInfo(name)
    information.type, information.linkname = kind, target
    information.size = size if kind == tarfile.REGTYPE else 0
    return information


@pytest.mark.parametrize(
    "bad",
    [
        member("../escaped"),
        member("cifar-10-batches-py/../../escaped"),
        member("/tmp/escaped"),
        member("..\\escaped"),
        member("cifar-10-batches-py/link", tarfile.SYMTYPE, "/etc/passwd"),
        member("cifar-10-batches-py/data_batch_1", tarfile.LNKTYPE, "/etc/passwd"),
        member("pipe", tarfile.FIFOTYPE),
    ],
    ids=lambda bad: bad.name,
)
def test_an_archive_that_leaves_its_folder_is_refused(tmp_path, write, bad):
    batches = {name: write.cifar_bytes(*batch) for name, batch in write.cifar_batches().items()}
    archive(tmp_path / "a.tar.gz", batches, extra=[bad])
    with pytest.raises(ValueError, match="link or leaves the archive's folder"):
        cifar.read({cifar.CIFAR10.archive: tmp_path / "a.tar.gz"}, cifar.CIFAR10)
    assert [path.name for path in tmp_path.iterdir()] == ["a.tar.gz"]


def test_damaged_archives_are_named(tmp_path, write):
    path = tmp_path / "a.tar.gz"
    batches = {name: write.cifar_bytes(*batch) for name, batch in write.cifar_batches(count=2).items()}
    archive(path, batches)
    whole = path.read_bytes()
    for content in (b"", b"text", whole[:20], whole[: len(whole) // 2], whole[:-9]):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"a\.tar\.gz: (not a whole tar\.gz|lacks)"):
            cifar.read_archive(path, cifar.CIFAR10)
    del batches["data_batch_4"]
    archive(path, batches)
    with pytest.raises(ValueError, match="lacks data_batch_4"):
        cifar.read_archive(path, cifar.CIFAR10)
