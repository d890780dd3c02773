"""A user's own net and checkpoints, from their import to the last table; and what is refused of them."""

import json

import keras
import numpy
import pytest

import data
from train.history import History

EPOCHS = 10
OWN = ("--model", "mynet", "--deterministic", "--quiet")
STAGES = {
    "2_slice": OWN,
    "3_get_ats": OWN,
    "4_generate_adv": (*OWN, "--attack", "fgsm", "--parts", "12", "8", "12", "8"),
    "5_finetune_dare": (*OWN, "--variant", "dare", "weight-noise", "--repeats", "1", "--learning-rates", "1e-4"),
    "6_finetune_adv": (*OWN, "--attack", "fgsm", "--repeats", "1", "--epochs", "1"),
    "7_test": (*OWN, "--attack", "fgsm", "--white-box", "pgd", "--white-box-images", "10"),
    "8_tables": (),
}


def net(filters=4, activation="relu"):
    """A Sequential of pixels in 0..255 that ends in a softmax."""
    layers = keras.layers
    return keras.Sequential([
        keras.Input((28, 28, 1)),
        layers.Rescaling(1 / 255),
        layers.Conv2D(filters, 3, strides=3, activation=activation, name="conv"),
        layers.Flatten(name="flat"),
        layers.Dense(8, activation=activation, name="dense"),
        layers.Dense(10, activation="softmax", name="out"),
    ])  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with mine.keras, and ten checkpoints in whole/ and in weights/."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "whole").mkdir(), (folder / "weights").mkdir()
    split = data.half_split(data.load("digits"), 0)
    keras.utils.set_random_seed(3)
    model = net()
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    for epoch in range(1, EPOCHS + 1):
        model.fit(split.x_train.astype("float32"), split.y_train, batch_size=32, verbose=0)
        model.save(folder / "whole" / f"net-{5 * epoch}.keras")
        model.save_weights(folder / "weights" / f"net-{epoch}.weights.h5")
    model.save(folder / "mine.keras")
    return folder


def cell(folder, name="mynet"):
    return folder / "runs" / "dare" / f"digits-{name}" / "seed0"


def test_a_net_of_ones_own_runs_to_the_last_table(trained, call, shell, tmp_path):
    own = ("--weights", trained / "mine.keras", "--scale", "255", "--deterministic")
    completed = call("0_import", "--name", "mynet", "--checkpoints", trained / "whole", *own)
    assert completed.code == 0, completed.err
    assert "\nimport: 10 epochs, validation accuracy " in completed.out
    assert "2_slice.py --dataset digits --model mynet --deterministic\n" in completed.out
    history = History(cell(tmp_path) / "train" / "history")
    assert history.epochs == history.stored == [*range(1, EPOCHS + 1)]
    accuracy = [history.record(epoch)[2]["validation_accuracy"] for epoch in (1, EPOCHS)]
    assert accuracy[1] > max(0.5, accuracy[0])
    assert "done before, skipped" in call("0_import", "--name", "mynet", "--checkpoints", trained / "whole", *own).out
    shell.all_here(STAGES, tmp_path)
    report = (cell(tmp_path).parent / "report" / "report.md").read_text(encoding="utf-8")
    assert "mynet" in report and "dare" in report
    row = json.loads((cell(tmp_path) / "test-dare" / "row.json").read_text(encoding="utf-8"))
    assert row["model"] == "mynet" and row["hyperparameters"]["source_epochs"] == EPOCHS


def test_weights_alone_are_of_the_model_that_is_given(trained, call, tmp_path):
    own = ("--checkpoints", trained / "weights", "--scale", "255", "--quiet")
    completed = call("0_import", "--name", "mynet", *own)
    assert completed.code == 2 and "weights without an architecture" in completed.err
    assert not cell(tmp_path).exists()
    assert call("0_import", "--name", "mynet", *own, "--weights", trained / "mine.keras").code == 0
    completed = call("0_import", "--name", "alone", "--weights", trained / "mine.keras", "--scale", "255", "--quiet")
    assert completed.code == 0 and completed.out.startswith("import: 1 epoch, ")
    several, alone = (History(cell(tmp_path, name) / "train" / "history") for name in ("mynet", "alone"))
    assert numpy.array_equal(several.record(EPOCHS)[0], alone.record(1)[0])


@pytest.mark.parametrize("other", [{"filters": 5}, {"activation": "tanh"}])
def test_checkpoints_of_another_architecture_are_refused(trained, call, tmp_path, other):
    net(**other).save(tmp_path / "other.keras")
    own = ("--weights", tmp_path / "other.keras", "--checkpoints", trained / "whole", "--scale", "255", "--quiet")
    completed = call("0_import", "--name", "mynet", *own)
    assert completed.code == 2 and completed.err.count("\n") == 1 and "another architecture" in completed.err


def test_mining_refuses_checkpoints_of_another_net_than_it_names(trained, call):
    completed = call("3_get_ats", "--checkpoints", trained / "whole", "--scale", "255")
    assert (
        completed.code == 2
        and "of another architecture than alexnet@0.03" in completed.err
        and "0_import.py" in completed.err
    )


@pytest.mark.parametrize("name", ["alexnet", "a b", "../x", "alexnet@0.5", ""])
def test_a_name_that_would_mislead_is_refused(call, name):
    completed = call("0_import", "--name", name, "--weights", "x.keras")
    assert completed.code == 2 and "expected letters, digits" in completed.err


def test_a_stage_refuses_a_name_that_nobody_imported(call):
    completed = call("2_slice", "--model", "mynet")
    assert (
        completed.code == 2
        and "unknown model 'mynet'" in completed.err
        and "none of that name was imported" in completed.err
    )
    assert call("0_import", "--name", "mynet").err.startswith("0_import.py: give --weights, --checkpoints, or both")
