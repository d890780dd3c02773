"""Result rows: measures, files, and the published values beside them."""

import argparse
import csv
import dataclasses
import json

import numpy
import pytest

from pipeline import provenance, run_directory
from reporting import measures, published, row, statistics


def test_share_of_three_repeats():
    flags = [numpy.arange(10) < count for count in (6, 7, 8)]
    measure = measures.share(flags, 70.1)
    assert measure["value"] == 70.0 and measure["values"] == [60.0, 70.0, 80.0]
    assert measure["spread"] == 10.0 and measure["n"] == 10 and measure["published"] == 70.1
    assert measure["interval"] == pytest.approx([39.68, 89.22], abs=0.02), "Wilson's interval of 7 in 10"
    assert measures.share(flags[:1])["spread"] is None


def test_median_counts_failures_as_far():
    assert measures.median([numpy.array([0.1, 0.2, numpy.nan])])["value"] == 0.2


def test_of_several_checks_the_raised_one_is_kept():
    good, bad = ({"name": "batch", "passed": passed, "seen": "", "expected": ""} for passed in (True, False))
    other = good | {"name": "logits"}
    assert row.checks([[good, other], [bad], [bad | {"seen": "later"}]]) == [bad, other]
    assert row.checks([[], []]) == []


def test_the_interval_is_of_the_mean_over_repeats():
    flags = [numpy.arange(30) < count for count in (11, 12)]
    expected = statistics.wilson(12, 30)  # 11.5 rounded to the even number
    assert measures.share(flags)["interval"] == [round(100 * expected.low, 2), round(100 * expected.high, 2)]


def test_rows_are_saved_and_read_in_order(tmp_path, synthetic):
    for method in ("swa", "dare"):
        saved = synthetic.whole(synthetic.row(method, "method", dataset="folder:a/b", curves=[[1, 2.5]]))
        row.save(saved, row.path_of(saved, tmp_path))
    assert [path.name for path in sorted(tmp_path.iterdir())] == [
        "folder-a-b-alexnet-dare.json",
        "folder-a-b-alexnet-swa.json",
    ]
    assert [each["method"] for each in row.load_all(tmp_path)] == ["dare", "swa"]
    again = row.load(tmp_path / "folder-a-b-alexnet-dare.json")
    assert again == saved and again.details == {"curves": [[1, 2.5]]}
    stored = json.loads((tmp_path / "folder-a-b-alexnet-dare.json").read_text())
    assert list(stored) == list(row.FIELDS) and stored["details"] == {"curves": [[1, 2.5]]}


def test_a_median_that_is_infinite_is_saved_and_read(tmp_path, synthetic):
    saved = synthetic.whole(synthetic.row("dare", "method"))
    saved.measures["minimal/cw"] = measures.median([numpy.array([0.1, numpy.nan, numpy.nan])])
    row.save(saved, tmp_path / "row.json")
    assert row.load(tmp_path / "row.json")["measures"]["minimal/cw"]["value"] is None


def test_a_row_is_a_mapping_of_fields_and_details(synthetic):
    whole = synthetic.whole(synthetic.row("dare", "method", curves=[1]))
    assert whole["method"] == "dare" and whole["curves"] == [1] and whole.get("rank") is None
    assert "curves" in whole and "rank" not in whole and "details" not in dict(whole)
    assert row.detailed(whole, rank=[2]).details == {"curves": [1], "rank": [2]} and "rank" not in whole
    with pytest.raises(KeyError):
        whole["rank"]
    with pytest.raises(ValueError, match="details have the names of fields of every row: seeds"):
        row.detailed(whole, seeds=[1])


@pytest.mark.parametrize(
    ("text", "message"),
    [("{not json", "damaged"), ('{"study": "dare"}', "lacks dataset, model, method"), ("[1]", "lacks study")],
)
def test_files_that_are_no_rows(tmp_path, text, message):
    (tmp_path / "bad.json").write_text(text)
    with pytest.raises(ValueError, match=f"bad.json.*{message}"):
        row.load_all(tmp_path)


