"""The catalogue, the places searched, digests, downloads, and the real data sets."""

import dataclasses
import hashlib
import pathlib
import shutil
import subprocess
import sys

import numpy
import pytest

import data
from data import cifar, download, idx, sources


@pytest.fixture(autouse=True)
def cache(request, monkeypatch, tmp_path):
    """An empty cache and no DARE_DATA, except in tests of real data; a download would fail the test."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    if "real" not in request.fixturenames:
        monkeypatch.delenv("DARE_DATA", raising=False)
    return tmp_path / "keras" / "datasets"


@pytest.fixture
def published(monkeypatch, tmp_path, write):
    """Tiny IDX files that count as the published Fashion-MNIST, served from a folder."""
    server = tmp_path / "server"
    write.mnist(server)
    files = tuple(
        sources.File(path.name, hashlib.md5(path.read_bytes()).hexdigest(), path.as_uri())
        for path in sorted(server.iterdir())
    )
    entry = data.DATASETS["fashion_mnist"]
    entry = dataclasses.replace(entry, sources=sources.Sources(entry.sources.folders, (files,)))
    monkeypatch.setitem(data.DATASETS, "fashion_mnist", entry)
    return server


@pytest.mark.parametrize("name", data.DATASETS)
def test_every_entry_is_complete(name):
    entry = data.DATASETS[name]
    assert entry.title and entry.citation and entry.homepage.startswith("http")
    assert len(entry.shape) == 3 and len(entry.counts) == 2
    assert len(entry.classes) == len(set(entry.classes)) in (6, 10, 43, 100)
    if entry.sources is not None:
        downloadable = [all(file.url for file in files) for files in entry.sources.alternatives]
        assert downloadable.count(True) == 1
        for file in (file for files in entry.sources.alternatives for file in files):
            assert len(file.md5) == 32 and int(file.md5, 16)


@pytest.mark.parametrize(
    ("name", "nearest"), [("cifar", "cifar10"), ("fashion-mnist", "fashion_mnist"), ("SVHN", "svhn")]
)
def test_an_unknown_name_gets_the_valid_ones_and_the_nearest(name, nearest):
    with pytest.raises(ValueError, match=f"expected one of digits, mnist, .*did you mean {nearest}") as caught:
        data.load(name)
    assert "folder:<path>" in str(caught.value)


def test_an_unknown_name_without_a_near_one():
    with pytest.raises(ValueError, match="expected one of") as caught:
        data.load("zzzzzz")
    assert "did you mean" not in str(caught.value)


@pytest.mark.parametrize("place", ["", "fashion_mnist", "fashion-mnist"])
@pytest.mark.parametrize("way", ["argument", "variable", "cache"])
def test_files_are_found_wherever_they_may_lie(published, tmp_path, monkeypatch, cache, place, way):
    root = cache if way == "cache" else tmp_path / "mine"
    shutil.copytree(published, root / place)
    if way == "variable":
        monkeypatch.setenv("DARE_DATA", str(root))
    dataset = data.load("fashion_mnist", root if way == "argument" else None)
    assert dataset.x_train.shape == (40, 28, 28, 1) and dataset.verified and dataset.name == "fashion_mnist"
    assert dataset.classes[9] == "Ankle boot"


def test_the_argument_precedes_the_variable(published, tmp_path, monkeypatch):
    monkeypatch.setenv("DARE_DATA", str(tmp_path / "nowhere"))
    assert data.load("fashion_mnist", published).verified
    with pytest.raises(FileNotFoundError, match="nowhere"):
        data.load("fashion_mnist")


def test_a_subfolder_of_the_name_precedes_loose_files(published, tmp_path, write):
    shutil.copytree(published, tmp_path / "mine" / "fashion_mnist")
    write.mnist(tmp_path / "mine", seed=5)
    assert data.load("fashion_mnist", tmp_path / "mine").verified


@pytest.mark.parametrize("way", ["argument", "variable"])
def test_a_named_folder_without_the_files_is_not_topped_up(published, tmp_path, monkeypatch, cache, way):
    empty = tmp_path / "empty"
    empty.mkdir()
    if way == "variable":
        monkeypatch.setenv("DARE_DATA", str(empty))
    with pytest.raises(FileNotFoundError) as caught:
        data.load("fashion_mnist", empty if way == "argument" else None)
    for words in ("train-images-idx3-ubyte.gz", "fashion_mnist", "unset to have them downloaded", str(empty)):
        assert words in str(caught.value)
    assert ("--data-dir" if way == "argument" else "$DARE_DATA") in str(caught.value)
    assert not cache.exists() and not list(empty.iterdir())


def test_an_incomplete_folder_is_told_what_it_lacks(published):
    (published / idx.TEST_LABELS).unlink()
    with pytest.raises(FileNotFoundError, match=f"server lacks {idx.TEST_LABELS}"):
        data.load("fashion_mnist", published)


def test_a_wrong_file_is_named_with_both_digests(published, write):
    expected = hashlib.md5((published / idx.TRAIN_LABELS).read_bytes()).hexdigest()
    write.idx(published / idx.TRAIN_LABELS, numpy.arange(40)[::-1] % 10)
    digest = hashlib.md5((published / idx.TRAIN_LABELS).read_bytes()).hexdigest()
    with pytest.raises(ValueError, match="--unverified") as caught:
        data.load("fashion_mnist", published)
    for words in (idx.TRAIN_LABELS, expected, digest):
        assert words in str(caught.value)
    dataset = data.load("fashion_mnist", published, unverified=True)
    assert not dataset.verified and dataset.y_train[0] == 9


def test_unverified_files_that_are_the_published_ones_stay_verified(published):
    assert data.load("fashion_mnist", published, unverified=True).verified


def test_an_admitted_file_is_still_parsed_with_care(published):
    path = published / idx.TRAIN_IMAGES
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match="MD5"):
        data.load("fashion_mnist", published)
    with pytest.raises(ValueError, match="not a whole gzip file"):
        data.load("fashion_mnist", published, unverified=True)


@pytest.mark.parametrize(("labels", "words"), [(idx.TRAIN_LABELS, "training"), (idx.TEST_LABELS, "test")])
def test_an_empty_class_is_named(published, write, labels, words):
    count = 40 if labels == idx.TRAIN_LABELS else 20
    write.idx(published / labels, numpy.arange(count) % 9)
    with pytest.raises(ValueError, match=f"{words} part: no image of class Ankle boot"):
        data.load("fashion_mnist", published, unverified=True)


def test_a_download_goes_to_the_cache_once(published, cache):
    heard = []
    dataset = data.load("fashion_mnist", progress=lambda path, done, total: heard.append((path.name, done, total)))
    assert dataset.verified and len(dataset.x_test) == 20
    assert sorted(path.name for path in (cache / "fashion_mnist").iterdir()) == sorted(
        path.name for path in published.iterdir()
    )
    assert {name for name, _, _ in heard} == {path.name for path in published.iterdir()}
    assert all(done == total for _, done, total in heard)
    shutil.rmtree(published)
    assert data.load("fashion_mnist").fingerprint == dataset.fingerprint


def test_a_broken_download_is_resumed_file_by_file(published, cache):
    (cache / "fashion_mnist").mkdir(parents=True)
    shutil.copy(published / idx.TRAIN_IMAGES, cache / "fashion_mnist")
    (cache / "fashion_mnist" / idx.TEST_IMAGES).write_bytes(b"cut")
    heard = set()
    data.load("fashion_mnist", progress=lambda path, done, total: heard.add(path.name))
    assert heard == {idx.TRAIN_LABELS, idx.TEST_IMAGES, idx.TEST_LABELS}


def test_a_download_of_something_else_leaves_nothing(published, cache):
    (published / idx.TEST_LABELS).write_bytes(b"a page that says no")
    with pytest.raises(ValueError, match=r"t10k-labels.*19 bytes came with MD5 .*, expected"):
        data.load("fashion_mnist")
    names = [path.name for path in (cache / "fashion_mnist").iterdir()]
    assert idx.TEST_LABELS not in names and not [name for name in names if name.startswith(".")]


def test_an_address_that_does_not_answer_says_what_to_do(tmp_path):
    url = (tmp_path / "missing.gz").as_uri()
    with pytest.raises(FileNotFoundError, match=r"cannot be downloaded .*--data-dir"):
        download.download(url, tmp_path / "cache" / "missing.gz", md5="0" * 32)
    assert not list((tmp_path / "cache").iterdir())


@pytest.mark.parametrize(
    ("files_in", "data_dir"),
    [
        ("cifar10/cifar-10-batches-py", ""),
        ("cifar10/cifar-10-batches-py", "cifar10"),
        ("cifar10/cifar-10-batches-py", "cifar10/cifar-10-batches-py"),
        ("cifar-10-batches-py", ""),
        ("cifar10", ""),
        ("cifar-10-batches-py-target/cifar-10-batches-py", ""),
    ],
)
def test_cifar_batches_are_found(tmp_path, write, files_in, data_dir):
    write.cifar(tmp_path / files_in, write.cifar_batches())
    with pytest.raises(ValueError, match="MD5"):
        data.load("cifar10", tmp_path / data_dir)
    dataset = data.load("cifar10", tmp_path / data_dir, unverified=True)
    assert dataset.x_train.shape == (100, 32, 32, 3) and dataset.classes[3] == "cat" and not dataset.verified


def test_the_data_room_imports_no_framework():
    code = (
        "import sys, data\n"
        "heavy = {'keras', 'tensorflow', 'jax', 'sklearn', 'scipy', 'PIL'} & set(sys.modules)\n"
        "rooms = {'models', 'train', 'dare', 'adv'} & set(sys.modules)\n"
        "sys.exit(f'{heavy} {rooms}' if heavy or rooms else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=pathlib.Path(data.__file__).parents[1])


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "cifar10"])
def test_real_data_sets_are_the_published_ones(real, name):
    dataset, entry = data.load(name), data.DATASETS[name]
    assert dataset.verified and (len(dataset.y_train), len(dataset.y_test)) == entry.counts
    assert dataset.x_train.shape[1:] == dataset.x_test.shape[1:] == entry.shape
    assert dataset.x_train.dtype == numpy.uint8 and dataset.y_train.dtype == numpy.int64
    if name != "mnist":
        assert set(numpy.bincount(dataset.y_train)) == {entry.counts[0] // 10}
        assert set(numpy.bincount(dataset.y_test)) == {1000}
        split = data.half_split(dataset, 0)
        assert set(numpy.bincount(split.y_train)) == {entry.counts[0] // 20}
    first = {"mnist": [5, 0, 4, 1], "fashion_mnist": [9, 0, 0, 3], "cifar10": [6, 9, 9, 4]}[name]
    assert dataset.y_train[:4].tolist() == first
    if name == "cifar10":
        statistics = data.statistics(dataset.x_train)
        numpy.testing.assert_allclose(statistics.channel_mean, [0.4914, 0.4822, 0.4465], atol=1e-4)
        numpy.testing.assert_allclose(statistics.channel_std, [0.2470, 0.2435, 0.2616], atol=1e-4)


def test_real_cifar_folder_and_class_names(real):
    import pickle

    folder = real / "cifar10" / "cifar-10-batches-py"
    names = pickle.loads((folder / "batches.meta").read_bytes())["label_names"]
    assert tuple(names) == data.DATASETS["cifar10"].classes
    content = (folder / "test_batch").read_bytes()
    images, labels, names = cifar.read_batch(content, cifar.CIFAR10, "test_batch")
    batch = pickle.loads(content, encoding="bytes")
    assert numpy.array_equal(images.transpose(0, 3, 1, 2).reshape(-1, 3072), batch[b"data"])
    assert labels.tolist() == batch[b"labels"]
    assert names.tolist() == [name.decode() for name in batch[b"filenames"]]


def test_real_cifar_in_forty_ten_and_ten_thousand_with_the_names_of_files_and_classes(real):
    split = data.holdout_split(data.load("cifar10"), 0, validation=10_000)
    lines = list(split.listing())
    parts = [line[0] for line in lines]
    assert [parts.count(part) for part in ("train", "validation", "test")] == [40_000, 10_000, 10_000]
    assert len({line[1] for line in lines}) == 60_000  # every file once
    assert all(numpy.bincount(split.y_validation) == 1000)
    assert lines[-10_000][1:] == ("domestic_cat_s_000907.png", 3, "cat")


def test_a_real_svhn_subset_needs_to_be_admitted(real):
    with pytest.raises(ValueError, match=r"train_32x32\.mat: MD5 is .*e26dedcc434d2e4c54c9b2d4a06d8373"):
        data.load("svhn", real / "svhn_dev_subset")
    dataset = data.load("svhn", real / "svhn_dev_subset", unverified=True)
    assert dataset.x_train.shape == (8001, 32, 32, 3) and dataset.x_test.shape == (1999, 32, 32, 3)
    assert dataset.y_train[:5].tolist() == [5, 2, 1, 0, 6] and not dataset.verified
