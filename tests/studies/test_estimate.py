"""What commands cost: images, weights and hours against counts by hand."""

import math
import pathlib

import keras
import pytest

import data
import models
from data import files
from studies import estimate, hours, publish

SCRIPTS = pathlib.Path(__file__).resolve().parents[2] / "scripts"


def lines(*commands):
    """The sentences on one cell: each command is a script and its options as one string."""
    cell = [["python", str(SCRIPTS / f"{script}.py"), *text.split()] for script, text in commands]
    return list(estimate.lines([cell]))


@pytest.mark.parametrize(
    ("script", "options", "images"),
    [
        ("dare/1_train", "--epochs 7", 7 * 719),
        ("dare/1_train", "", 200 * 719),
        ("dare/1_train", "--epochs 1 --dataset svhn", 36_629),
        ("dare/2_slice", "", 0),
        ("dare/6_finetune_adv", "--attack fgsm", 0),
        ("dare/6_finetune_adv", "--attack fgsm --distillation --distillation-epochs 7", 2 * 7 * 719),
        ("robust_training/1_train", "--method pgd-7 free-8 --bp-epochs 4 --validation 38", 2 * 4 * 1400),
        ("robust_training/1_train", "--method pgd-7 --epochs 3 --images 100", 3 * 100 * 8),
        ("guided_retraining/1_train", "--dataset digits --model mnist_cnn --epochs 4", 4 * 1258),
    ],
)
def test_images_are_epochs_and_passes_times_images(script, options, images):
    assert lines((script, options))[0] == f"images trained on by the training stages, at most: {images:,}"


def test_weights_are_four_bytes_a_parameter_and_file():
    epochs = "--dataset cifar10 --model alexnet@0.25 --epochs"
    gigabytes = 4e-9 * estimate.parameters("cifar10", "alexnet@0.25")
    for options, kept_files in (("", 1000), ("--keep second-half", 501), ("--keep last", 1)):
        assert (
            lines(("dare/1_train", f"{epochs} 1000 {options}"))[1] == f"weights kept: {kept_files * gigabytes:.1f} GB"
        )
    assert estimate.parameters("cifar10", "alexnet@0.25") == 608_074


def test_hours_are_those_of_published_rows_of_the_same_stage(monkeypatch):
    newest = {"dataset": "digits", "model": "alexnet", "wall_s": {"train": 3600.0, "slice": None}}
    older = {"dataset": "digits", "model": "alexnet", "wall_s": None, "origins": [{"wall_s": {"slice": 7200.0}}]}
    monkeypatch.setattr(publish, "measured", lambda: [older, newest])
    cell = ("dare/1_train", ""), ("dare/2_slice", ""), ("dare/3_get_ats", "")
    assert lines(*cell)[2] == "hours: 3.0 (2 of 3 stages as measured before, 1 not measured)"
    assert lines(*cell[:2])[2] == "hours: 3.0 (2 of 2 stages as measured before)"
    assert lines(*cell[2:])[2] == "hours: not known, as nobody measured any of the 1 stages"


def test_a_stage_that_nobody_measured_counts_as_one_of_another_net_times_its_work(monkeypatch):
    row = {"dataset": "mnist", "model": "alexnet@0.5", "wall_s": {"generate_adv-fgsm": 3600.0}}
    monkeypatch.setattr(publish, "measured", lambda: [row])
    ratio = estimate.work("digits", "alexnet") / estimate.work("mnist", "alexnet@0.5")
    expected = f"hours: {ratio:.1f} (0 of 1 stages as measured before, 1 as a rough guide, by stages of other nets)"
    assert ratio > 3 and lines(("dare/4_generate_adv", "--attack pgd"))[2] == expected
    assert "not known" in lines(("dare/4_generate_adv", "--attack pgd --dataset folder:x"))[2]


def test_work_is_multiplications_of_an_image():
    assert estimate.work("digits", "mnist_cnn") == by_hand("digits", "mnist_cnn") > 0


def by_hand(dataset, name):
    """Kernel entries times the places that each convolution is computed at."""
    entry = data.DATASETS[dataset]
    total = 0
    for layer in models.build(name, entry.shape, len(entry.classes)).layers:
        if isinstance(layer, keras.layers.Conv2D):
            total += math.prod(layer.kernel.shape) * layer.output.shape[1] * layer.output.shape[2]
        elif isinstance(layer, keras.layers.Dense):
            total += layer.input.shape[-1] * layer.units
    return total


def test_own_runs_are_measured_too(tmp_path, monkeypatch):
    monkeypatch.setattr(publish, "measured", lambda: [])
    folder = tmp_path / "dare" / "digits-alexnet" / "seed0" / "train"
    record = {"stage": "train", "arguments": {"dataset": "digits", "model": "alexnet"}, "uses": {}, "inputs": {},
              "outputs": {}, "wall_s": 12.0}  # fmt: skip
    files.write_sealed(folder / "run.json", record)
    assert hours.measured(tmp_path) == {("digits", "alexnet", "train"): (12.0, None)}


def test_a_training_is_scaled_by_the_images_of_both_commands(monkeypatch):
    row = {"dataset": "digits", "model": "alexnet", "wall_s": {"train": 3600.0}, "commands": None,
           "command": "python scripts/dare/1_train.py --dataset digits --model alexnet --epochs 20"}  # fmt: skip
    monkeypatch.setattr(publish, "measured", lambda: [row])
    assert lines(("dare/1_train", "--epochs 50"))[2] == "hours: 2.5 (1 of 1 stages as measured before)"
    row["command"] = "python scripts/dare/1_train.py --an-option-that-is-gone 3"
    assert lines(("dare/1_train", "--epochs 50"))[2] == "hours: 1.0 (1 of 1 stages as measured before)"


def test_a_folder_of_images_is_not_read_to_count_it():
    printed = lines(("dare/1_train", "--dataset folder:/nowhere"))
    assert printed[-1] == "not counted, because their images would have to be read: folder:/nowhere"
