"""Rows, tables, figure and conclusions of guided retraining, from curves made by hand."""

import base64
import dataclasses

import numpy
import pytest
import scipy.stats

from reporting import claims, statistics, tables
from reporting import row as result_row
from studies.guided_retraining import claims as guided_claims
from studies.guided_retraining import differences, figures, report
from studies.guided_retraining import row as guided_row
from studies.guided_retraining import tables as guided_tables


def point(inputs, accuracy, seconds=10.0):
    parts = {"accuracy": accuracy, "loss": 0.1, "precision": accuracy, "recall": accuracy}
    both = {part: dict(parts) for part in ("both", "clean", "adversarial")}
    return {"inputs": inputs, "adversarial_inputs": 1, **both, "seconds": seconds, "peak_memory_mib": 1, "joules": None}


def row(configuration, metric, accuracies=(0.5, 0.9, 0.8), *, seconds=10.0, seed=0, dataset="mnist"):
    step = 20 if configuration == "c3" else 100
    curve = [point(step * place, accuracy, seconds) for place, accuracy in enumerate(accuracies, start=1)]
    details = {
        "configuration": configuration, "metric": metric, "curves": [curve],
        "originals": [{part: point(0, 0.7)[part] for part in ("both", "clean", "adversarial")}],
        "rank": [{"seconds": 0.1, "ties": 3, "apfd": 0.8, "warnings": [], "forward_s": 1.0, "inputs": 300}],
    }  # fmt: skip
    known = {
        "study": "guided_retraining", "dataset": dataset, "model": "mnist_cnn", "method": f"{configuration}-{metric}",
        "title": metric, "role": "method", "verified": True,
        "hyperparameters": {"images": 300, "epochs": 2}, "seeds": [seed], "repeats": 1,
        "measures": guided_row._measures([guided_row.summary(curve)], None, 1000),
        "checks": [], "attacks": {}, "device": "CPU", "command": "", "commit": "c", "details": details,
    }  # fmt: skip
    return result_row.Row(**{**dict.fromkeys(result_row.FIELDS), **known})


def test_the_summary_of_a_curve():
    summary = guided_row.summary([point(100, 0.5), point(200, 0.895), point(300, 0.9)])
    assert summary == {
        "best": pytest.approx(90), "inputs-to-best": 300, "inputs-to-99": 200,
        "area": pytest.approx(100 * ((0.5 + 0.895) / 2 + (0.895 + 0.9) / 2) / 2),
    }  # fmt: skip
    assert guided_row.summary([point(100, 0.5)])["area"] == pytest.approx(50)


def test_a_band_is_of_the_seeds_or_of_the_test_inputs():
    single = row("c2", "lsa")
    counts, mean, low, high = figures.band(single)
    assert counts == [100, 200, 300] and mean.tolist() == [50, 90, 80]
    expected = statistics.wilson(900, 1000)
    assert (low[1], high[1]) == (pytest.approx(100 * expected.low), pytest.approx(100 * expected.high))
    pooled = guided_row.pool([single, row("c2", "lsa", (0.6, 0.8, 0.8), seed=1)])
    _, mean, low, high = figures.band(pooled)
    assert (
        mean.tolist() == pytest.approx([55, 85, 80]) and low.tolist() == [50, 80, 80] and high.tolist() == [60, 90, 80]
    )


def test_areas_are_drawn_beside_a_random_order():
    rows = cell(0.01, c2_lsa=(0.6, 0.7, 0.9), c2_dsa=(0.7, 0.7, 0.9), c2_random=(0.5, 0.6, 0.9))
    intervals = differences.area_over_random(rows)
    assert list(intervals) == [("c2", "lsa"), ("c2", "dsa")]
    assert intervals["c2", "lsa"].value == pytest.approx(7.5)  # 0.1, and half of it towards the end
    [(_, _, figure)] = figures.figures(rows)
    assert [axis.get_title() for axis in figure.axes] == ["c2, ours", "c2, published", "c2, area minus random"]


def test_seeds_are_pooled():
    first, second = row("c2", "lsa"), row("c2", "lsa", (0.5, 0.8, 0.7), seed=1)
    pooled = guided_row.pool([first, second])
    assert pooled["measures"]["best"] == {
        "value": 85.0, "n": 1000, "values": [90.0, 80.0], "spread": pytest.approx(7.07, abs=0.01), "published": None,
    }  # fmt: skip
    assert pooled["seeds"] == [0, 1] and len(pooled["curves"]) == 2
    with pytest.raises(ValueError, match="differ in images, epochs"):
        guided_row.pool([first, dataclasses.replace(second, hyperparameters={"images": 200})])


