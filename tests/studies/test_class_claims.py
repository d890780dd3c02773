"""Claims of the class-wise study, judged from counts made by hand."""

import dataclasses

import numpy
import pytest

from reporting import claims
from reporting import row as result_row
from studies.classwise import claims as class_claims
from studies.classwise import rows as class_rows
from studies.classwise import tables as class_tables


@pytest.fixture
def row(class_row):
    return class_row


def verdict_of(name, rows):
    claim = class_claims.CLAIMS[name](rows)
    return claim.verdict, claim.evidence


def test_disparity(row):
    assert verdict_of("disparity", [row("a"), row("b")])[0] == "holds"
    near, thousands = (50, 52, 51, 49), [5000] * 4
    verdict, evidence = verdict_of("disparity", [row("a", robust=near), row("b", robust=(60, 62, 61, 60))])
    assert verdict == "undecided" and "(2, b, to 3, a) on 100 images of each class" in evidence
    many = row("a", robust=[50 * count for count in near], total=thousands)
    assert verdict_of("disparity", [many])[0] == "does not hold", "5,000 images of each class do exclude it"
    assert verdict_of("disparity", [row("none", robust=(0, 0, 0, 100))])[0] == "not measured", (
        "one class alone is chance"
    )


@pytest.mark.parametrize("correct", [(3, 3, 3, 3), (1, 5, 3, 2), (6, 6, 6, 5)])
def test_six_images_a_class_exclude_nothing_and_say_what_they_would_have_shown(row, correct):
    few = row("a", robust=correct, total=[6] * 4, weak=correct)
    claim = class_claims.CLAIMS["disparity"]([few])
    assert claim.verdict == "undecided" and "largest minus smallest accuracy of a class: +" in claim.detectable


def test_consistency(row):
    classes, total = [str(label) for label in range(20)], [1000] * 20
    up = list(range(300, 900, 30))
    rows = [row(name, up, weak=[count + 5 for count in up], classes=classes, total=total) for name in "ab"]
    verdict, evidence = verdict_of("consistency", rows)
    assert verdict == "holds" and "between attacks 1.00" in evidence and "defences 1.00" in evidence
    rows[1] = row("b", up[::-1], classes=classes, total=total)
    assert verdict_of("consistency", rows)[0] == "does not hold"
    assert verdict_of("consistency", rows[:1])[0] == "not measured"


def test_classes_that_noise_alone_orders_exclude_no_common_order(row):
    """The same ten accuracies of 20 images a class, twice: their measured orders have nothing in common."""
    generator, classes, total = numpy.random.default_rng(6), [str(label) for label in range(10)], [20] * 10
    verdicts = []
    for _ in range(30):
        pair = [row(name, generator.binomial(20, 0.5, 10), classes=classes, total=total, weak=total) for name in "ab"]
        verdicts.append(verdict_of("consistency", pair)[0])
    assert set(verdicts) <= {"undecided", "holds"}


def test_stronger_attacks(row):
    """From FGSM to PGD the two weaker classes lose 300 images, the others 100; from PGD to the worst case nothing."""
    total = [1000] * 4
    changes = {"total": total}
    verdict, evidence = verdict_of("stronger", [row("a", (100, 250, 600, 800), weak=(300, 350, 650, 850), **changes)])
    assert verdict == "holds" and "fgsm to pgd-20 (400 images, at most 400 for one model) 75 % [71, 79]" in evidence
    other = row("a", (300, 350, 400, 600), weak=(300, 360, 650, 850), **changes)
    assert verdict_of("stronger", [other])[0] == "does not hold"
    few = row("a", (30, 35, 60, 79), weak=(32, 37, 64, 82))
    assert verdict_of("stronger", [few])[0] == "undecided", "4 of 11 images"
    assert verdict_of("stronger", [row("a")])[0] == "not measured"


