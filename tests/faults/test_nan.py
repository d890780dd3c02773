"""NaN in weights and in artefacts: refused in one sentence, before it becomes a number in a row."""

import h5py
import numpy
import pytest

from data import files

pytestmark = pytest.mark.faults
READERS = {  # stage -> those that read its weights
    "dare/1_train": ["dare/2_slice", "dare/3_get_ats", "dare/4_generate_adv"],
    "dare/5_finetune_dare": ["dare/7_test"],
    "robust_training/1_train": ["robust_training/2_test", "classwise/1_attack"],
    "guided_retraining/1_train": ["guided_retraining/2_inputs"],
}
CASES = [(script, reader) for script, readers in READERS.items() for reader in readers]
ARTEFACTS = {  # file of a finished stage -> (stage that wrote it, dataset, stage that reads it)
    "adversarials.h5": ("dare/4_generate_adv", "test_images", "dare/7_test"),
    "targets.h5": ("dare/3_get_ats", "activation", "dare/5_finetune_dare"),
    "inputs.h5": ("guided_retraining/2_inputs", "train_images", "guided_retraining/3_rank"),
    "scores.h5": ("guided_retraining/3_rank", "dsa", "guided_retraining/4_retrain"),
}


def plant(file):
    """NaN in the middle of every float dataset, or of every weight, of an open HDF5 file."""
    count = 0

    def visit(name, item):
        nonlocal count
        if isinstance(item, h5py.Dataset) and item.dtype.kind == "f" and item.ndim and item.size:
            values = item[()]
            values.ravel()[values.size // 2] = numpy.nan
            item[()] = values
            count += 1

    file.visititems(visit)
    assert count


def accept(stage):
    """Write the digests of the present files into a stage's records, as if it had written these files."""
    for record in stage.rglob("epoch-*.record.h5"):
        weights = record.with_name(record.name.replace("record", "weights"))
        if weights.is_file():
            arrays, facts = files.load_artefact(record, "epoch record", ["log_probability", "prediction"])
            facts["sha256"][weights.name] = files.digest(weights)
            files.save_artefact(record, "epoch record", arrays, facts)
    run = files.read_sealed(stage / "run.json")
    run["outputs"] = {name: files.digest(stage / name) for name in run["outputs"]}
    files.write_sealed(stage / "run.json", run)


@pytest.mark.parametrize(("script", "reader"), CASES)
def test_nan_weights(script, reader, whole, stages, tally, tmp_path):
    folder = stages.before(reader, whole.folder, tmp_path / "run")
    for stage in stages.folders(script, folder):
        for path in stage.rglob("*.weights.h5"):
            with h5py.File(path, "r+") as file:
                plant(file)
        accept(stage)
    result = stages.here(reader, folder)
    stages.refused(result.code, result.err, "NaN")
    tally[f"NaN weights of {script}: refused by {reader}"] += 1


@pytest.mark.parametrize("name", ARTEFACTS)
def test_nan_in_an_artefact(name, whole, stages, tally, tmp_path):
    script, dataset, reader = ARTEFACTS[name]
    folder = stages.before(reader, whole.folder, tmp_path / "run")
    for stage in stages.folders(script, folder):
        with h5py.File(stage / name, "r+") as file:
            values = file[dataset][()]
            values.ravel()[values.size // 2] = numpy.nan
            file[dataset][()] = values
        accept(stage)
    result = stages.here(reader, folder)
    stages.refused(result.code, result.err, name, "NaN")
    tally[f"NaN in {name}: refused by {reader}"] += 1