def test_tables_and_figure():
    rows = [row("c2", "lsa"), row("c2", "deepgini", (0.6, 0.95, 0.9)), row("c1", "lsa", (0.4, 0.5, 0.6))]
    orders, metrics = guided_tables.guided_tables(rows)
    assert [line[0] for line in orders.rows] == ["c1-lsa", "c2-deepgini", "c2-lsa"]
    assert [cell.value for cell in orders.rows[1][1:]] == [95, 95, 95, 200, 200, pytest.approx(85), 30]
    assert [line[0] for line in metrics.rows] == ["deepgini", "lsa"] and all(map(tables.markdown, (orders, metrics)))
    [(name, _, figure)] = figures.figures(rows)
    assert name == "mnist-mnist_cnn-guided" and len(figure.axes) == 4, "two configurations, ours and published"


def verdicts(rows):
    table = guided_claims.guided_claims(rows)
    return [line[3] for line in table.rows], [line[2] for line in table.rows]


def big(rows, n=100_000):
    """The same rows, of so many test inputs that they alone leave nothing open."""
    for each in rows:
        for measure in each["measures"].values():
            measure["n"] = n
    return rows


def cell(ends=0.0, **orders):
    """Rows "<configuration>_<metric>" -> accuracies of three prefixes; the last ones lie `ends` apart by chance."""
    rows = []
    for place, (name, accuracies) in enumerate(orders.items()):
        configuration, _, metric = name.partition("_")
        accuracies = (*accuracies[:2], accuracies[2] + ends * (-1) ** place)
        rows.append(row(configuration, metric, accuracies, seconds=2.0 if configuration == "c3" else 10.0))
    return rows


SUPPORTS = {
    "c2_deepgini": (0.95, 0.97, 0.9), "c2_softmax_entropy": (0.95, 0.97, 0.9), "c2_lsa": (0.6, 0.7, 0.9),
    "c2_dsa": (0.6, 0.7, 0.9), "c2_neuron_coverage": (0.2, 0.3, 0.9),
    "c3_deepgini": (0.9, 0.965, 0.9), "c3_lsa": (0.9, 0.7, 0.9),
    "c1_deepgini": (0.5, 0.6, 0.8), "c1_lsa": (0.5, 0.6, 0.8),
}  # fmt: skip
EXCLUDES = {
    "c2_deepgini": (0.2, 0.3, 0.6), "c2_softmax_entropy": (0.2, 0.3, 0.6), "c2_lsa": (0.9, 0.9, 0.6),
    "c2_dsa": (0.9, 0.9, 0.6), "c2_neuron_coverage": (0.9, 0.95, 0.6),
    "c3_deepgini": (0.2, 0.2, 0.2), "c3_lsa": (0.2, 0.2, 0.2),
    "c1_deepgini": (0.5, 0.6, 0.97), "c1_lsa": (0.5, 0.6, 0.97),
}  # fmt: skip


def test_the_conclusions_where_they_hold():
    judged, evidence = verdicts(big(cell(0.001, **SUPPORTS)))
    assert judged == ["holds", "does not hold", "undecided", "holds", "holds", "holds", "undecided"]
    assert "deepgini saves 33 % [0, 67]" in evidence[2], "two thirds of the inputs, of three prefixes"
    assert "1/5.0 of the images trained on, 1/5.0 of the seconds" in evidence[4]


def test_the_conclusions_where_they_do_not():
    judged, evidence = verdicts(big(cell(0.001, **EXCLUDES)))
    assert judged[:6] == ["does not hold", "holds", *["does not hold"] * 4]
    assert "deepgini saves 0 % [0, 33]" in evidence[2]


def test_one_order_that_may_save_leaves_it_open():
    some = {**SUPPORTS, "c2_deepgini": (0.97, 0.85, 0.9), "c2_softmax_entropy": (0.5, 0.6, 0.9)}
    table = guided_claims.guided_claims(big(cell(0.001, **some)))
    [few] = [line for line in table.rows if "with few inputs" in line[1]]
    assert few[3] == "undecided" and "softmax_entropy saves 0 % [0, 33]" in few[2], "one of them is enough"


def test_seeds_of_robot_are_pooled_whatever_their_pools():
    pools = [dataclasses.replace(row("robot", "gini", seed=seed), hyperparameters={"images": 9, **pool})
             for seed, pool in enumerate(({"pool": 2047}, {"pool": 2001}, {}))]  # fmt: skip
    assert guided_row.pool(pools)["seeds"] == [0, 1, 2]


