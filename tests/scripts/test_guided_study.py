"""Guided retraining as a user runs it: what it writes, how it is continued, several processes, what it refuses."""

import dataclasses
import json
import shutil
import types

import h5py
import numpy
import pytest

from adv import attacks, autoattack
from adv.guided import configuration, inputs, ordering, retraining
from reporting import row as result_row
from studies.guided_retraining import cell as guided_cell
from studies.guided_retraining import row as guided_row

pytestmark = pytest.mark.slow

CELL = ["--dataset", "digits", "--model", "mnist_cnn@0.1", "--quiet", "--deterministic"]
ROBOT = ["--percent", "5", "20", "--epochs", "2", "--selector", "be-st", "random"]
RETRAIN = ["--prefixes", "2", "--configuration", "c2", "c3", "--metric", "dsa", "deepgini"]


@pytest.fixture(scope="module")
def finished(shell, tmp_path_factory):
    """The study, run once: .folder, .cell, .completed of each script."""
    folder = tmp_path_factory.mktemp("guided")
    stages = {
        "1_train": [*CELL, "--images", "300", "--epochs", "2"],
        "2_inputs": [*CELL, "--export", "npy"],
        "3_rank": CELL,
        "4_retrain": [*CELL, *RETRAIN],
        "5_robot": [*CELL, *ROBOT],
    }
    stages = {f"guided_retraining/{name}": options for name, options in stages.items()}
    completed = shell.all_here(stages | {"tables": ["--study", "guided_retraining"]}, folder)
    cell = folder / "runs" / "guided_retraining" / "digits-mnist_cnn@0.1" / "seed0"
    return types.SimpleNamespace(folder=folder, cell=cell, completed=completed)


def load(path):
    return json.loads(path.read_text(encoding="utf-8"))


def test_every_prefix_has_its_file_and_every_order_its_row(finished):
    names = {path.name for path in (finished.cell / "retrain").glob("*.json")}
    sizes = {"c2": (120, 240), "c3": (15, 30)}
    expected = {f"{c}-{m}-{n}.json" for c, both in sizes.items() for m in ("dsa", "deepgini") for n in both}
    assert names == expected | {"run.json"} | {f"row-{c}-{m}.json" for c in sizes for m in ("dsa", "deepgini")}
    row = result_row.load(finished.cell / "retrain" / "row-c3-dsa.json")
    assert [point["inputs"] for point in row["curves"][0]] == [15, 30]
    assert all(point["adversarial_inputs"] == point["inputs"] for point in row["curves"][0]), (
        "C3 holds adversarial inputs alone"
    )
    best = max(point["both"]["accuracy"] for point in row["curves"][0])
    assert row["measures"]["best"]["value"] == pytest.approx(100 * best, abs=0.01)
    assert row["measures"]["best"]["n"] == 60 and set(row["curves"][0][0]["both"]) == {
        "accuracy", "loss", "precision", "recall",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("script", "catalogue", "name", "change", "words"),
    [
        ("1_train", retraining.RECIPES, "digits", {"batch_size": 32}, "another recipe: batch_size 64, not 32"),
        ("2_inputs", inputs.PROFILES["as-run"], "fgsm", 0.5, "another attacks: fgsm"),
        ("3_rank", ordering.METRICS, "dsa", {"score": len}, "another metric: dsa score"),
        (
            "4_retrain",
            configuration.CONFIGURATIONS,
            "c2",
            {"clean": False},
            "another configuration: c2 clean True, not",
        ),
        ("4_retrain", retraining.RECIPES, "digits", {"optimizer": "adam"}, "another recipe: optimizer 'rmsprop', not"),
    ],
)
def test_an_edited_entry_of_a_catalogue_is_named(cell_copy, call, monkeypatch, script, catalogue, name, change, words):
    entry = dataclasses.replace(catalogue[name], **change) if isinstance(change, dict) else change
    monkeypatch.setitem(catalogue, name, entry)
    own = {"1_train": ["--images", "300", "--epochs", "2"], "4_retrain": RETRAIN}.get(script, [])
    completed = call(f"guided_retraining/{script}", *CELL, *own)
    assert completed.code == 2 and words in completed.err and "--overwrite" in completed.err, completed.err


