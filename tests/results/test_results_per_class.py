"""Rows, tables, figures and claims of the class-wise study, from counts made by hand."""

import types

import numpy
import pytest

from dare import test as testing
from results import claims, per_class, per_class_claims, per_class_row, tables

CLASSES = ["cat", "dog", "car", "bus"]
TOTAL = [100, 100, 100, 100]


def measure(right, total=TOTAL):
    n = sum(total)
    value = 100 * sum(right) / n
    return {
        "value": value, "n": n, "values": [value], "spread": None, "interval": [value - 4, value + 4],
        "published": None, "right": list(right), "total": list(total),
    }  # fmt: skip


def row(method, robust=(10, 40, 60, 80), *, weak=None, role="method", classes=CLASSES, total=TOTAL, **more):
    weak = list(robust) if weak is None else list(weak)
    return {
        "study": "classwise", "dataset": "digits", "model": "small_cnn", "method": method, "title": method.upper(),
        "role": role, "of": "robust_training", "hyperparameters": {"epsilon": 0.1}, "verified": True,
        "classes": list(classes), "seeds": [0], "repeats": 1, "checks": [], "attacks": {}, "device": "CPU",
        "command": "", "commit": "c",
        "measures": {
            "clean": measure([90] * len(classes), total),
            "white-box/fgsm@0.1": measure(weak, total),
            "white-box/pgd-20@0.1": measure(robust, total),
            "white-box/worst@0.1": measure(robust, total),
        },
        "confusion": {"clean": numpy.diag(total).tolist(), "white-box/worst@0.1": numpy.diag(total).tolist()},
        "weight_norms": [[1.0, 2.0, 3.0, 4.0][: len(classes)]],
        "paired": {},
        **more,
    }  # fmt: skip


def test_measures_of_saved_flags_are_counted_by_class():
    generator = numpy.random.default_rng(0)
    y = numpy.arange(40) % 4
    split = types.SimpleNamespace(y_test=y, y_train=y[::-1], classes=tuple(CLASSES), fingerprint="d", name="digits")
    rows = numpy.arange(0, 40, 2)
    said = generator.integers(0, 4, 40).astype("int32")
    measured = {"clean": said, "white-box/pgd@0.1": said[1::2]}
    index = {"clean": numpy.arange(40), "white-box/pgd@0.1": numpy.arange(20)}
    flags = {name: measured[name] == y[index[name]] for name in measured}
    one = testing.Flags(flags, index, {}, "m", "d", prediction=measured)
    found = per_class.measures(one, split)
    for name in measured:
        for label in range(4):
            own = y[index[name]] == label
            assert found[name]["total"][label] == own.sum() and found[name]["right"][label] == flags[name][own].sum()
            for other in range(4):
                expected = (measured[name][own] == other).sum()
                assert per_class.confusions(one, split)[name][label][other] == expected
    assert len(rows) == 20
    with pytest.raises(ValueError, match="flags of data d, expected e"):
        per_class.measures(one, types.SimpleNamespace(**{**vars(split), "fingerprint": "e"}))


def test_seeds_are_added_up():
    one, other = row("pgd-7"), row("pgd-7", robust=(20, 40, 60, 70)) | {"seeds": [1], "weight_norms": [[4.0, 3, 2, 1]]}
    pooled = per_class.pool([one, other])
    worst = per_class.divided(pooled["measures"]["white-box/worst@0.1"])
    assert worst.right.tolist() == [30, 80, 120, 150] and worst.total.tolist() == [200] * 4
    assert pooled["confusion"]["clean"][0][0] == 200 and len(pooled["weight_norms"]) == 2 and pooled["seeds"] == [0, 1]


def test_the_tables():
    rows = [row("pgd-7"), row("m+deat", robust=(30, 40, 50, 60)), row("pgd-7-bias", role="lever"),
            row("pgd-7-without-cat", (1, 2, 3), role="retrained", classes=CLASSES[1:], total=TOTAL[1:])]  # fmt: skip
    summary, by_class = per_class.class_tables(rows)
    assert [line[0] for line in summary.rows] == ["m+deat", "pgd-7", "pgd-7-bias"]
    _, clean, _, robust, worst, which, deviation, spread = summary.rows[1]
    assert (clean.value, robust.value, worst.value, which) == (90, 47.5, 10, "cat")
    assert deviation.value == pytest.approx(numpy.std([10, 40, 60, 80])) and spread.value == pytest.approx(70)
    assert worst.low < 10 < worst.high
    assert [cell.value for cell in by_class.rows[0][1:]] == [30, 40, 50, 60] and by_class.columns[1:] == tuple(CLASSES)
    assert all(tables.markdown(one) for one in (summary, by_class))
    assert [name for name, _, _ in per_class.draw(rows)] == [
        f"digits-small_cnn-{part}" for part in ("classes", "confusion", "levers")
    ]


def said(claim, rows):
    found = per_class_claims.CLAIMS[claim](rows)
    return found.verdict, found.evidence


def test_disparity():
    assert said("disparity", [row("a"), row("b")])[0] == "holds"
    verdict, evidence = said("disparity", [row("a", robust=(50, 52, 51, 49)), row("b", robust=(60, 62, 61, 60))])
    assert verdict == "does not hold" and "2 (b) to 3 points (a)" in evidence and "0 of 2" in evidence
    assert said("disparity", [row("none", robust=(0, 0, 0, 100))])[0] == "not measured", "one class alone is chance"