def test_more_models_on_the_same_images_gain_no_more_images(row):
    rows = [row(str(place), (30, 35, 60, 79), weak=(36, 37, 62, 81)) for place in range(9)]
    single, many = verdict_of("stronger", rows[:1]), verdict_of("stronger", rows)
    assert single[0] == many[0] == "undecided" and single[1].split(" %")[1] == many[1].split(" %")[1]


def test_weight_norms(row):
    classes, total = [str(label) for label in range(10)], [100] * 10
    up = list(range(40, 60, 2))
    rows = [row(n, up, classes=classes, total=total, weight_norms=[list(range(10))]) for n in "abc"]
    assert verdict_of("weight_norms", rows)[0] == "holds"
    rows = [result_row.detailed(each, weight_norms=[list(range(10, 0, -1))]) for each in rows]
    verdict, evidence = verdict_of("weight_norms", rows)
    assert verdict == "does not hold" and "-1.00" in evidence and "over 10 classes, mean of 3 models" in evidence
    rows = [result_row.detailed(each, weight_norms=[[4, 9, 1, 7, 0, 3, 8, 2, 6, 5]]) for each in rows]
    assert verdict_of("weight_norms", rows)[0] == "undecided", "none of three models beyond chance excludes nothing"


def reached(similar, judged=100, anywhere=10):
    return {"pairs": [], "images": [], "attackable": 2 * judged, "judged": judged, "similar": similar,
            "anywhere": anywhere, "sizes": [0, 2 * judged, 0, 0]}  # fmt: skip


@pytest.fixture
def retrained(row):
    """``retrained(correct, why)``: a row of a model trained again without a class."""

    def retrained(correct, why):
        removal = {"method": "a", "watched": "cat", "without": "dog", "why": why}
        robust = (correct, 70, 80)
        classes = ["cat", "car", "bus"]
        return row(f"a-{why}", robust, role="retrained", classes=classes, total=[100] * 3, retrained=removal)

    return retrained


def test_similar_classes_and_retraining(row, retrained):
    rows = [row("a", reached=reached(90)), retrained(33, "most"), retrained(12, "least")]
    verdict, evidence = verdict_of("similar", rows)
    assert verdict == "holds" and "90 % [81, 95]" in evidence and "1.0 classes" in evidence
    assert "a retrained without dog (most often reached): class cat changes from 10 to 33 %" in evidence
    rows[2] = retrained(40, "least")
    assert verdict_of("similar", rows)[0] == "undecided", "the control gained as much"
    assert verdict_of("similar", [row("a", reached=reached(20))])[0] == "does not hold"
    assert verdict_of("similar", [row("a", reached=reached(90, anywhere=88))])[0] == "undecided", (
        "any two classes would do"
    )
    assert verdict_of("similar", [row("a")])[0] == "not measured"
    few = class_claims.CLAIMS["similar"]([row("a", reached=reached(1, judged=3, anywhere=0))])
    assert few.verdict == "undecided" and "fraction: 98 %" in few.detectable, "of three images"


def test_more_models_on_the_same_images_are_no_more_images(row):
    single, many = (
        verdict_of("similar", [row(str(name), reached=reached(70)) for name in range(count)]) for count in (1, 9)
    )
    assert single[0] == many[0] == "holds" and "70 % [59, 79]" in single[1] and "70 % [59, 79]" in many[1]


@pytest.fixture
def attacked(row):
    """``attacked(seed, **fooled)``: a row with the flags of its attacks."""

    def attacked(seed, **fooled):
        """A row whose attacks leave correct what `fooled` says: name -> rows of 400 images that are fooled."""
        flags = {}
        for name, rows in fooled.items():
            correct = numpy.ones(400, bool)
            correct[list(rows)] = False
            flags[f"white-box/{name.replace('_', '-')}@0.1"] = [class_rows.packed(correct)]
        attacked_row = row(f"a{seed}", flags=flags)
        attacked_row["measures"].update({name: attacked_row["measures"]["clean"] for name in flags})
        return attacked_row

    return attacked


