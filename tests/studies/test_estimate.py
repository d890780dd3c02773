"""What a study costs: estimates against counts by hand, of commands with few options and of the scripts' defaults."""

import pathlib

import pytest

from adv import attacks
from dare import variants
from studies import cost

SCRIPTS = pathlib.Path(__file__).resolve().parents[2] / "scripts" / "dare"
TRAIN, VALIDATION = 719, 719  # digits
FORTY = 40 * 40  # gradients of a minimal pgd


def work(*stages, model="alexnet@0.1"):
    """The Work of one cell: each stage is (script, options as one string)."""
    commands = [["python", str(SCRIPTS / f"{script}.py"), "--model", model, *text.split()] for script, text in stages]
    return cost.of([commands])


def test_training_is_epochs_times_the_half():
    assert work(("1_train", "--epochs 7")).trained == {"1_train": 7 * TRAIN}
    assert work(("1_train", "")).trained == {"1_train": 200 * TRAIN}, "the recipe's epochs"
    assert work(("1_train", "--epochs 1 --dataset svhn")).trained == {"1_train": 36_629}


def test_crafting_is_images_times_the_gradients_of_the_attack():
    found = work(
        ("4_generate_adv", "--attack fgsm pgd --parts 1 2 3 4"),
        ("4_generate_adv", "--attack cw --parts 0 0 5 0"),
        ("4_generate_adv", ""),
    )
    assert found.crafting == {"fgsm": 10 + 1078, "pgd": 1088 * FORTY, "cw": 25_000, "deepfool": 1078 * 900}
    assert not found.trained and not found.white_box


def test_tuning_counts_repeats_and_tried_rates():
    rates = "--learning-rates 1e-4 --repeats 2"
    assert work(("5_finetune_dare", f"--variant dare {rates}")).trained == {"5_finetune_dare": 2 * 1280}
    assert work(("5_finetune_dare", "--variant dare --repeats 2")).trained == {"5_finetune_dare": (2 + 5) * 1280}
    assert work(("5_finetune_dare", f"--variant dare-s {rates}")).trained == {"5_finetune_dare": 2 * 10 * VALIDATION}
    assert work(("5_finetune_dare", "--variant swa weight-noise --repeats 2")).trained == {}
    found = work(
        ("1_train", "--epochs 7"),
        ("4_generate_adv", "--attack fgsm pgd --parts 10 0 0 0"),
        ("6_finetune_adv", "--attack fgsm pgd --repeats 3 --epochs 4 --distillation"),
    )
    assert found.trained["6_finetune_adv"] == 2 * 3 * 4 * 10 + 2 * 7 * TRAIN
    found = work(("9_what_matters", "--factor steps --repeats 2")).trained
    assert found == {"9_what_matters": 2 * 128 * (10 + 1 + 3 + 30 + 100 + 300)}


def test_white_box_tests_count_every_model():
    found = work(
        ("5_finetune_dare", "--variant dare --repeats 2"),
        ("5_finetune_dare", "--variant swa weight-noise --repeats 2 --draws 4"),
        ("6_finetune_adv", "--attack fgsm pgd --repeats 3 --distillation"),
        ("7_test", "--white-box pgd --white-box-images 10 --minimal fgsm pgd"),
    )
    models = 1 + 2 + 1 + 4 + 2 * 3 + 1
    assert found.white_box == {"pgd": models * 10 * (2 * 40 + FORTY), "fgsm": models * 10}
    alone = work(("7_test", "--white-box apgd-t --white-box-images 10 --minimal --epsilons 0.1"))
    assert alone.white_box == {"apgd-t": 10 * 900}


def test_all_stands_for_every_variant_and_control_but_the_checkpoints():
    tested = work(("5_finetune_dare", "--repeats 2"), ("7_test", "--white-box pgd --white-box-images 1 --minimal"))
    once = ("checkpoint", "swa", "other-seed")
    twice = len(variants.VARIANTS) + len(("weight-noise", "logit-noise", "negated", "tune-clean"))
    assert tested.white_box["pgd"] == (1 + 2 * twice + len(once)) * 2 * 40
    named = work(
        ("1_train", "--epochs 9"),
        ("5_finetune_dare", "--variant checkpoints"),
        ("7_test", "--white-box pgd --white-box-images 1 --minimal"),
    )
    assert named.white_box["pgd"] == (1 + 4) * 2 * 40


def test_the_white_box_study_counts_points_and_passes():
    few = "--learning-rates 1e-4 1e-3 --repeats 2 --points 3 --bp-epochs 2 --samples 256 --batch-size 128"
    few += " --images 10 --choice-images 5 --attack fgsm pgd-restarts --attack-steps 7 --restarts 3"
    found = work(("10_white_box", f"--strategy regression swa {few}"))
    assert found.trained == {"10_white_box": 2 * 2 * 2 * 256}
    points = 2 * 2 * 3 + 2
    assert found.white_box == {"fgsm": points * 25, "pgd-restarts": points * 25 * 3 * 7}


def test_it_is_said_in_sentences():
    found = cost.of([[["python", "scripts/other/1_train.py", "--epochs", "3"]]])
    assert list(cost.lines(found)) == [
        "images trained on, at most: 0",
        "input gradients of crafting, at most: none",
        "input gradients of white-box tests, at most: none",
        "not estimated: other/1_train",
    ]
    found = work(("1_train", "--epochs 100"), ("4_generate_adv", "--attack fgsm --parts 1000 0 0 0"))
    assert list(cost.lines(found))[:2] == [
        "images trained on, at most: 71,900 (1_train 71,900)",
        "input gradients of crafting, at most: fgsm 1,000",
    ]


@pytest.mark.parametrize("name", attacks.ATTACKS)
def test_every_attack_can_be_estimated(name):
    assert work(("4_generate_adv", f"--attack {name} --parts 1 0 0 0")).crafting[name] >= 1