@pytest.mark.parametrize("name", row.FIELDS)
def test_a_missing_field_is_named_and_a_foreign_one(tmp_path, synthetic, name):
    row.save(synthetic.whole(synthetic.row("dare", "method")), tmp_path / "bad.json")
    stored = json.loads((tmp_path / "bad.json").read_text())
    value = stored.pop(name)
    (tmp_path / "bad.json").write_text(json.dumps(stored))
    with pytest.raises(ValueError, match=f"bad.json: this row lacks {name}: make its stage again with --overwrite"):
        row.load_all(tmp_path)
    (tmp_path / "bad.json").write_text(json.dumps({**stored, f"old_{name}": value}))
    with pytest.raises(ValueError, match=f"lacks {name} and has old_{name}: "):
        row.load(tmp_path / "bad.json")


@pytest.fixture
def stages(tmp_path):
    """``stages(seed, train=..., test=...)``: a row of two stages, each with so changed facts of its process."""

    def row_of_stages(seed, *, train, test):
        arguments = {
            "study": "dare",
            "dataset": "digits",
            "model": "alexnet",
            "seed": seed,
            "runs": str(tmp_path / "runs"),
        }
        arguments = argparse.Namespace(**arguments, overwrite=False)
        with pytest.MonkeyPatch.context() as patch:
            facts = provenance.facts()
            patch.setattr(provenance, "facts", lambda: {**facts, "dirty": False, **train})
            run_directory.finish(run_directory.begin("train", arguments))
            patch.setattr(provenance, "facts", lambda: {**facts, "dirty": False, **test})
            stage = run_directory.begin("test-a", arguments, ["train"])
        about = {"study": "dare", "dataset": "digits", "method": "a", "title": "A", "role": "method", "verified": True}
        measured = {"clean": measures.share([numpy.arange(10) < 5 + seed])}
        about |= {"hyperparameters": {}, "measures": measured, "checks": [], "attacks": {}}
        return row.of_stage(stage, **about, details={"curves": [seed]})

    yield row_of_stages
    run_directory.abandon()


@pytest.mark.parametrize(("train", "dirty"), [(True, True), (False, False), (None, None)])
def test_a_row_whose_ancestor_is_dirty_is_dirty(stages, train, dirty):
    tested = stages(3, train={"dirty": train}, test={"device": "a GPU"})
    assert tested.dirty is dirty and (tested.model, tested.seeds, tested.repeats) == ("alexnet", [3], 1)
    assert tested.devices == {"train": provenance.device(), "test-a": "a GPU"} and tested.device == "a GPU"
    assert set(tested.commits) == set(tested.wall_s) == {"train", "test-a"} and set(tested.commands) == {"train"}
    assert tested.continued == {} and tested.origins == []
    assert all(value is not None for name, value in tested.items() if name not in ("dirty", "commit"))


def test_a_pooled_row_has_the_provenance_of_every_seed(stages):
    both = [stages(0, train={"commit": "a"}, test={}), stages(1, train={"commit": "b", "dirty": True}, test={})]
    pooled = row.pool(both, details={"curves": measures.together})
    assert pooled.seeds == [0, 1] and pooled.dirty is True and pooled.details == {"curves": [0, 1]}
    assert [origin["commits"]["train"] for origin in pooled.origins] == ["a", "b"]
    assert [origin["dirty"] for origin in pooled.origins] == [False, True]
    assert all(set(origin) == set(row.ORIGIN) for origin in pooled.origins)
    assert row.pool([pooled]) is pooled


