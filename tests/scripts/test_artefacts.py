"""Every file that a stage reads: cut, foreign, of another kind or incomplete, it is one sentence that names it.

One function opens all of them, so damage is tried on one, and what each lacks on each.
"""

import types

import h5py
import keras
import numpy
import pytest

import data
from adv import adversarial_set
from adv.guided import ordering
from dare import get_ats, nnslicer
from dare.flags import Flags
from data import files
from studies.guided_retraining import cell as guided_cell
from train import history

ROWS = numpy.arange(6)
IMAGES = numpy.random.default_rng(0).random((6, 4, 4, 1), dtype="float32")


def split_of(tmp_path):
    y = numpy.array([0, 1] * 6)
    dataset = data.Dataset(
        numpy.zeros((12, 4, 4, 1), "uint8"), y, numpy.zeros((2, 4, 4, 1), "uint8"), y[:2], ("a", "b"), True, "zeros"
    )
    data.half_split(dataset, 0).save(tmp_path / "split.h5")
    return tmp_path / "split.h5", lambda: data.load_split(tmp_path / "split.h5", dataset)


def history_of(tmp_path):
    inputs = keras.Input((3,))
    model = keras.Model(inputs, keras.layers.Dense(2, name="logits")(inputs))
    optimizer = keras.optimizers.SGD(0.1, momentum=0.9)
    optimizer.build(model.trainable_variables)
    saved = history.History(tmp_path)
    saved.save(model, 1, numpy.zeros(6), numpy.zeros(6), metrics={"epoch": 1}, optimizer=optimizer)
    return saved, model, optimizer


def record_of(tmp_path):
    saved, _, _ = history_of(tmp_path)
    return saved.file(1, "record"), lambda: saved.record(1)


def optimizer_of(tmp_path):
    saved, _, optimizer = history_of(tmp_path)
    return saved.file(1, "optimizer"), lambda: saved.load_optimizer(optimizer, 1)


def targets_of(tmp_path):
    path = tmp_path / "targets.h5"
    arrays = {"index": ROWS, "epoch": ROWS + 1, "gain": ROWS / 10, "activation": IMAGES}
    files.save_artefact(path, get_ats.KIND, arrays, {"layer": "conv5", "model": "m", "data": "d"})
    return path, lambda: get_ats.Targets.load(path).activation[:]


def slice_of(tmp_path):
    path = tmp_path / "slice.h5"
    kept = {"conv1": numpy.ones((2, 3, 5), bool), "logits": numpy.zeros((2, 5, 2), bool)}
    random_slice = nnslicer.Slice(
        kept=kept, per=0.95, rule="dare", theta=None, representative="mean", model="m" * 64, data="d" * 64
    )
    random_slice.save(path)
    return path, lambda: nnslicer.Slice.load(path)


def adversarials_of(tmp_path):
    path = tmp_path / "adversarials.h5"
    parts = {name: adversarial_set.Part(IMAGES, ROWS % 2, ROWS) for name in adversarial_set.PARTS}
    adversarials = adversarial_set.AdversarialSet(
        parts, dict.fromkeys(adversarial_set.PARTS, 6), {"name": "fgsm"}, "m" * 64, "d" * 64
    )
    adversarials.save(path)
    return path, lambda: adversarial_set.load(path)


def flags_of(tmp_path):
    path = tmp_path / "flags.h5"
    prediction, rows = {"clean": ROWS % 2, "er/fgsm": ROWS % 3}, dict.fromkeys(("clean", "er/fgsm"), ROWS)
    Flags(prediction, rows, rows, {}, "m" * 64, "d" * 64).save(path)
    return path, lambda: Flags.load(path)


def inputs_of(tmp_path):
    path = tmp_path / "inputs.h5"
    values = {"images": IMAGES, "labels": ROWS % 2, "rows": ROWS, "attack": numpy.repeat(["cw", "bim", "fgsm"], 2)}
    arrays = {name: dict.fromkeys(guided_cell.PARTS, value) for name, value in values.items()}
    guided_cell.Inputs(**arrays, model="m" * 64, data="d" * 64).save(path)
    return path, lambda: guided_cell.Inputs.load(path, model="m" * 64, data="d" * 64)


def scores_of(tmp_path):
    path = tmp_path / "scores.h5"
    cell = types.SimpleNamespace(identity="m" * 64, split=types.SimpleNamespace(fingerprint="d" * 64))
    guided_cell.save_scores(path, dict.fromkeys(ordering.METRICS, ROWS / 7), cell)
    return path, lambda: guided_cell.load_scores(path, cell)


