"""DARE's claims, and what a cell shows in three sentences."""

import pytest

from reporting import statistics
from studies.dare import claims, summary


def measure(value, n=1000):
    return {"value": value, "n": n, "values": [value], "spread": None, "published": None}


def row(method, clean, er, white_box=20.0, **more):
    measures = {"clean": measure(clean, 10_000), "white-box/worst@2/255": measure(white_box)}
    measures |= {f"er/{attack}": measure(er) for attack in ("fgsm", "pgd", "deepfool")}
    about = {"study": "dare", "dataset": "cifar10", "model": "vgg16", "title": method, "role": "method", "checks": []}
    return about | {"method": method, "measures": measures, "chosen_on": ["fgsm"]} | more


def verdicts(*rows):
    return [claim.verdict for claim in claims.dare_claims(rows).claims]


def test_verdicts_follow_the_intervals():
    original, swa = row("original", 80.0, 0.0), row("swa", 79.0, 40.0)
    better = row("dare", 80.5, 60.0, 40.0)
    worse = row("dare", 75.0, 20.0, 5.0)
    baseline, plain, neither = row("adv-pgd", 78.0, 45.0), row("dare-s", 80.0, 30.0), row("dare-sl", 80.0, 29.5)
    others = original, swa, baseline, plain, neither
    assert verdicts(better, *others) == ["holds", "holds", "holds", "holds", "undecided", "holds", "holds"]
    no = "does not hold"
    assert verdicts(worse, *others) == [no, no, no, no, "undecided", no, no]
    assert verdicts(original) == ["not measured"] * 7


def test_a_paired_interval_is_used_where_there_is_one():
    pair = {"er/fgsm": {"value": 3.0, "interval": [1.0, 5.0], "n": 1000}}
    dare, swa = row("dare", 80.0, 50.0, differences={"swa": pair}), row("swa", 80.0, 47.0)
    gap = claims.difference(dare, swa, ["er/fgsm"])
    assert (gap.low, gap.high) == pytest.approx((1.0, 5.0))
    assert claims.difference(dare, swa, ["er/fgsm"], confidence=0.99).low < 1.0
    apart = claims.difference(dare, swa, ["er/pgd"])
    wilson = [statistics.wilson(count, 1000) for count in (500, 470)]
    assert apart.low == pytest.approx(100 * statistics.newcombe(*wilson).low)


def test_checks_of_attacks_do_not_bar_a_claim_on_transfer():
    raised = [{"name": "saturated", "passed": False}]
    rows = row("dare", 80.0, 60.0), row("adv-pgd", 78.0, 40.0, checks=raised), row("original", 80.0, 0.0)
    assert verdicts(*rows)[1] == "holds"
    raised[0]["name"] = "chance"
    assert verdicts(*rows)[1] == "not measured"


def test_three_sentences():
    rows = [
        row("original", 80.0, 0.0),
        row("dare", 80.0, 50.0, 21.0),
        row("swa", 79.0, 60.0),
        row("other-seed", 80.0, 20.0),
    ]
    sentences = summary.sentences(rows)
    assert len(sentences) == 3 and "50.0 %" in sentences[0]
    assert "highest mean ER is swa with 60.0 %: DARE is below it" in sentences[1]
    assert "DARE is not significantly more robust or less robust" in sentences[2]
    assert summary.sentences([row("original", 80.0, 0.0)]) == []


def test_the_summary_is_narrow():
    table = summary.table([row("original", 80.0, 0.0), row("dare", 80.0, 50.0)], summary.FEW)
    assert table.columns == ("method", "clean", "mean ER (fgsm, pgd, deepfool)", "worst@2/255")
    assert [str(cell) for cell in table.rows[1]] == ["dare", "80.0", "50.0", "20.0"]