@pytest.mark.parametrize("orders", [SUPPORTS, EXCLUDES])
@pytest.mark.parametrize(("ends", "n"), [(0.25, 100_000), (0.001, 5)])
def test_trainings_that_vary_as_much_or_few_inputs_decide_nothing(orders, ends, n):
    table = guided_claims.guided_claims(big(cell(ends, **orders), n))
    assert {line[3] for line in table.rows[:2]} == {"undecided"} == {table.rows[3][3]}
    assert all(line[4] != "-" for line in table.rows[:2])


def test_the_interval_of_a_difference_is_that_of_its_parts():
    """Two trainings a mean, of a deviation known from five that end with the same inputs, and a sample of images."""
    rows = cell(c2_deepgini=(0.9, 0.9, 0.80), c2_softmax_entropy=(0.9, 0.9, 0.82), c2_lsa=(0.7, 0.7, 0.81),
                c2_dsa=(0.7, 0.7, 0.83), c2_random=(0.7, 0.7, 0.79))  # fmt: skip
    table = {(each["configuration"], each["metric"]): each for each in rows}
    keys, references = [("c2", "deepgini"), ("c2", "softmax_entropy")], [("c2", "lsa"), ("c2", "dsa")]
    effect = differences.difference("", table, keys, references)
    means = [numpy.mean([table[key]["measures"]["area"]["value"] for key in some]) for some in (keys, references)]
    trained = numpy.var([80.0, 82.0, 81.0, 83.0, 79.0], ddof=1)
    images = [mean * (100 - mean) / 1000 for mean in means]
    total = sum(images) + trained
    freedom = total**2 / (trained**2 / 4)
    half = scipy.stats.t.ppf(0.975, freedom) * total**0.5
    assert (effect.interval.value, effect.interval.high - effect.interval.value) == pytest.approx(
        (means[0] - means[1], half)
    )
    assert effect.freedom == pytest.approx(freedom)


def test_the_number_of_inputs_is_judged_end_by_end():
    rows = big(cell(0.001, c1_lsa=(0.5, 0.9, 0.9), c1_random=(0.6, 0.9, 0.9), c3_lsa=(0.5, 0.4, 0.8)))
    table = {(each["configuration"], each["metric"]): each for each in rows}
    claim = guided_claims.size(table)
    assert claim.verdict == "undecided" and "c1, 300 inputs minus 100 +35.0" in claim.evidence, "c3 has one order"
    effect = differences.gain("", rows[:2], 0.95)
    half = scipy.stats.t.ppf(0.975, 1) * numpy.std([40.1, 29.9], ddof=1) / 2**0.5
    assert effect.interval.high - effect.interval.value == pytest.approx(half)
    alike = [row("c1", name, (0.5, 0.9, 0.9)) for name in ("lsa", "dsa", "random")]
    images = sum(share * (100 - share) / 1000 for share in (90, 50))
    half = scipy.stats.t.ppf(0.975, 2) * images**0.5
    assert differences.gain("", alike, 0.95).interval.high == pytest.approx(40 + half)
    assert guided_claims.size({("c1", each["metric"]): each for each in alike}).verdict == "holds"
    assert guided_claims.size({("c1", "lsa"): row("c1", "lsa", (0.5,))}).verdict == "not measured"


def with_flags(rows, n=40):
    """The rows with the correct inputs of each prefix: as many as the accuracy says, the first of a fixed order."""
    generator = numpy.random.default_rng(0)
    for each in rows:
        for point in each["curves"][0]:
            ranked = generator.permutation(n)
            flags = ranked < round(point["both"]["accuracy"] * n)
            point["correct"] = base64.b64encode(numpy.packbits(flags).tobytes()).decode()
        for measure in each["measures"].values():
            measure["n"] = n
    return rows


def test_the_score_of_an_input_has_the_measure_as_its_mean():
    [each] = with_flags(cell(c2_lsa=(0.5, 0.9, 0.8)))
    for measure in ("area", "best"):
        scores = differences.scores(each["curves"][0], 40, measure)
        assert 100 * scores.mean() == pytest.approx(each["measures"][measure]["value"])
    scores = differences.scores(each["curves"][0][:1], 40, "area")
    assert scores.mean() == pytest.approx(0.5) and set(scores) == {0.0, 1.0}


