"""What 5_finetune_dare.py makes of a finished small cell beyond its weights files, and what it leaves out."""

import json
import shutil

import pytest

from dare import controls, dare
from data import files, ledger
from train import history

pytestmark = pytest.mark.slow  # the study that it copies is made again where its worker has none


@pytest.fixture
def cell(study, tmp_path):
    """The folder of the finished cell's copy, without what 5_finetune_dare.py made; beside it a training of seed 3."""
    shutil.copytree(study.folder / "runs", tmp_path / "runs")
    cell = tmp_path / "runs" / study.cell.relative_to(study.folder / "runs")
    for stage in cell.glob("finetune_dare-*"):
        shutil.rmtree(stage)
    train(cell, 3)
    return cell


def train(cell, seed):
    """The cell's training once more, as if from another seed."""
    copy = cell.parent / f"seed{seed}" / "train"
    shutil.copytree(cell / "train", copy)
    origin = copy / "history" / "origin.json"
    files.write_sealed(origin, files.read_sealed(origin) | {"seed": seed})
    stored = files.read_sealed(copy / "run.json")
    stored["outputs"]["history/origin.json"] = files.digest(origin)
    files.write_sealed(copy / "run.json", stored)


def moved(cell, name):
    """How far the first repeat moved the weights, relative to their norm."""
    trained = history.History(cell / "train" / "history")
    model = trained.final_model()
    original = model.get_weights()
    history.load_weights(model, cell / f"finetune_dare-{name}" / "weights-0.weights.h5")
    return controls.relative_change(original, model.get_weights())


def record(cell, name):
    return json.loads((cell / f"finetune_dare-{name}" / "run.json").read_text())


def test_variants_read_other_layers_and_epochs_and_controls_compare_with_dare(cell, call):
    names = ["dare", "dare-last", "dare-rand", "dare-key", "negated", "weight-noise"]
    options = ["--learning-rates", "1e-4", "--repeats", "1", "--draws", "2", "--quiet"]
    completed = call("5_finetune_dare", "--variant", *names, *options)
    assert completed.code == 0, completed.err
    layers = {name: record(cell, name)["layer"] for name in names[:4]}
    assert layers == {"dare": "conv5", "dare-last": "dense2", "dare-rand": "conv5", "dare-key": "conv5"}
    assert all(record(cell, name)["frozen_share"].keys() == {f"conv{n}" for n in range(1, 6)} for name in names[:4])
    assert len(record(cell, "dare-key")["key_share"]) == 10
    files_of = {name: sorted(path.name for path in (cell / f"finetune_dare-{name}").iterdir()) for name in names}
    assert files_of.pop("weight-noise") == ["run.json", "weights-0.weights.h5", "weights-1.weights.h5"]
    assert all(names_of_files == ["run.json", "weights-0.weights.h5"] for names_of_files in files_of.values())
    change = {name: moved(cell, name) for name in names}
    assert change["negated"] == pytest.approx(change["dare"], rel=1e-3)
    assert change["weight-noise"] == pytest.approx(change["dare"], rel=1e-2)
    assert (
        record(cell, "weight-noise")["arguments"]["draws"] == 2 and record(cell, "dare")["arguments"]["draws"] is None
    )


def test_checkpoints_are_the_historys_files_in_the_order_of_the_record(cell, call):
    assert call("5_finetune_dare", "--variant", "checkpoints", "checkpoint", "--quiet").code == 0
    assert record(cell, "checkpoints")["checkpoints"] == [2, 3] and record(cell, "checkpoint")["checkpoints"] == [2]
    for place, epoch in enumerate((2, 3)):
        weights = cell / "finetune_dare-checkpoints" / f"weights-{place}.weights.h5"
        assert weights.samefile(cell / "train" / "history" / f"epoch-000{epoch}.weights.h5")


def test_other_seed_is_found_named_and_kept(cell, call):
    assert call("5_finetune_dare", "--variant", "other-seed", "--quiet").code == 0
    run_record = record(cell, "other-seed")
    assert run_record["arguments"]["other_seed"] == 3 and "../seed3/train" in run_record["inputs"]
    train(cell, 1)
    completed = call("5_finetune_dare", "--variant", "other-seed", "--quiet")
    assert completed.code == 0 and "done before, skipped" in completed.out, (
        "a nearer seed that is trained later changes nothing"
    )
    completed = call("5_finetune_dare", "--variant", "other-seed", "--other-seed", "1")
    assert completed.code == 2 and "other_seed 3, not 1" in completed.err


def test_what_a_cell_lacks_is_left_out_unless_it_is_asked_for(cell, call, monkeypatch):
    shutil.rmtree(cell.parent / "seed3")
    with ledger.kept(cell / "train"):  # as 3_get_ats.py --keep mined does
        for epoch in (2, 3):
            history.History(cell / "train" / "history").drop_weights(epoch)
    for name in [*dare.VARIANTS, *controls.CONTROLS]:
        if name not in ("dare", "dare-last", "checkpoint", "other-seed"):
            monkeypatch.delitem(dare.VARIANTS if name in dare.VARIANTS else controls.CONTROLS, name)
    completed = call("5_finetune_dare", "--learning-rates", "1e-4", "--repeats", "1", "--quiet")
    assert completed.code == 0 and not completed.err, completed.err
    first, *further = completed.out.splitlines()
    assert first.startswith("finetune_dare dare: 1 repeat, learning rate 0.0001")
    assert [line.partition(", ")[0] for line in further] == [
        "finetune_dare dare-last: left out",
        "finetune_dare checkpoint: left out",
        "finetune_dare other-seed: left out",
    ]
    assert (
        "weights of mined epochs are deleted" in further[0] and "1_train.py" in further[2] and "--seed 1" in further[2]
    )
    assert not [path for path in cell.iterdir() if path.name in ("finetune_dare-dare-last", "finetune_dare-other-seed")]
    for name, words in (("other-seed", "1_train.py"), ("checkpoint", "no weights of epoch 2"), ("dare-last", "epoch")):
        completed = call("5_finetune_dare", "--variant", name, "--quiet")
        assert completed.code == 2 and words in completed.err and len(completed.err.splitlines()) == 1