@pytest.mark.parametrize("name", ["rr", "noise-rr-confusion"])
def test_a_measure_that_a_seed_cannot_have_is_not_pooled(stages, name):
    both = [stages(seed, train={}, test={}) for seed in (0, 1)]
    further = dataclasses.replace(both[1], measures=both[1].measures | {name: measures.share([numpy.ones(3, bool)])})
    assert list(row.pool([both[0], further]).measures) == list(row.pool([further, both[0]]).measures) == ["clean"]
    unlike = dataclasses.replace(both[1], measures=both[1].measures | {"er/fgsm": both[1].measures["clean"]})
    with pytest.raises(ValueError, match="were tested differently"):
        row.pool([both[0], unlike])


def test_nets_of_another_precision_are_not_pooled(stages):
    both = [stages(seed, train={}, test={}) for seed in (0, 1)]
    both[1] = dataclasses.replace(both[1], hyperparameters={"precision": "bfloat16"})
    with pytest.raises(ValueError, match="differ in precision"):
        row.pool(both)


@pytest.mark.parametrize("model", ["AlexNet", "VGG16", "VGG19"])
@pytest.mark.parametrize("dataset", ["CIFAR10", "SVHN", "FM"])
@pytest.mark.parametrize("attack", ["CW", "FGSM", "JSMA", "PGD"])
def test_published_robustness_is_the_mean_of_nine_runs(model, dataset, attack):
    ours = {"CIFAR10": "cifar10", "SVHN": "svhn", "FM": "fashion_mnist"}[dataset]
    for column, method in (("Dare", "dare"), ("adv_PGD", "adv-pgd"), ("adv_CW", "adv-cw")):
        values = []
        with open(published.FOLDER / "dare_tosem_empirical_robustness.csv", newline="") as file:
            for record in csv.DictReader(file):
                if (record["model"], record["dataset"], record["tested_with"]) == (model, dataset, attack):
                    values.append(float(record[column]))
        assert len(values) == 9
        value = published.dare(ours, model.lower(), method, f"er/{attack.lower()}")
        assert value == pytest.approx(sum(values) / 9, abs=0.0051)


def test_published_clean_accuracy_and_what_was_not_published():
    assert published.dare("fashion_mnist", "alexnet", "dare", "clean") == 91.7
    assert published.dare("cifar10", "vgg16", "original", "clean") == 88.7
    assert published.dare("cifar10", "vgg19", "adv-cw", "clean") == 77.4
    for question in (
        ("digits", "alexnet", "dare", "clean"),
        ("cifar10", "vgg16", "dare-s", "clean"),
        ("cifar10", "vgg16", "swa", "er/pgd"),
        ("cifar10", "vgg16", "dare", "er/deepfool"),
        ("cifar10", "vgg16", "dare", "er/worst"),
        ("cifar10", "vgg16", "dare", "er-x1.5/pgd"),
        ("cifar10", "resnet", "dare", "er/pgd"),
    ):
        assert published.dare(*question) is None


def test_seeds_are_pooled_over_their_means(synthetic):
    def row_of_seed(seed, counts, n, **changes):
        by_measure = {"clean": measures.share([numpy.arange(n) < count for count in counts], 90.0)}
        about = {
            "hyperparameters": {"width": 1.0, "source_epochs": 20},
            "attacks": {},
            "checks": [],
            "measures": by_measure,
        }
        about |= {"seeds": [seed], "repeats": len(counts), "verified": seed == 0, "device": f"machine {seed}"}
        return synthetic.whole(synthetic.row("dare", "method", **about | {"dirty": seed > 0} | changes))

    pooled = row.pool([row_of_seed(0, (6, 8), 10), row_of_seed(1, (18, 18), 20)])
    measure = pooled["measures"]["clean"]
    assert measure["value"] == pytest.approx(80.0) and measure["n"] == 30
    assert measure["spread"] == pytest.approx(numpy.std([70, 90], ddof=1), abs=1e-4)
    assert measure["values"] == [60.0, 80.0, 90.0, 90.0]
    assert measure["interval"][0] < 80 < measure["interval"][1]
    assert (pooled["seeds"], pooled["repeats"], pooled["verified"]) == ([0, 1], 4, False)
    assert pooled["dirty"] and [origin["seeds"] for origin in pooled["origins"]] == [[0], [1]]
    again = row.pool([pooled, row_of_seed(2, (12,), 20)])
    assert row.devices([again]) == ["machine 0", "machine 1", "machine 2"]
    raised = {"name": "batch", "passed": False, "seen": "", "expected": ""}
    assert pooled["checks"] == []
    assert row.pool([row_of_seed(0, (6,), 10, checks=None), row_of_seed(1, (6,), 10, checks=[raised])])["checks"] == [
        raised
    ]
    assert row.pool([row_of_seed(seed, (6,), 10, checks=None) for seed in (0, 1)])["checks"] is None, "not known"
    other_width = row_of_seed(1, (18, 18), 20, hyperparameters={"width": 0.5, "source_epochs": 20})
    with pytest.raises(ValueError, match="differ in width"):
        row.pool([row_of_seed(0, (6,), 10), other_width])
    with pytest.raises(ValueError, match="were tested differently"):
        row.pool([row_of_seed(0, (6,), 10), row_of_seed(1, (6,), 10, attacks={"fgsm": {}})])


