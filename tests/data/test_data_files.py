"""Atomic files, digests and artefacts: whole or absent, and refused by name when they are something else."""

import hashlib

import numpy
import pytest

from data import files


def test_an_atomic_file_appears_whole_or_not_at_all(tmp_path):
    path = tmp_path / "deep" / "value.json"
    files.write_json(path, {"a": [1, "ß"]})
    before = path.read_text(encoding="utf-8")
    with pytest.raises(RuntimeError), files.atomic(path) as temporary:
        assert temporary.suffix == ".json" and temporary.parent == path.parent
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text(encoding="utf-8") == before
    assert [entry.name for entry in path.parent.iterdir()] == ["value.json"]


def test_digest_is_that_of_the_bytes(tmp_path):
    (tmp_path / "a").write_bytes(b"abc" * 100_000)
    for algorithm in ("md5", "sha256"):
        expected = hashlib.new(algorithm, b"abc" * 100_000).hexdigest()
        assert files.digest(tmp_path / "a", algorithm) == expected


def test_fingerprint_tells_dtype_shape_and_values_apart():
    x = numpy.arange(12, dtype=numpy.uint8).reshape(3, 4)
    assert files.fingerprint(x) == files.fingerprint(numpy.asfortranarray(x))
    others = [x.T, x.astype(numpy.int8), x.reshape(4, 3), x + 1, x[:0]]
    assert len({files.fingerprint(y) for y in (x, *others)}) == 6
    assert files.fingerprint(x, x) != files.fingerprint(x)


def test_an_artefact_comes_back_whole_or_streamed(tmp_path):
    x = numpy.random.default_rng(0).random((5, 3), numpy.float32)
    blocks = ((slice(start, start + 2), x[start : start + 2]) for start in range(0, 5, 2))
    arrays = {"whole": x, "streamed": (x.shape, x.dtype, blocks)}
    files.save_artefact(tmp_path / "a.h5", "numbers", arrays, {"seed": 3, "names": ["a"]})
    found, attributes = files.load_artefact(tmp_path / "a.h5", "numbers", ["whole", "streamed"])
    assert numpy.array_equal(found["whole"], x) and numpy.array_equal(found["streamed"], x)
    assert attributes == {"seed": 3, "names": ["a"]}


def test_foreign_cut_and_incomplete_artefacts_are_named(tmp_path):
    path = tmp_path / "a.h5"
    with pytest.raises(FileNotFoundError, match="expected a saved numbers"):
        files.open_artefact(path, "numbers")
    files.save_artefact(path, "numbers", {"x": numpy.arange(5000)})
    with pytest.raises(ValueError, match="holds 'numbers', expected 'letters'"):
        files.open_artefact(path, "letters")
    with pytest.raises(ValueError, match="lacks y"):
        files.load_artefact(path, "numbers", ["x", "y"])
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(ValueError, match="not a whole HDF5 file"):
        files.load_artefact(path, "numbers", ["x"])


def test_a_failed_artefact_leaves_the_old_one(tmp_path):
    path = tmp_path / "a.h5"
    files.save_artefact(path, "numbers", {"x": numpy.arange(3)})

    def broken():
        yield slice(0, 1), numpy.zeros((1, 2))
        raise OSError("no space left on device")

    with pytest.raises(OSError, match="no space left"):
        files.save_artefact(path, "numbers", {"x": ((4, 2), numpy.float32, broken())})
    assert files.load_artefact(path, "numbers", ["x"])[0]["x"].tolist() == [0, 1, 2]
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.h5"]