def test_a_row_says_what_made_it(finished):
    row = result_row.load(finished.cell / "retrain" / "row-c3-dsa.json")
    assert set(row["commands"]) == {"train", "inputs", "rank"} and set(row["commits"]) == {*row["commands"], "retrain"}
    pooled = guided_row.pool([row, dataclasses.replace(row, seeds=[1], dirty=True)])
    assert pooled["dirty"] is True and [origin["seeds"] for origin in pooled["origins"]] == [[0], [1]]
    assert pooled["origins"][0]["commits"] == row["commits"]


def test_exported_arrays_are_the_inputs(finished):
    arrays = {path.stem: numpy.load(path) for path in (finished.folder / "npy").glob("*.npy")}
    parts = ("train", "val", "test", "adv_train", "adv_test")
    assert set(arrays) == {f"{what}_{part}" for what in "xy" for part in parts}
    assert arrays["x_adv_train"].shape == (30, 28, 28, 1) and arrays["x_train"].dtype == numpy.float32
    assert arrays["x_train"].max() <= 1 and len(arrays["y_train"]) == 210


def test_ranking_says_ties_and_apfd(finished):
    ranking = load(finished.cell / "rank" / "run.json")
    assert ranking["inputs_ranked"] == 240 and ranking["metrics"]["dsa"]["ties"] >= 210, "clean training inputs score 0"
    assert 0 < ranking["metrics"]["deepgini"]["apfd"] < 1 and "stands first" in ranking["tie_rule"]


def test_the_report_has_the_curves_and_the_conclusions(finished):
    text = (finished.cell.parent / "report" / "report.md").read_text(encoding="utf-8")
    for part in ("guided retraining", "the metrics", "the conclusions", "-guided.png"):
        assert part in text


def test_a_stopped_retraining_goes_on_with_the_next_model_and_ends_the_same(cell_copy, call, unfinish):
    folder = cell_copy / "retrain"
    first_result = load(folder / "c2-dsa-120.json")
    before = {path.name: load(path)["both"] for path in folder.glob("c?-*.json")}
    unfinish(folder, "c2-dsa-240.json", "c3-deepgini-30.json")
    again = call("guided_retraining/4_retrain", *CELL, *RETRAIN, "--workers", "1")
    assert again.code == 0 and load(folder / "c2-dsa-120.json") == first_result
    assert {path.name: load(path)["both"] for path in folder.glob("c?-*.json")} == before


def test_two_processes_make_the_same_models(cell_copy, call):
    folder = cell_copy / "retrain"
    before = {path.name: load(path)["both"] for path in folder.glob("c?-*.json")}
    shutil.rmtree(folder)
    again = call("guided_retraining/4_retrain", *CELL, *RETRAIN, "--workers", "2")
    assert again.code == 0, again.err
    assert {path.name: load(path)["both"] for path in folder.glob("c?-*.json")} == before


@pytest.fixture
def short_autoattack(monkeypatch):
    """Fewer steps and queries than the paper's."""
    few = {
        name: (kind, settings | ({"queries": 20} if kind is attacks.Square else {"steps": 3}))
        for name, (kind, settings) in autoattack.VERSIONS["standard"].items()
    }
    monkeypatch.setitem(autoattack.VERSIONS, "standard", few)


