"""An edited entry of a catalogue: the finished stages of the DARE study name it, and made again they use it."""

import dataclasses
import shutil

import pytest

from adv import attacks
from dare import nnslicer, variants
from train import params

EDITS = {  # script -> (what is edited, how, what is said)
    "1_train": (params.RECIPES, "alexnet", {"momentum": 0.5}, "another recipe: momentum 0.9, not 0.5"),
    "2_slice": (nnslicer.LAYERS, "alexnet", ["conv2"], "another layers: None, not ['conv2']"),
    "4_generate_adv": (attacks.ATTACKS, "pgd", {"steps": 41}, "another attack: steps 40, not 41"),
    "5_finetune_dare": (variants.VARIANTS, "dare", {"steps": 11}, "another variant: steps 10, not 11"),
    "6_finetune_adv": (params.FIRST_TUNED, "alexnet", "conv4", "another first layer tuned: 'conv2', not 'conv4'"),
    "7_test": (attacks.ATTACKS, "apgd-ce", {"rho": 0.5}, "another white-box attack apgd-ce: rho 0.75, not 0.5"),
}


@pytest.mark.parametrize("script", EDITS)
def test_an_edited_entry_of_a_catalogue_is_named(study, shell, call, script, monkeypatch):
    catalogue, name, change, words = EDITS[script]
    entry = dataclasses.replace(catalogue[name], **change) if isinstance(change, dict) else change
    monkeypatch.setitem(catalogue, name, entry)
    before = shell.digests(study.folder)
    completed = call(script, *shell.small[script], "--runs", study.folder / "runs")
    assert (
        completed.code == 2
        and f"holds a run with {words}: pass --overwrite" in completed.err
        and completed.err.count("\n") == 1
    )
    assert shell.digests(study.folder) == before


def test_an_edited_table_of_layers_takes_effect(study, tmp_path, call, monkeypatch):
    copy = tmp_path / study.cell.relative_to(study.folder)
    shutil.copytree(study.cell / "train", copy / "train")
    monkeypatch.setitem(nnslicer.LAYERS, "alexnet@0.03", ["conv2", "logits"])
    assert call("2_slice", "--deterministic", "--overwrite").code == 0
    assert list(nnslicer.Slice.load(copy / "slice" / "slice.h5").kept) == ["conv2", "logits"]
