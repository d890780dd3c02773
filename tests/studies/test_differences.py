"""Differences of methods on the same images: against plain loops, through files and rows, in tables."""

import json

import numpy
import pytest

from dare.flags import Flags
from reporting import row as result_row
from reporting import tables
from studies.dare import differences

MEASURES = ("clean", "er/fgsm", "er/worst", "white-box/pgd@0.1")


def flags(seed, accuracy, *, n=60, rows=None, measures=MEASURES, data="d" * 64):
    """Flags of one repeat: random, of this `accuracy`; rows: of the source images (in any order)."""
    generator = numpy.random.default_rng(seed)
    rows = numpy.arange(n) if rows is None else numpy.asarray(rows)
    labels = numpy.ones(len(rows), "int32")
    predictions = {measure: (generator.random(len(rows)) < accuracy).astype("int32") for measure in measures}
    return Flags(predictions, dict.fromkeys(measures, labels), dict.fromkeys(measures, rows), {}, "m" * 64, data)


@pytest.fixture
def tested():
    """Two source models, three repeats of dare and weight-noise, one of swa."""
    return {
        "dare": {f"seed{k}": [flags(10 * k + repeat, 0.8) for repeat in range(3)] for k in range(2)},
        "swa": {f"seed{k}": [flags(100 + k, 0.6)] for k in range(2)},
        "weight-noise": {f"seed{k}": [flags(200 + 10 * k + repeat, 0.3) for repeat in range(3)] for k in range(2)},
    }


def test_values_are_those_of_plain_loops(tested):
    compared = {
        (difference.reference, difference.measure): difference for difference in differences.differences(tested)
    }
    assert set(compared) == {(reference, measure) for reference in ("swa", "weight-noise") for measure in MEASURES}
    assert {difference.method for difference in compared.values()} == {"dare"}
    for (reference, measure), difference in compared.items():
        means, runs = [], []
        for seed, ours in tested["dare"].items():
            theirs = tested[reference][seed]
            means.append(
                numpy.mean([own.correct[measure].mean() for own in ours])
                - numpy.mean([other.correct[measure].mean() for other in theirs])
            )
            for repeat, own in enumerate(ours):
                other = theirs[repeat if len(theirs) > 1 else 0]
                runs.append(100 * (own.correct[measure].mean() - other.correct[measure].mean()))
        assert difference.value == pytest.approx(100 * numpy.mean(means), abs=0.006)
        assert difference.runs == pytest.approx(runs, abs=0.006)
        assert difference.low < difference.value < difference.high and difference.n == 120
        assert difference.p == pytest.approx(1 / 64) and not difference.why, "six runs that all agree"


@pytest.mark.parametrize("count", [1, 2, 7])
def test_more_or_fewer_repeats_of_a_control_are_dealt_to_those_of_the_method(tested, count):
    ours, theirs = tested["dare"]["seed0"], [flags(300 + k, 0.4) for k in range(count)]
    dealt = {1: [[0], [0], [0]], 2: [[0], [1], [0]], 7: [[0, 3, 6], [1, 4], [2, 5]]}[count]
    naive = [
        100 * (own.correct["clean"].mean() - numpy.mean([theirs[k].correct["clean"].mean() for k in places]))
        for own, places in zip(ours, dealt, strict=True)
    ]
    difference = differences.differences({"dare": {0: ours}, "weight-noise": {0: theirs}})[0]
    assert difference.measure == "clean" and difference.runs == pytest.approx(naive, abs=0.006)


def test_only_images_that_both_have_are_compared(tested):
    rows = numpy.random.default_rng(1).permutation(90)[:70]
    other = flags(5, 0.5, rows=rows)
    (difference,) = differences.differences(
        {"dare": {0: tested["dare"]["seed0"][:1]}, "swa": {0: [other], 1: [other]}}, methods=["dare"]
    )[1:2]
    own, place = tested["dare"]["seed0"][0], {row: k for k, row in enumerate(rows)}
    shared = [row for row in range(60) if row in place]
    naive = [int(own.correct["er/fgsm"][row]) - int(other.correct["er/fgsm"][place[row]]) for row in shared]
    assert (difference.measure, difference.n) == ("er/fgsm", len(shared))
    assert difference.value == pytest.approx(100 * numpy.mean(naive), abs=0.006)
    assert difference.p is None and "1 paired runs" in difference.why


def test_measures_of_one_alone_and_missing_references_are_left_out(tested):
    partial = {"dare": tested["dare"], "swa": {"seed0": [flags(1, 0.5, measures=("clean",))]}}
    assert [difference.measure for difference in differences.differences(partial)] == ["clean"]
    assert differences.differences({"dare": tested["dare"]}) == []
    assert differences.differences({"dare": {"seed0": []}, "swa": {"seed1": tested["swa"]["seed1"]}}) == []


def test_flags_of_other_data_are_refused(tested):
    tested["swa"]["seed1"] = [flags(1, 0.5, data="e" * 64)]
    with pytest.raises(ValueError, match="dare and swa were tested on 2 different data sets"):
        differences.differences(tested)


