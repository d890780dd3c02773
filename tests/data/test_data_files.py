"""Atomic files, digests and artefacts: whole or absent, and refused by name when they are something else."""

import hashlib
import os
import pathlib
import subprocess
import sys
import textwrap

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
    arrays, attributes = files.load_artefact(tmp_path / "a.h5", "numbers", ["whole", "streamed"])
    assert numpy.array_equal(arrays["whole"], x) and numpy.array_equal(arrays["streamed"], x)
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


@pytest.mark.parametrize("limit", [600, 3_000, 20_000, 100_000])
def test_a_full_disk_is_an_error_that_names_the_file(tmp_path, limit):
    """In a separate process, whose files may not grow beyond `limit` bytes: HDF5 crashes where it cannot write."""
    script = """
        import pathlib, resource, signal, sys
        import numpy
        from data import files

        def blocks():
            for row in range(0, 2000, 10):
                yield slice(row, row + 10), numpy.ones((10, 10))

        big = {
            "text.json": lambda path: files.write_text(path, "x" * 200_000),
            "one.h5": lambda path: files.save_artefact(path, "numbers", {"x": numpy.arange(50_000)}, {"a": 1}),
            "many.h5": lambda path: files.save_artefact(path, "numbers", {str(i): numpy.ones(99) for i in range(400)}),
            "streamed.h5": lambda path: files.save_artefact(
                path, "numbers", {"x": ((2000, 10), "float32", blocks())}
            ),
        }
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
        for name, write in big.items():
            path = pathlib.Path(name)
            path.write_text("old")
            try:
                write(path)
            except OSError as error:
                assert error.filename == name and error.strerror == "File too large", error
                print(name)
            assert path.read_text() == "old"
    """
    root = pathlib.Path(__file__).resolve().parents[2]
    completed = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), str(limit)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
    )
    assert (completed.returncode, completed.stderr) == (0, "")
    assert completed.stdout.split() == ["text.json", "one.h5", "many.h5", "streamed.h5"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["many.h5", "one.h5", "streamed.h5", "text.json"]


def test_an_unwritable_folder_is_named_not_the_temporary_file(tmp_path):
    (tmp_path / "occupied").write_text("a file")
    with pytest.raises(OSError) as caught:
        files.write_text(tmp_path / "occupied" / "value.json", "{}")
    assert ".writing-" not in str(caught.value) and "occupied" in str(caught.value)


def test_facts_that_lack_are_named(tmp_path):
    files.save_artefact(tmp_path / "a.h5", "numbers", {"x": numpy.arange(3)}, {"model": "m"})
    with pytest.raises(ValueError, match="a.h5: this numbers lacks y, data: delete it"):
        files.load_artefact(tmp_path / "a.h5", "numbers", ["x", "y"], ["model", "data"])


def test_an_artefact_has_the_same_bytes_each_time(tmp_path):
    x = numpy.random.default_rng(0).random((50, 3), numpy.float32)
    for name in ("a.h5", "b.h5"):
        streamed = (x.shape, x.dtype, iter([(slice(0, 20), x[:20]), (slice(20, 50), x[20:])]))
        files.save_artefact(tmp_path / name, "numbers", {"whole": x, "streamed": streamed}, {"seed": 3})
    assert files.digest(tmp_path / "a.h5") == files.digest(tmp_path / "b.h5")


def test_csv_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "deep" / "table.csv"
    files.write_csv(path, ["epoch", "said"], [{"said": 'a, "b"', "epoch": 1}, {"epoch": 2, "said": None}])
    before = path.read_bytes()
    assert before == b'epoch,said\n1,"a, ""b"""\n2,\n'
    with pytest.raises(ValueError, match="other"):
        files.write_csv(path, ["epoch"], [{"epoch": 3}, {"epoch": 4, "other": 5}])
    assert path.read_bytes() == before