def test_the_temperature_is_chosen_on_one_half_and_judged_on_the_other(row, attacked):
    common = {"pgd_20": range(40), "cw_linf_20": range(42)}
    better = attacked(0, **common, t_pgd_2=range(60), t_pgd_5=range(44))
    verdict, evidence = verdict_of("temperature", [better])
    assert verdict == "holds" and "t-pgd-2 minus pgd-20 +5.00 points" in evidence and "200 images each" in evidence
    lucky = attacked(
        0, **common, t_pgd_2=[*range(0, 90, 2), *range(1, 20, 2)], t_pgd_5=range(40)
    )  # on even images alone
    verdict, evidence = verdict_of("temperature", [lucky])
    assert verdict == "does not hold" and "t-pgd-2 minus pgd-20 -5.00 points" in evidence
    assert verdict_of("temperature", [attacked(0, **common, t_pgd_2=range(43))])[0] == "undecided"
    once, often = ([attacked(seed, **common, t_pgd_2=range(45)) for seed in range(count)] for count in (1, 9))
    assert verdict_of("temperature", once)[1].split(";")[0] == verdict_of("temperature", often)[1].split(";")[0], (
        "the same images"
    )
    assert verdict_of("temperature", [attacked(0, pgd_20=range(9), t_pgd_2=range(20))])[0] == "not measured"
    assert verdict_of("temperature", [row("a")])[0] == "not measured"


def test_levers(row):
    lifted = row("a-bias", (40, 40, 50, 60), role="lever", lever={"of": "a", "name": "bias"})
    verdict, evidence = verdict_of("levers", [row("a"), lifted])
    assert verdict == "holds" and "worst class: a-bias +30.0 points [14.9, 43.5], mean 0.0" in evidence
    worse = row("a-tau", (8, 40, 50, 60), role="lever", lever={"of": "a", "name": "tau"})
    assert verdict_of("levers", [row("a"), worse])[0] == "undecided", "of 100 images"
    before = row("a", [10 * count for count in (10, 40, 60, 80)], total=[1000] * 4)
    worse = row("a-tau", [0, 400, 600, 800], total=[1000] * 4, role="lever", lever=worse["lever"])
    assert verdict_of("levers", [before, worse])[0] == "does not hold"
    factors = {**lifted["hyperparameters"], "factors": [1.0] * 4}
    trained = dataclasses.replace(lifted, method="a-weight", hyperparameters=factors)
    verdict, evidence = verdict_of("levers", [row("a"), trained])
    assert verdict == "undecided" and "a-weight +30.0 points (no interval)" in evidence, "retrained once"
    assert verdict_of("levers", [row("a")])[0] == "not measured"
    lifted = dataclasses.replace(lifted, attacks={"white-box/fgsm": {}})
    assert verdict_of("levers", [row("a"), lifted])[0] == "not measured", "attacked by something else"


def test_models_whose_checks_were_raised_are_left_out_of_claims_and_stay_in_tables(row):
    rows = [row("a"), row("b", checks=[{"name": "gradient", "passed": False, "seen": "", "expected": ""}])]
    table = class_claims.claims_table(rows)
    assert "Left out because a check was raised: b (gradient)." in table.notes
    assert "mean of 1 models" in table.rows[0][2]
    study_tables = class_tables.class_tables(rows)
    assert all(
        any("b †" in str(cell) for cell in [line[0] for line in table.rows])
        for table in study_tables[:3] + study_tables[4:]
    )
    assert all("† Checks raised: b (gradient)" in "".join(table.notes) for table in study_tables)


def test_the_table_of_claims_has_seven_lines_of_known_verdicts(row):
    table = class_claims.claims_table([row("a"), row("b")])
    assert len(table.rows) == 7 and {line[3] for line in table.rows} <= set(claims.VERDICTS)
