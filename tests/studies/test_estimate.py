"""What commands cost: images, weights and hours against counts by hand."""

import pathlib

import pytest

from studies import estimate, publish

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
    kept = 4e-9 * estimate.parameters("cifar10", "alexnet@0.25")
    for options, files in (("", 1000), ("--keep second-half", 501), ("--keep last", 1)):
        assert lines(("dare/1_train", f"{epochs} 1000 {options}"))[1] == f"weights kept: {files * kept:.1f} GB"
    assert estimate.parameters("cifar10", "alexnet@0.25") == 608_074


def test_hours_are_those_of_published_rows_of_the_same_stage(monkeypatch):
    one = {"dataset": "digits", "model": "alexnet", "wall_s": {"train": 3600.0, "slice": None}}
    older = {"dataset": "digits", "model": "alexnet", "wall_s": None, "origins": [{"wall_s": {"slice": 7200.0}}]}
    monkeypatch.setattr(publish, "measured", lambda: [older, one])
    cell = ("dare/1_train", ""), ("dare/2_slice", ""), ("dare/3_get_ats", "")
    expected = (
        "hours: 3.0, as published rows measured 2 of 3 stages on their devices; the other stages are not measured"
    )
    assert lines(*cell)[2] == expected
    assert lines(*cell[:2])[2].endswith("2 of 2 stages on their devices")
    assert "no published row measured any of the 1 stages" in lines(("dare/1_train", "--seed 0 --model vgg16"))[2]


def test_a_folder_of_images_is_not_read_to_count_it():
    said = lines(("dare/1_train", "--dataset folder:/nowhere"))
    assert said[-1] == "not counted, since their images would have to be read: folder:/nowhere"
