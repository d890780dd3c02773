"""HDF5 files must hold their own content, and no more than their size allows."""

import os
import signal

import h5py
import numpy
import pytest

from data import damage, files, hdf5, hdf5_probe


def h5(path, make):
    with h5py.File(path, "w") as file:
        file.attrs["kind"] = "numbers"
        make(file)


def external(file):
    file.create_dataset("x", (10,), "u1", external=[("secret", 0, 10)])


def virtual(file):
    layout = h5py.VirtualLayout((10,), "u1")
    layout[:] = h5py.VirtualSource("secret", "x", (10,))
    file.create_virtual_dataset("x", layout)


def cycle(file):
    file["group/again"] = file["/"]
    file["x"] = numpy.arange(3)


HDF5 = {
    "external link": (lambda file: file.__setitem__("x", h5py.ExternalLink("secret", "/x")), "is a link"),
    "soft link": (lambda file: file.__setitem__("x", h5py.SoftLink("/y")), "is a link"),
    "link in a group": (lambda file: file.__setitem__("g/x", h5py.ExternalLink("secret", "/x")), "is a link"),
    "external storage": (external, "is read from another file"),
    "virtual": (virtual, "is read from another file"),
    "never written": (lambda file: file.create_dataset("x", (1 << 40,), "u1", chunks=(1 << 20,)), "announces"),
    "many chunks never written": (lambda file: file.create_dataset("x", (10**6, 7), "u1", chunks=(1, 7)), "announces"),
    "a fill value": (lambda file: file.create_dataset("x", (1 << 20, 1 << 20), "f8", fillvalue=1.0), "announces"),
    "a shape beyond numbers": (lambda file: file.create_dataset("x", (1 << 40, 1 << 22), chunks=(1, 1)), "announces"),
    "a large chunk": (
        lambda file: file.create_dataset("x", (1,), "u1", chunks=(1 << 30,), maxshape=(None,)), "announces"
    ),
    "packed zeros": (
        lambda file: file.create_dataset("x", data=bytes_of_zeros(), compression="gzip", chunks=(1 << 20,)), "announces"
    ),
    "many of a little": (
        lambda file: [file.create_dataset(f"x{i}", (1 << 24,), "u1", chunks=(1 << 20,)) for i in range(9)], "announces"
    ),
}  # fmt: skip


def bytes_of_zeros():
    return numpy.zeros(damage.SLACK * 2, "u1")


@pytest.mark.parametrize("kind", HDF5)
def test_hdf5(kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    h5("secret", lambda file: file.__setitem__("x", numpy.arange(10, dtype="u1")))
    make, message = HDF5[kind]
    h5(tmp_path / "a.h5", make)
    with pytest.raises(ValueError, match=f"a.h5: .*{message}"):
        files.load_artefact(tmp_path / "a.h5", "numbers")
    with pytest.raises(ValueError, match=f"a.h5: .*{message}"), hdf5.reading(tmp_path / "a.h5"):
        pass


def test_hdf5_that_holds_itself_is_read_once(tmp_path):
    h5(tmp_path / "a.h5", cycle)
    assert files.load_artefact(tmp_path / "a.h5", "numbers", ["x"])[0]["x"].tolist() == [0, 1, 2]


def test_facts_of_an_artefact(tmp_path):
    for value in ("[" * 100_000, "1" * 10_000, numpy.arange(3), b"\xff"):
        h5(tmp_path / "a.h5", lambda file, value=value: file.create_dataset("x", data=[1]).file.attrs.create(
            "fact", value))  # fmt: skip
        with pytest.raises(ValueError, match="a.h5: damaged"):
            files.load_artefact(tmp_path / "a.h5", "numbers")


@pytest.mark.parametrize(
    ("how", "message"),
    [
        (lambda: os.kill(os.getpid(), signal.SIGKILL), "HDF5 crashes on it"),
        (lambda: os.kill(os.getpid(), signal.SIGALRM), "HDF5 does not end with it"),
        (lambda: os._exit(1), "HDF5 ends on it"),
    ],
)
def test_hdf5_that_ends_the_process_is_said(how, message, monkeypatch):
    monkeypatch.setattr(hdf5_probe, "probe", lambda **request: how())
    assert hdf5_probe.in_a_child({}) == {"error": message, "system": False}


def test_a_very_long_name_in_a_file_is_a_sentence(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["\u00e9" * 30_000] = h5py.ExternalLink("other.h5", "/x")
    with pytest.raises(ValueError, match=r"a\.h5: damaged \(.*\u00e9"):
        files.load_artefact(tmp_path / "a.h5", "numbers")


def test_who_looks_at_files_may_be_ended(tmp_path):
    path = tmp_path / "a.h5"
    files.save_artefact(path, "numbers", {"x": numpy.arange(3)})
    hdf5.check(path)
    process = hdf5._prober(os.getpid())
    process.kill()
    process.wait()
    assert files.load_artefact(path, "numbers")[0]["x"].tolist() == [0, 1, 2]


@pytest.mark.parametrize("name", ["a\nb.h5", "\u202e.h5", b"\xff.h5".decode("utf-8", "surrogateescape"), 'a"b.h5'])
def test_files_of_any_name(name, tmp_path):
    files.save_artefact(tmp_path / name, "numbers", {"x": numpy.arange(3)})
    assert files.load_artefact(tmp_path / name, "numbers")[0]["x"].tolist() == [0, 1, 2]


def test_every_random_change_is_a_sentence_or_harmless(tmp_path):
    """Changes of one file, some of which crash HDF5; without the checksum, which would detect them all."""
    path, chance = tmp_path / "a.h5", numpy.random.default_rng(0)
    streamed = ((40, 3), "f4", iter([(slice(0, 40), numpy.ones((40, 3)))]))
    files.save_artefact(path, "numbers", {"x": numpy.arange(50.0), "y": streamed}, {"a": [1, 2]})
    whole, refused = path.read_bytes()[: -len(files.SEAL) - 8], 0
    for _ in range(60):
        changed = bytearray(whole)
        for place in chance.integers(0, 3000, 4):
            changed[place] = chance.integers(256)
        path.write_bytes(changed)
        try:
            files.load_artefact(path, "numbers")
        except ValueError as error:
            assert str(path) in str(error) and "\n" not in str(error)
            refused += 1
    assert refused > 20
