"""scripts/evaluate.py: a saved net with a softmax, its flags and row, and that the same command goes on."""

import json

import keras
import pytest

import data
from adv import attacks, autoattack


@pytest.fixture
def short(monkeypatch):
    """Fewer steps and queries than the paper's."""
    few = {
        name: (kind, settings | ({"queries": 40} if kind is attacks.Square else {"steps": 5}))
        for name, (kind, settings) in autoattack.VERSIONS["standard"].items()
    }
    monkeypatch.setitem(autoattack.VERSIONS, "standard", few)


@pytest.fixture
def weights(tmp_path):
    """A small softmax net, trained for two epochs on the digits."""
    dataset, layers = data.load("digits"), keras.layers
    x = data.to_unit(dataset.x_train)
    pooled = [layers.AveragePooling2D(4), layers.Flatten(), layers.Dense(10, activation="softmax")]
    model = keras.Sequential([keras.Input(x.shape[1:]), *pooled])
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy", jit_compile=False)
    model.fit(x, dataset.y_train, epochs=2, verbose=0)
    path = tmp_path / "mine.keras"
    model.save(path)
    return path


def test_a_saved_net_is_evaluated_and_not_twice(short, weights, call, tmp_path):
    options = ("--weights", weights, "--dataset", "digits", "--epsilon", "8/255", "--images", "60")
    first = call("evaluate", *options)
    assert first.code == 0, first.err
    row = json.loads((tmp_path / "mine-linf-8-255-standard" / "row.json").read_text())
    assert list(row["accuracies"]) == ["clean", "apgd-ce", "apgd-t", "fab-t", "square"]
    assert row["accuracies"]["clean"] > row["accuracies"]["square"] == round(100 * row["robust"]["value"], 2)
    assert (row["dataset"], len(row["images"]), row["norm"]) == ("digits", 60, "linf")
    assert {path.stem for path in (tmp_path / "mine-linf-8-255-standard").glob("*.h5")} == set(row["attacks"])
    [saturated] = [check for check in row["checks"] if check["name"] == "saturated"]
    assert f"saturated  {saturated['value']:6.2f} %" in first.out, "printed, raised or not"
    assert "AutoAttack standard, linf 8/255, 60 images" in first.out and "60/60" not in first.out
    again = call("evaluate", *options)
    assert again.out == first.out and "apgd-ce" not in again.err
    other = call("evaluate", *options[:5], "4/255", *options[6:])
    assert other.code == 0 and (tmp_path / "mine-linf-4-255-standard" / "row.json").is_file()
    mixed = call("evaluate", *options[:5], "4/255", *options[6:], "--out", tmp_path / "mine-linf-8-255-standard")
    assert mixed.code == 2 and "flags of another epsilon" in mixed.err


def test_what_is_wrong_is_one_sentence(call, tmp_path):
    for options, message in (
        (("--epsilon", "8/0"), "'8/0' given, expected a number above 0, as 8/255 or 0.5"),
        (("--norm", "l1"), "invalid choice: 'l1'"),
        ((), "no such model file"),
    ):
        completed = call("evaluate", "--weights", tmp_path / "none.keras", "--dataset", "digits", *options)
        assert completed.code == 2 and message in completed.err and len(completed.err.strip().splitlines()) == 1