def test_autoattack_runs_anew_on_the_best_prefix(cell_copy, call, short_autoattack, unfinish, unsaturated):
    shutil.rmtree(cell_copy / "retrain")
    options = ["--prefixes", "3", "--configuration", "c3", "--metric", "dsa", "--attack-images", "9"]
    options += ["--attack-prefixes", "2"]
    completed = call("guided_retraining/4_retrain", *CELL, *options)
    assert completed.code == 0, completed.err
    row = result_row.load(cell_copy / "retrain" / "row-c3-dsa.json")
    measures, [attacked] = row["measures"], row["attacked"]
    best = max(row["curves"][0], key=lambda point: point["both"]["accuracy"])["inputs"]
    assert [point["inputs"] for point in attacked] == sorted({10, 30, best}), "the first, the last, and the best"
    assert unsaturated(cell_copy / "retrain") == []
    assert measures["autoattack@0.05"]["n"] == 9 == measures["original-autoattack@0.05"]["n"]
    first = load(cell_copy / "retrain" / "attacked" / "c3-dsa-30.json")
    assert first["robust"].items() <= attacked[-1].items()
    at_best = next(point["value"] for point in attacked if point["inputs"] == best)
    assert measures["autoattack@0.05"]["value"] == pytest.approx(100 * at_best, abs=0.01)
    unfinish(cell_copy / "retrain", "attacked/c3-dsa-30.json", "attacked/c3-dsa-30/square.h5", "row-c3-dsa.json")
    again = call("guided_retraining/4_retrain", *CELL, *options)
    assert again.code == 0, again.err
    after = load(cell_copy / "retrain" / "attacked" / "c3-dsa-30.json")
    assert (after["robust"], after["accuracies"]) == (first["robust"], first["accuracies"])


def test_robot_writes_its_selections_and_a_row_of_each_selector(finished):
    names = {path.name for path in (finished.cell / "robot").glob("*.json")}
    assert names == {
        *(f"{selector}-{n}.json" for selector in ("be-st", "random") for n in (10, 42)),
        *("run.json", "row-robot-be-st.json", "row-robot-random.json"),
    }
    row = result_row.load(finished.cell / "robot" / "row-robot-be-st.json")
    best = max(point["adversarial"]["accuracy"] for point in row["curves"][0])
    assert row["measures"]["best"]["value"] == pytest.approx(100 * best) and row["measures"]["best"]["n"] == 60
    assert [point["inputs"] for point in row["curves"][0]] == [10, 42] and row["role"] == "method"
    assert "pool" not in row["hyperparameters"], "another seed has another pool, and is pooled with this one"
    strongest = max(row["curves"][0], key=lambda point: point["adversarial"]["accuracy"])
    assert row["measures"]["anew"]["value"] == pytest.approx(100 * strongest["anew"]) and row["attacks"].keys() == {
        "fgsm", "pgd",
    }  # fmt: skip


def test_autoattack_runs_anew_on_the_best_of_each_selector(cell_copy, call, short_autoattack, unsaturated):
    shutil.rmtree(cell_copy / "robot")
    options = ["--percent", "5", "20", "--selector", "be-st", "--epochs", "1", "--attack-images", "9"]
    completed = call("guided_retraining/5_robot", *CELL, *options)
    assert completed.code == 0 and "% of those attacked anew" in completed.out, completed.err
    row = result_row.load(cell_copy / "robot" / "row-robot-be-st.json")
    assert row["measures"]["autoattack@0.05"]["n"] == 9 == row["measures"]["original-autoattack@0.05"]["n"]
    assert {"fgsm", "pgd", "apgd-t", "square"} < row["attacks"].keys() and unsaturated(cell_copy / "robot") == []
    saved = load(cell_copy / "robot" / "attacked" / "be-st.json")["robust"]["value"]
    assert row["measures"]["autoattack@0.05"]["value"] == pytest.approx(100 * saved, abs=0.01)


