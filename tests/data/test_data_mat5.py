"""MATLAB 5 arrays: equal to SciPy's reading of the same file, and only ValueError for damage."""

import struct

import numpy
import pytest
import scipy.io

from data import mat5


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("kind", "u1 i1 u2 i2 u4 i4 u8 i8 f4 f8".split())
def test_arrays_equal_those_of_scipy(tmp_path, kind, compressed):
    path = tmp_path / "a.mat"
    x = numpy.random.default_rng(0).integers(0, 100, (3, 4, 2, 5)).astype(kind)
    content = {
        "a_rather_long_name": x,
        "y": x[:, :1, 0, 0],
        "z": x[:2, :1, 0, 0],
        "text": "words",
        "cell": {"a": 1},
    }
    scipy.io.savemat(path, content, do_compression=compressed)
    arrays = mat5.read(path, ("a_rather_long_name", "y", "z", "absent"))
    expected = scipy.io.loadmat(path)
    assert sorted(arrays) == ["a_rather_long_name", "y", "z"]
    for name, array in arrays.items():
        assert array.dtype == expected[name].dtype and numpy.array_equal(array, expected[name])


def test_big_endian_files(tmp_path):
    flags = struct.pack(">IIII", 6, 8, 11, 0)
    shape = struct.pack(">IIii", 5, 8, 1, 3)
    name = struct.pack(">HH4s", 1, 1, b"x")
    values = struct.pack(">IIHHHH", 4, 6, 1, 2, 300, 0)
    body = flags + shape + name + values
    path = tmp_path / "a.mat"
    path.write_bytes(b"MATLAB 5.0 MAT-file".ljust(124) + b"\1\0MI" + struct.pack(">II", 14, len(body)) + body)
    assert mat5.read(path, ("x",))["x"].tolist() == [[1, 2, 300]] == scipy.io.loadmat(path)["x"].tolist()


@pytest.mark.parametrize("value", ["text", {"a": 1}, 1j * numpy.ones((2, 2)), numpy.array([["a"]], object)])
def test_what_is_not_an_array_of_real_numbers_is_refused(tmp_path, value):
    scipy.io.savemat(tmp_path / "a.mat", {"x": value})
    with pytest.raises(ValueError, match="x is no array of real numbers"):
        mat5.read(tmp_path / "a.mat", ("x",))


@pytest.mark.parametrize("compressed", [False, True])
def test_damage_is_a_value_error_or_harmless(tmp_path, compressed):
    path = tmp_path / "a.mat"
    content = {"X": numpy.ones((4, 4, 3, 2), numpy.uint8), "y": numpy.ones((2, 1))}
    scipy.io.savemat(path, content, do_compression=compressed)
    whole = path.read_bytes()
    generator = numpy.random.default_rng(0)
    refused = 0
    for _ in range(400):
        damaged = bytearray(whole)
        for position in generator.integers(120, len(whole), 2):
            damaged[position] = generator.integers(256)
        path.write_bytes(damaged[: generator.integers(100, len(whole) + 1)])
        try:
            mat5.read(path, ("X", "y"))
        except ValueError as error:
            assert "a.mat" in str(error)
            refused += 1
    assert refused > 200


def test_a_matlab_7_file_is_not_mistaken(tmp_path):
    (tmp_path / "a.mat").write_bytes(b"MATLAB 7.3 MAT-file".ljust(124) + b"\0\2IM" + bytes(500))
    with pytest.raises(ValueError, match="not a MATLAB 5 file"):
        mat5.read(tmp_path / "a.mat", ("x",))