MAKERS = {
    "split": split_of,
    "record": record_of,
    "optimizer": optimizer_of,
    "targets": targets_of,
    "slice": slice_of,
    "adversarials": adversarials_of,
    "flags": flags_of,
    "guided inputs": inputs_of,
    "guided scores": scores_of,
}


@pytest.fixture(params=MAKERS)
def each(request, tmp_path):
    """One saved artefact of every kind: .name, .path, .load()."""
    path, load = MAKERS[request.param](tmp_path)
    return types.SimpleNamespace(name=request.param, path=path, load=load)


@pytest.fixture
def artefact(tmp_path):
    """One saved artefact, whose largest part stays on the disk: .path, .load()."""
    path, load = targets_of(tmp_path)
    return types.SimpleNamespace(path=path, load=load)


def refused(artefact, *words):
    """Loading it is a ValueError of one line that names the file."""
    with pytest.raises(ValueError) as caught:
        artefact.load()
    text = str(caught.value)
    assert str(artefact.path) in text and "\n" not in text
    for word in words:
        assert word in text


def test_the_whole_file_loads(each):
    each.load()


@pytest.mark.parametrize("share", [0, 0.001, 0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99, 0.9999])
def test_a_cut_file_is_named(artefact, share):
    whole = artefact.path.read_bytes()
    artefact.path.write_bytes(whole[: int(share * (len(whole) - 15))])  # a cut in the checksum behind it takes nothing
    refused(artefact, "not a whole HDF5 file", "delete it and make it again")


def content(path):
    with h5py.File(path) as file:
        return {name: file[name][()].tobytes() for name in file}, dict(file.attrs)


def test_a_flipped_bit_is_named(artefact):
    """But in the word that announces the checksum: without it a file is read as one of an earlier version."""
    whole, expected = artefact.path.read_bytes(), content(artefact.path)
    generator, named = numpy.random.default_rng(0), 0
    for place in generator.integers(0, len(whole), 60):
        changed = bytearray(whole)
        changed[place] ^= 1 << generator.integers(8)
        artefact.path.write_bytes(changed)
        try:
            artefact.load()
        except ValueError as error:
            assert str(artefact.path) in str(error) and "\n" not in str(error), place
            named += 1
        else:
            assert content(artefact.path) == expected and len(whole) - place <= 15
    assert named > 50


def test_a_file_that_is_no_hdf5_is_named(each):
    each.path.write_text("<html>404</html>" * 500)
    refused(each, "not a whole HDF5 file")


def test_a_foreign_hdf5_file_is_named(artefact):
    with h5py.File(artefact.path, "w") as file:
        file["x"] = ROWS
    refused(artefact, "holds None, expected")


@pytest.mark.parametrize("kind", ["data set", ROWS, 3.5])
def test_another_kind_of_artefact_is_named(artefact, kind):
    with h5py.File(artefact.path, "a") as file:
        file.attrs["kind"] = kind
    refused(artefact, "is this the right file?")


def test_an_absent_file_is_named(artefact):
    artefact.path.unlink()
    with pytest.raises(FileNotFoundError, match=artefact.path.name):
        artefact.load()


def test_every_missing_data_set_is_named(each):
    whole = each.path.read_bytes()
    with h5py.File(each.path) as file:
        names = list(file)
    for name in names:
        each.path.write_bytes(whole)
        with h5py.File(each.path, "a") as file:
            del file[name]
        refused(each)


def test_every_missing_fact_is_named(each):
    whole = each.path.read_bytes()
    with h5py.File(each.path) as file:
        needed = [name for name in file.attrs if (each.name, name) not in OPTIONAL]
    for name in needed:
        each.path.write_bytes(whole)
        with h5py.File(each.path, "a") as file:
            del file.attrs[name]
        refused(each)


OPTIONAL = {("record", "epoch"), ("record", "sha256"), ("split", "name"), ("split", "verified")}


def test_facts_that_are_not_json_are_named(artefact):
    with h5py.File(artefact.path, "a") as file:
        facts = [name for name in file.attrs if name != "kind"] or ["fact"]
        file.attrs[facts[0]] = "{"
    refused(artefact, "damaged")


def test_a_group_in_the_place_of_a_data_set_is_named(artefact):
    with h5py.File(artefact.path, "a") as file:
        name = next(iter(file))
        del file[name]
        file.create_group(name)
    refused(artefact)


@pytest.mark.parametrize("content", ["", "{", '{"class_name": "Nothing"}', "[]"])
def test_a_damaged_architecture_is_named(tmp_path, content):
    saved, _, _ = history_of(tmp_path)
    path = tmp_path / "architecture.json"
    path.write_text(content)
    refused(types.SimpleNamespace(path=path, load=saved.final_model), "train it again")