def test_what_made_pooled_rows_is_that_of_all_seeds_and_stages(synthetic):
    def row_of_seed(seed):
        made = {"command": f"test {seed}", "commit": "c1", "device": f"machine {seed}"}
        made |= {"commands": {"train": f"train {seed}"}, "commits": {"train": f"c{seed}", "test": "c1"}}
        made |= {"devices": {"train": "machine 0", "test": f"machine {seed}"}}
        return synthetic.whole(synthetic.row("dare", "method", seeds=[seed], **made))

    pooled = row.pool([row_of_seed(0), row_of_seed(1)])
    assert row.commands([pooled]) == ["train 0", "test 0", "train 1", "test 1"]
    assert row.commits([pooled]) == ["c0", "c1"] and row.devices([pooled]) == ["machine 0", "machine 1"]
    older = dataclasses.replace(row_of_seed(0), commands=None, commits=None, devices=None, commit=None)
    assert row.commands([older]) == ["test 0"] and row.commits([older]) == []


def test_commands_are_in_an_order_in_which_they_can_be_run(synthetic):
    train, other, tune, test = (
        f"python scripts/dare/{script}.py" for script in ("1_train", "1_train", "5_tune", "7_test")
    )
    other += " --seed 1"
    attack = "python scripts/classwise/1_attack.py"
    rows = [
        synthetic.whole(synthetic.row("dare", "original", command=test, commands={"train": train})),
        synthetic.whole(synthetic.row("classwise", "dare", command=attack, commands={"tune": tune})),
        synthetic.whole(synthetic.row("dare", "other", command=test, commands={"tune": tune, "train": other})),
    ]
    assert row.commands(rows) == [train, other, tune, test, attack]


def test_a_command_names_the_commits_at_which_it_ran(synthetic):
    one = synthetic.row(
        "dare", "method", command="test 0", commit="b", commands={"train": "train 0"}, commits={"train": "a"}
    )
    two = one | {"commit": "c", "commits": None}
    assert row.made_at([one, two]) == {"train 0": ["a"], "test 0": ["b", "c"]}


def test_details_are_pooled_as_the_study_says(synthetic):
    first, second = (
        synthetic.whole(synthetic.row("a", "method", seeds=[seed], **details))
        for seed, details in enumerate(
            (
                {"runs": [1], "counts": {"x": [[1, 2]]}, "of": "b", "only": [1]},
                {"runs": [2, 3], "counts": {"x": [[3, 4]]}, "of": "b"},
            )
        )
    )
    combined = {"runs": measures.together, "counts": measures.added, "only": measures.together}
    details = row.pool([first, second], details=combined).details
    assert details == {"runs": [1, 2, 3], "counts": {"x": [[4, 6]]}, "of": "b"}, "what a row lacks is left out"