def test_paired_inputs_have_the_variance_of_their_differences():
    rows = with_flags(cell(c2_deepgini=(0.9, 0.9, 0.8), c2_lsa=(0.7, 0.7, 0.8)))
    table = {(each["configuration"], each["metric"]): each for each in rows}
    keys, references = [("c2", "deepgini")], [("c2", "lsa")]
    effect = differences.difference("", table, keys, references)
    first, second = (differences.scores(each["curves"][0], 40, "area") for each in rows)
    half = 1.959964 * (100 * (first - second)).std() / 40**0.5  # the last prefixes end alike
    assert effect.interval.high - effect.interval.value == pytest.approx(half)
    assert effect.interval.value == pytest.approx(100 * (first - second).mean())
    del rows[1]["curves"][0][0]["correct"]
    unpaired = differences.difference("", table, keys, references)
    assert unpaired.interval.high - unpaired.interval.value != pytest.approx(half)


def test_robot_has_a_table_of_its_own_and_no_part_in_the_conclusions():
    rows = [row("c2", "lsa"), row("c2", "be-st", (1, 1, 1)), row("robot", "be-st"), row("robot", "random")]
    assert "be-st" not in str(guided_claims.guided_claims(guided_tables.of_study(rows)).rows)
    tables_of = {table.name: table for table in guided_tables.guided_tables(rows)}
    assert list(tables_of) == [f"guided_retraining-mnist-mnist_cnn{end}" for end in ("", "-metrics", "-robot")]
    assert len(tables_of["guided_retraining-mnist-mnist_cnn-robot"].rows) == 2
    assert "attacked test images" in "".join(tables_of["guided_retraining-mnist-mnist_cnn-robot"].notes)
    [(_, _, figure)] = figures.figures(rows)
    assert {axis.get_title() for axis in figure.axes} == {"c2, ours", "c2, published"}
    assert [table.name for table in report.tables(rows)].count("guided_retraining-mnist-mnist_cnn-claims") == 1


def test_accuracy_under_autoattack_is_a_column_of_its_own():
    rows = [row("c2", "lsa"), row("c2", "dsa")]
    attacked = {"robust": {"value": 0.25, "total": 40}, "epsilon": 0.05}
    anchor = {"robust": {"value": 0.1, "total": 40}}
    rows[0]["measures"].update(guided_row._robust(attacked, anchor))
    orders, _ = guided_tables.guided_tables(rows)
    assert orders.columns[-1] == "autoattack@0.05"
    assert {str(line[0]): line[-1].value for line in orders.rows} == {"c2-lsa": 25, "c2-dsa": None}
    assert "40 clean test images under AutoAttack" in "".join(orders.notes) and "10.0 %" in "".join(orders.notes)
    pooled = guided_row.pool([rows[0], dataclasses.replace(rows[0], seeds=[1])])
    assert pooled["measures"]["autoattack@0.05"]["value"] == 25


def test_trainings_that_end_alike_leave_the_test_inputs():
    rows = cell(c2_deepgini=(0.6, 0.6, 0.6), c2_lsa=(0.5, 0.5, 0.6))
    table = {(each["configuration"], each["metric"]): each for each in rows}
    effect = differences.difference("", table, [("c2", "deepgini")], [("c2", "lsa")])
    shares = [table[key]["measures"]["area"]["value"] for key in table]
    half = 1.959964 * sum(share * (100 - share) / 1000 for share in shares) ** 0.5
    assert effect.interval.high - effect.interval.value == pytest.approx(half) and effect.freedom == float("inf")


def test_one_order_has_no_interval():
    judged, evidence = verdicts(big([row("c2", "deepgini"), row("c1", "deepgini", (0.1, 0.1, 0.1))]))
    assert judged[5] == "undecided" and "(no interval)" in evidence[5]


def test_a_source_net_at_chance_leaves_nothing_measured():
    raised = [{"name": "chance", "passed": False, "seen": "", "expected": ""}]
    rows = [dataclasses.replace(each, checks=raised) for each in cell(**SUPPORTS)]
    table = guided_claims.guided_claims(rows)
    assert {line[3] for line in table.rows} == {"not measured"} and any("(chance)" in note for note in table.notes)
    orders, metrics = guided_tables.guided_tables(rows)
    assert str(orders.rows[0][0]).endswith(" †") and all(
        "Checks raised" in "".join(table.notes) for table in (orders, metrics)
    )


def test_what_was_not_run_is_not_measured():
    judged, _ = verdicts([row("c1", "random")])
    assert judged == [*["not measured"] * 6, "undecided"] and {*judged} < {*claims.VERDICTS}