@pytest.fixture
def attached(tmp_path, tested, synthetic):
    """The rows of a cell after their flags were saved and attached."""
    roles = {"dare": "method", "swa": "control", "weight-noise": "control", "distillation": "baseline"}
    measures = {measure: synthetic.measure(50.0) for measure in MEASURES}
    unpooled = (synthetic.row(method, role, seeds=[0, 1], measures=measures) for method, role in roles.items())
    rows = list(map(synthetic.whole, unpooled))
    folders = {}
    for method, seeds in tested.items():
        for seed, repeats in seeds.items():
            folder = tmp_path / seed / f"test-{method}"
            folders.setdefault(("dare", "fashion_mnist", "alexnet", method), []).append(folder)
            for repeat, flags in enumerate(repeats):
                flags.save(folder / f"flags-{repeat}.h5")
    return json.loads(json.dumps(list(map(dict, differences.attach(rows, folders)))))


def test_rows_carry_what_the_tables_need(attached, tested):
    by_method = {row["method"]: row for row in attached}
    assert [method for method, row in by_method.items() if "differences" in row] == ["dare"], "no flags, no differences"
    attached = by_method["dare"]["differences"]
    assert list(attached) == ["swa", "weight-noise"] and list(attached["swa"]) == list(MEASURES)
    difference = next(difference for difference in differences.differences(tested) if difference.measure == "er/fgsm")
    entry = attached["swa"]["er/fgsm"]
    assert (entry["value"], entry["interval"], entry["n"]) == (difference.value, [difference.low, difference.high], 120)


def test_differences_of_further_seeds_are_pooled(tested, synthetic):
    """As near as means of independent differences are to a bootstrap over all images at once."""
    rows = []
    for seed in (0, 1):
        own = {method: {seed: seeds[f"seed{seed}"]} for method, seeds in tested.items()}
        row = synthetic.row("dare", "method", seeds=[seed], repeats=3)
        rows.append(synthetic.whole(row | {"differences": differences._as_json(differences.differences(own))}))
    compared = {(each.reference, each.measure): each for each in differences.differences(tested)}
    whole = compared["swa", "er/fgsm"]
    pooled = differences.pool(rows)["differences"]["swa"]["er/fgsm"]
    assert pooled["value"] == pytest.approx(whole.value, abs=0.01) and pooled["n"] == whole.n
    assert pooled["interval"] == pytest.approx([whole.low, whole.high], abs=0.6)
    assert (pooled["runs"], pooled["p"]) == (list(whole.runs), whole.p)
    rows[1] = result_row.detailed(rows[1], differences={})
    assert differences.pool(rows)["differences"] == {}, "a seed without them"


def test_tables_of_attached_rows(attached):
    points, runs = differences.difference_tables(attached)
    assert points.name == "dare-fashion_mnist-alexnet-differences" and runs.name == "dare-fashion_mnist-alexnet-runs"
    assert points.columns == ("method vs. control", "clean", "fgsm", "worst case", "white box pgd@0.1")
    assert [line[0] for line in points.rows] == ["dare vs. swa", "dare vs. weight-noise"]
    entry = attached[0]["differences"]["swa"]["er/fgsm"]
    low, high = entry["interval"]
    assert str(points.rows[0][2]) == f"{entry['value']:.1f} [{low:.1f}, {high:.1f}]"
    assert runs.rows[0][2] == "p = 0.016 (n = 6)"
    header, first, _ = tables.to_csv(points).splitlines()
    assert header.split(",")[:4] == ["method vs. control", "clean", "clean low", "clean high"]
    assert float(first.split(",")[4]) == entry["value"]


def test_of_several_white_box_attacks_the_worst_case_is_shown(attached):
    for row in attached:
        row["measures"]["white-box/worst@0.1"] = row["measures"]["clean"]
    entries = attached[0]["differences"]["swa"]
    entries["white-box/worst@0.1"] = entries["clean"]
    points, _ = differences.difference_tables(attached)
    assert points.columns[-2:] == ("worst case", "white box worst@0.1")


def test_warnings_of_the_rows_stand_below(attached):
    attached[0] |= {"verified": False}
    attached[3] |= {"checks": [{"name": "gradient", "passed": False, "seen": "", "expected": ""}]}
    for table in differences.difference_tables(attached):
        notes = "\n".join(table.notes)
        assert "Unverified data (dare)" in notes and "Checks raised: distillation (gradient)" in notes


def test_few_runs_are_printed_instead_of_p(attached):
    attached[0]["differences"]["swa"]["clean"] |= {"p": None, "runs": [1.25, -0.5]}
    _, runs = differences.difference_tables(attached)
    assert runs.rows[0][1] == "+1.2, -0.5"


def test_rows_without_differences_have_no_tables(synthetic):
    assert differences.difference_tables([synthetic.row("dare", "method")]) == []