def test_a_larger_test_part_measures_the_same_training(tmp_path, monkeypatch, call):
    monkeypatch.chdir(tmp_path)
    sizes = ["--images", "100", "--test-images", "60", "--epochs", "1"]
    for script, options in {"1_train": sizes, "2_inputs": [], "3_rank": [], "4_retrain": RETRAIN}.items():
        completed = call(f"guided_retraining/{script}", *CELL, *options)
        assert completed.code == 0, completed.err
    folder = tmp_path / "runs" / "guided_retraining" / "digits-mnist_cnn@0.1" / "seed0"
    assert load(folder / "train" / "run.json")["counts"] == [70, 20, 60]
    assert load(folder / "inputs" / "run.json")["counts"] == {"train": 9, "test": 60}
    row = result_row.load(folder / "retrain" / "row-c3-dsa.json")
    assert row["measures"]["best"]["n"] == 120 and row["curves"][0][-1]["inputs"] == 9
    assert row["hyperparameters"]["images"] == 100 and row["hyperparameters"]["test_images"] == 60
    identity, inputs_of = (load(folder / "train" / "run.json")["identity"], h5py.File(folder / "inputs" / "inputs.h5"))
    attacked = inputs_of["train_rows"][()], inputs_of["train_images"][()]
    inputs_of.close()
    shutil.rmtree(tmp_path / "runs")
    for script, options in {"1_train": [*sizes[:2], *sizes[4:]], "2_inputs": []}.items():
        assert call(f"guided_retraining/{script}", *CELL, *options).code == 0
    assert load(folder / "train" / "run.json")["identity"] == identity, "the same net"
    with h5py.File(folder / "inputs" / "inputs.h5") as file:
        numpy.testing.assert_array_equal(file["train_rows"][()], attacked[0])
        numpy.testing.assert_allclose(file["train_images"][()], attacked[1], atol=1e-6)
    refused = call("guided_retraining/1_train", *CELL, "--test-images", "60")
    assert refused.code == 2 and "--images" in refused.err


def test_a_stopped_robot_goes_on_and_ends_the_same(cell_copy, call, unfinish):
    folder = cell_copy / "robot"
    before = {path.name: load(path)["both"] for path in folder.glob("*-[0-9]*.json")}
    unfinish(folder, "be-st-42.json", "random-10.json")
    again = call("guided_retraining/5_robot", *CELL, *ROBOT)
    assert again.code == 0, again.err
    assert {path.name: load(path)["both"] for path in folder.glob("*-[0-9]*.json")} == before
    refused = call("guided_retraining/5_robot", *CELL, "--overwrite", "--percent", "400")
    assert refused.code == 2 and "pass a smaller --percent" in refused.err and refused.err.count("\n") == 1


def test_inputs_of_another_model_are_refused(cell_copy, call):
    record = load(cell_copy / "train" / "run.json")
    del record["digest"]
    record["identity"] = "0" * 64
    (cell_copy / "train" / "run.json").write_text(json.dumps(record), encoding="utf-8")
    shutil.rmtree(cell_copy / "rank")
    refused = call("guided_retraining/3_rank", *CELL)
    assert refused.code == 2 and "made from other images than these, or damaged" in refused.err


@pytest.mark.parametrize(
    ("script", "options", "words"),
    [
        ("2_inputs", CELL, "make it with scripts/guided_retraining/1_train.py"),
        ("4_retrain", [*CELL, "--prefixes", "2"], "make it with scripts/guided_retraining/1_train.py"),
        ("1_train", ["--dataset", "svhn", "--quiet"], "model that does not fit here"),
        ("4_retrain", [*CELL, "--metric", "lda"], "did you mean lsa"),
    ],
)
def test_what_is_missing_is_said_in_one_sentence(script, options, words, call):
    refused = call(f"guided_retraining/{script}", *options)
    assert refused.code == 2 and words in refused.err and refused.err.count("\n") == 1


def test_there_are_steps_of_every_data_set_that_has_a_net():
    for definition in configuration.CONFIGURATIONS.values():
        assert set(definition.steps) == set(guided_cell.NETS) == set(retraining.RECIPES)