def test_consistency():
    classes, total = [str(one) for one in range(10)], [100] * 10
    up = list(range(40, 60, 2))
    rows = [row(name, up, weak=[one + 5 for one in up], classes=classes, total=total) for name in "ab"]
    verdict, evidence = said("consistency", rows)
    assert verdict == "holds" and "between attacks 1.00" in evidence and "defences 1.00" in evidence
    rows[1] = row("b", up[::-1], classes=classes, total=total)
    assert said("consistency", rows)[0] == "does not hold"
    assert said("consistency", rows[:1])[0] == "not measured"


def test_stronger_attacks():
    """From FGSM to PGD the two weaker classes lose 30 images, the others 10; from PGD to the worst case nothing."""
    verdict, evidence = said("stronger", [row("a", (10, 25, 60, 80), weak=(30, 35, 65, 85))])
    assert verdict == "holds" and "fgsm to pgd-20: 75 % [60, 86]" in evidence
    assert said("stronger", [row("a", (30, 35, 40, 60), weak=(30, 36, 65, 85))])[0] == "does not hold"
    assert said("stronger", [row("a")])[0] == "not measured"


def test_weight_norms():
    classes, total = [str(one) for one in range(10)], [100] * 10
    up = list(range(40, 60, 2))
    rows = [row(n, up, classes=classes, total=total, weight_norms=[list(range(10))]) for n in "abc"]
    assert said("weight_norms", rows)[0] == "holds"
    for one in rows:
        one["weight_norms"] = [list(range(10, 0, -1))]
    verdict, evidence = said("weight_norms", rows)
    assert verdict == "does not hold" and "-1.00 (-1.00 to -1.00); above 0.55, beyond chance, in 0" in evidence


def reached(similar, attackable=100):
    return {"pairs": [], "images": [], "attackable": attackable, "similar": similar, "anywhere": 10,
            "sizes": [0, attackable, 0, 0]}  # fmt: skip


def test_similar_classes_and_retraining():
    told = {"method": "a", "watched": "cat", "without": "dog", "why": "the class it is attacked into most"}
    without = row("a-without-dog", (33, 70, 80), role="retrained", classes=["cat", "car", "bus"], total=[100] * 3)
    rows = [row("a", reached=reached(90)), without | {"retrained": told}]
    verdict, evidence = said("similar", rows)
    assert verdict == "holds" and "90 % [83, 94]" in evidence and "1.0 classes" in evidence
    assert "retrained without dog (the class it is attacked into most): class cat from 10 to 33 %" in evidence
    assert said("similar", [row("a", reached=reached(20))])[0] == "does not hold"
    assert said("similar", [row("a")])[0] == "not measured"


def test_the_temperature_is_chosen_on_one_half_and_judged_on_the_other():
    paired = {
        "t-pgd-2 vs. pgd-20": [[9, 0, 200], [0, 9, 200]],  # best on the first half, worse on the second
        "t-pgd-5 vs. pgd-20": [[5, 0, 200], [30, 0, 200]],
        "t-pgd-2 vs. cw-linf-20": [[5, 0, 200], [20, 0, 200]],
    }
    verdict, evidence = said("temperature", [row("a", paired=paired)])
    assert (
        verdict == "does not hold" and "t-pgd-2 beside pgd-20: -4.50 points" in evidence and "0 against 9" in evidence
    )
    del paired["t-pgd-2 vs. pgd-20"]
    assert said("temperature", [row("a", paired=paired)])[0] == "holds"
    assert said("temperature", [row("a")])[0] == "not measured"


def test_levers():
    lifted = row("a-bias", (40, 40, 50, 60), role="lever", lever={"of": "a", "name": "bias"})
    verdict, evidence = said("levers", [row("a"), lifted])
    assert verdict == "holds" and "a-bias: worst class +30.0" in evidence and "mean +0.0" in evidence
    worse = row("a-tau", (0, 40, 50, 60), role="lever", lever={"of": "a", "name": "tau"})
    assert said("levers", [row("a"), worse])[0] == "does not hold"
    assert said("levers", [row("a")])[0] == "not measured"


def test_the_table_of_claims_has_seven_lines_of_known_verdicts():
    table = per_class_claims.claims_table([row("a"), row("b")])
    assert len(table.rows) == 7 and {line[3] for line in table.rows} <= set(claims.VERDICTS)


def test_reached_classes_are_counted():
    """Three classes; class 0 reaches 1 twice and 2 once, one image of it both; class 1 reaches 2; 2 reaches nothing."""
    labels = numpy.array([0, 0, 0, 1, 2, 2])
    found = numpy.zeros((6, 3), bool)
    for image, classes in enumerate(([0, 1], [0, 1, 2], [1], [1, 2], [2], [])):
        found[image, classes] = True
    counts = per_class_row.count_reached(found, labels)
    assert counts["pairs"] == [[2, 3, 1], [0, 1, 1], [0, 0, 1]] and counts["images"] == [3, 1, 2]
    assert counts["attackable"] == 3 and counts["similar"] == 3 and counts["sizes"] == [1, 2, 1]


def test_pairs_of_attacks_on_halves():
    flags = {f"white-box/{name}@0.1": numpy.array(values, bool) for name, values in
             {"t-pgd-5": [0, 0, 1, 0], "pgd-20": [1, 0, 1, 1]}.items()}  # fmt: skip
    found = per_class_row.paired(types.SimpleNamespace(flags=flags))
    assert found == {"t-pgd-5 vs. pgd-20": [[1, 0, 2], [1, 0, 2]]}
