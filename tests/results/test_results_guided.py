"""Rows, tables, figure and conclusions of guided retraining, from curves made by hand."""

import pytest

from results import claims, guided, guided_claims, guided_row, tables
from results.energy import Meter


def point(inputs, accuracy, seconds=10.0):
    parts = {"accuracy": accuracy, "loss": 0.1, "precision": accuracy, "recall": accuracy}
    both = {part: dict(parts) for part in ("both", "clean", "adversarial")}
    return {"inputs": inputs, "adversarial_inputs": 1, **both, "seconds": seconds, "peak_memory_mib": 1, "joules": None}


def row(configuration, metric, accuracies=(0.5, 0.9, 0.8), *, seconds=10.0, seed=0, dataset="mnist"):
    step = 20 if configuration == "c3" else 100
    curve = [point(step * place, accuracy, seconds) for place, accuracy in enumerate(accuracies, start=1)]
    return {
        "study": "guided_retraining", "dataset": dataset, "model": "mnist_cnn", "method": f"{configuration}-{metric}",
        "title": metric, "role": "method", "configuration": configuration, "metric": metric, "verified": True,
        "hyperparameters": {"images": 300, "epochs": 2}, "seeds": [seed], "repeats": 1,
        "measures": guided_row._measures([guided_row.summary(curve)], None, 1000),
        "curves": [curve], "originals": [{part: point(0, 0.7)[part] for part in ("both", "clean", "adversarial")}],
        "rank": [{"seconds": 0.1, "ties": 3, "apfd": 0.8, "warnings": [], "forward_s": 1.0, "inputs": 300}],
        "checks": [], "attacks": {}, "device": "CPU", "command": "", "commit": "c",
    }  # fmt: skip


def test_the_summary_of_a_curve():
    found = guided_row.summary([point(100, 0.5), point(200, 0.895), point(300, 0.9)])
    assert found == {
        "best": pytest.approx(90), "inputs-to-best": 300, "inputs-to-99": 200,
        "area": pytest.approx(100 * ((0.5 + 0.895) / 2 + (0.895 + 0.9) / 2) / 2),
    }  # fmt: skip
    assert guided_row.summary([point(100, 0.5)])["area"] == pytest.approx(50)


def test_seeds_are_pooled():
    one, other = row("c2", "lsa"), row("c2", "lsa", (0.5, 0.8, 0.7), seed=1)
    pooled = guided_row.pool([one, other])
    assert pooled["measures"]["best"] == {
        "value": 85.0, "n": 1000, "values": [90.0, 80.0], "spread": pytest.approx(7.07, abs=0.01), "published": None,
    }  # fmt: skip
    assert pooled["seeds"] == [0, 1] and len(pooled["curves"]) == 2
    with pytest.raises(ValueError, match="were made differently"):
        guided_row.pool([one, other | {"hyperparameters": {"images": 200}}])


def test_tables_and_figure():
    rows = [row("c2", "lsa"), row("c2", "deepgini", (0.6, 0.95, 0.9)), row("c1", "lsa", (0.4, 0.5, 0.6))]
    orders, metrics = guided.guided_tables(rows)
    assert [line[0] for line in orders.rows] == ["c1-lsa", "c2-deepgini", "c2-lsa"]
    assert [cell.value for cell in orders.rows[1][1:]] == [95, 95, 95, 200, 200, pytest.approx(85), 30]
    assert [line[0] for line in metrics.rows] == ["deepgini", "lsa"] and all(map(tables.markdown, (orders, metrics)))
    [(name, _, figure)] = guided.draw(rows)
    assert name == "mnist-mnist_cnn-guided" and len(figure.axes) == 4, "two configurations, ours and published"


def verdicts(rows):
    table = guided_claims.guided_claims(rows)
    return [line[3] for line in table.rows], [line[2] for line in table.rows]


def test_the_conclusions_where_they_hold():
    rows = [row("c2", metric, (0.95, 0.97, 0.9)) for metric in ("deepgini", "softmax_entropy")]
    rows += [row("c2", metric, (0.6, 0.7, 0.8)) for metric in ("lsa", "dsa")] + [
        row("c2", "neuron_coverage", (0.2, 0.3, 0.4))
    ]
    rows += [row("c3", "deepgini", (0.9, 0.965, 0.9), seconds=2.0), row("c1", "deepgini", (0.5, 0.6, 0.96))]
    found, said = verdicts(rows)
    assert found == ["holds", "does not hold", "undecided", "holds", "holds", "undecided"]
    assert (
        "best accuracy of all is c2-deepgini's" in said[0]
        and "67 % of them" in said[2]
        and "a 5.0th of the seconds" in said[4]
    )


def test_the_conclusions_where_they_do_not():
    rows = [row("c2", metric, (0.2, 0.3, 0.5)) for metric in ("deepgini", "softmax_entropy")]
    rows += [row("c2", "lsa", (0.9, 0.9, 0.9)), row("c2", "neuron_coverage", (0.9, 0.95, 0.9))]
    rows += [row("c3", "deepgini", (0.2, 0.2, 0.2)), row("c1", "deepgini", (0.5, 0.6, 0.96))]
    found, _ = verdicts(rows)
    assert found == ["does not hold", "holds", "does not hold", "does not hold", "does not hold", "does not hold"]


def test_other_configurations_do_not_decide_an_order():
    rows = [row("c2", metric, (0.9, 0.95, 0.9)) for metric in ("deepgini", "softmax_entropy", "lsa", "random")]
    rows += [row("c1", metric, (0.1, 0.2, 0.3)) for metric in ("deepgini", "lsa", "neuron_coverage")]
    rows.append(row("c1", "dsa", (0.05, 0.1, 0.2)))
    found, _ = verdicts(rows)
    assert found[0] == "undecided" and found[3] == "does not hold", "neuron coverage is not the worst"


def test_what_was_not_run_is_not_measured():
    found, _ = verdicts([row("c1", "random")])
    assert set(found) == {"not measured"} <= set(claims.VERDICTS)


def test_the_meter_reads_counters_that_begin_again(tmp_path):
    domains = {"package-0": ("intel-rapl:0", 100), "psys": ("intel-rapl:1", 900), "core": ("intel-rapl:0:0", 5)}
    domains["package-1"] = ("intel-rapl:2", 900)
    for label, (name, value) in domains.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "name").write_text(label + "\n")
        (tmp_path / name / "energy_uj").write_text(str(value))
        (tmp_path / name / "max_energy_range_uj").write_text("1000")
    meter = Meter(tmp_path)
    (tmp_path / "intel-rapl:0" / "energy_uj").write_text("400")
    (tmp_path / "intel-rapl:2" / "energy_uj").write_text("100")
    assert meter.joules() == pytest.approx((300 + 200) / 1e6)
    assert Meter(tmp_path / "none").joules() is None
