"""Result rows: measures, files, and the published values beside them."""

import csv
import json

import numpy
import pytest

from reporting import published, row, statistics


def test_share_of_three_repeats():
    flags = [numpy.arange(10) < right for right in (6, 7, 8)]
    measure = row.share(flags, 70.1)
    assert measure["value"] == 70.0 and measure["values"] == [60.0, 70.0, 80.0]
    assert measure["spread"] == 10.0 and measure["n"] == 10 and measure["published"] == 70.1
    assert measure["interval"] == pytest.approx([39.68, 89.22], abs=0.02), "Wilson's interval of 7 in 10"
    assert row.share(flags[:1])["spread"] is None


def test_median_counts_failures_as_far():
    assert row.median([numpy.array([0.1, 0.2, numpy.nan])])["value"] == 0.2


def test_of_several_checks_the_raised_one_is_kept():
    good, bad = ({"name": "batch", "passed": passed, "seen": "", "expected": ""} for passed in (True, False))
    other = good | {"name": "logits"}
    assert row.checks([[good, other], [bad], [bad | {"seen": "later"}]]) == [bad, other]
    assert row.checks([[], []]) == []


def test_the_interval_is_of_the_mean_over_repeats():
    flags = [numpy.arange(30) < right for right in (11, 12)]
    expected = statistics.wilson(12, 30)  # 11.5 rounded to the even number
    assert row.share(flags)["interval"] == [round(100 * expected.low, 2), round(100 * expected.high, 2)]


def test_rows_are_saved_and_read_in_order(tmp_path, synthetic):
    for method in ("swa", "dare"):
        row.save(synthetic.row(method, "method", dataset="folder:a/b"), tmp_path)
    assert [path.name for path in sorted(tmp_path.iterdir())] == [
        "folder-a-b-alexnet-dare.json",
        "folder-a-b-alexnet-swa.json",
    ]
    assert [one["method"] for one in row.load_all(tmp_path)] == ["dare", "swa"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{not json", "not JSON"),
        ('{"study": "dare"}', "lacks dataset, model, method"),
        ("[1]", "lacks study"),
    ],
)
def test_files_that_are_no_rows(tmp_path, text, message):
    (tmp_path / "bad.json").write_text(text)
    with pytest.raises(ValueError, match=f"bad.json.*{message}"):
        row.load_all(tmp_path)


@pytest.mark.parametrize("name", row.NAMES)
def test_row_without_a_key(tmp_path, synthetic, name):
    kept = {key: value for key, value in synthetic.row("dare", "method").items() if key != name}
    (tmp_path / "bad.json").write_text(json.dumps(kept))
    with pytest.raises(ValueError, match=f"bad.json.*lacks {name}$"):
        row.load_all(tmp_path)


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
        found = published.dare(ours, model.lower(), method, f"er/{attack.lower()}")
        assert found == pytest.approx(sum(values) / 9, abs=0.0051)


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


def test_seeds_are_pooled_over_their_means():
    def made(seed, rights, n):
        measures = {"clean": row.share([numpy.arange(n) < right for right in rights], 90.0)}
        settings = {"width": 1.0, "source_epochs": 20}
        return {"method": "dare", "seeds": [seed], "repeats": len(rights), "verified": seed == 0, "measures": measures,
                "hyperparameters": settings, "attacks": {}, "device": f"machine {seed}", "dirty": seed > 0}  # fmt: skip

    pooled = row.pool([made(0, (6, 8), 10), made(1, (18, 18), 20)])
    measure = pooled["measures"]["clean"]
    assert measure["value"] == pytest.approx(80.0) and measure["n"] == 30
    assert measure["spread"] == pytest.approx(numpy.std([70, 90], ddof=1), abs=1e-4)
    assert measure["values"] == [60.0, 80.0, 90.0, 90.0]
    assert measure["interval"][0] < 80 < measure["interval"][1]
    assert (pooled["seeds"], pooled["repeats"], pooled["verified"]) == ([0, 1], 4, False)
    assert pooled["dirty"] and [one["seeds"] for one in pooled["origins"]] == [[0], [1]]
    again = row.pool([pooled, made(2, (12,), 20)])
    assert row.devices([again]) == ["machine 0", "machine 1", "machine 2"]
    raised = {"name": "batch", "passed": False, "seen": "", "expected": ""}
    assert pooled["checks"] == []
    assert row.pool([made(0, (6,), 10), made(1, (6,), 10) | {"checks": [raised]}])["checks"] == [raised]
    other = made(1, (18, 18), 20)
    other["hyperparameters"] = {"width": 0.5, "source_epochs": 20}
    with pytest.raises(ValueError, match="differ in width"):
        row.pool([made(0, (6,), 10), other])
