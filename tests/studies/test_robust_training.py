"""Tables, figure and claims of robust training from rows made by hand."""

import csv
import dataclasses

import pytest
import scipy.stats

from reporting import published, tables
from reporting import row as result_row
from studies import catalogue, publish
from studies.robust_training import claims, figures
from studies.robust_training import tables as robust_tables
from train.robust import METHODS


def measure(value, n=1000, published=None):
    spread = {"values": [value], "spread": None, "published": published}
    return {"value": value, "n": n, **spread, "interval": [value - 3, value + 3]}


def row(method, *, worst=40.0, seed=0, bp=40.0, robust=(0.1, 0.2, 0.3, 0.35, 0.4), role="method", published=None):
    epochs = len(robust)
    known = {
        "study": "robust_training", "dataset": "fashion_mnist", "model": "small_cnn", "method": method,
        "title": method.upper(), "role": role, "verified": True, "seeds": [seed], "repeats": 1,
        "hyperparameters": {
            "epsilon": 0.1, "images": 100, "validation": 10, "selected_epoch": 5, "last_epoch": epochs,
            "bp_epochs": bp, "stopped": False, "precision": "float32", "setup": {"title": "fast", "epochs": 10},
        },
        "measures": {
            "clean": measure(80.0, published=published),
            "white-box/pgd-20@0.1": measure(worst + 1),
            "white-box/worst@0.1": measure(worst),
            "last/clean": measure(81.0),
            "last/white-box/pgd-20@0.1": measure(worst),
            "last/white-box/worst@0.1": measure(worst - 1),
        },
        "checks": [], "attacks": {}, "device": "CPU, 2 cores",
    }  # fmt: skip
    course = {
        "seed": seed,
        "bp_epochs": [bp * (place + 1) / epochs for place in range(epochs)],
        "probe_robust": list(robust),
        "probe_clean": [0.8] * epochs,
        "probe_magnitude": [1.0 + place**2 for place in range(epochs)],
        "probe_lipschitz": [2.0 * place**2 for place in range(epochs)],
        "magnitude": [3.0 * place**2 + 1.0 for place in range(epochs)],
    }
    details = {"trajectories": [course], "training_s": [10.0 + seed]}
    return result_row.Row(**{**dict.fromkeys(result_row.FIELDS), **known, "details": details})


def test_rows_of_several_seeds_become_one():
    pooled = robust_tables.pool([row("pgd-7", worst=40.0), row("pgd-7", worst=42.0, seed=1, bp=42.0)])
    assert pooled["measures"]["white-box/worst@0.1"]["value"] == 41.0 and pooled["seeds"] == [0, 1]
    assert len(pooled["trajectories"]) == 2 and pooled["training_s"] == [10.0, 11.0]
    assert pooled["hyperparameters"]["bp_epochs"] == 41.0
    other = row("pgd-7", seed=1)
    other["hyperparameters"]["epsilon"] = 0.2
    with pytest.raises(ValueError, match="differ in epsilon"):
        robust_tables.pool([row("pgd-7"), other])


def test_rows_of_a_cyclic_rate_without_its_momentum_are_marked():
    old, new = row("pgd-7"), row("free-8")
    old["hyperparameters"]["setup"] = {"title": "fast", "epochs": 10, "cyclic": True}
    new["hyperparameters"]["setup"] = {**old["hyperparameters"]["setup"], "momentum_at_peak": 0.8}
    for rows, words in (([old, new], "To be made again (pgd-7): "), ([old], "To be made again: "), ([new], None)):
        for table in (*robust_tables.robust_training_tables(rows), claims.deat_claims(rows)):
            marked = [note for note in table.notes if note.startswith("To be made again")]
            assert [note[: len(words)] for note in marked] == [words] if words else not marked, table.name


def test_the_best_method_comes_first_and_the_control_last():
    rows = [row("pgd-7", worst=30.0), row("standard", worst=99.0, role="control"), row("m+deat", worst=40.0)]
    table, cost = robust_tables.robust_training_tables(rows)
    assert [line[0] for line in table.rows] == ["m+deat", "pgd-7", "standard"]
    assert [str(cell) for cell in table.rows[0][1:]] == ["80.0", "41.0", "40.0"]
    assert cost.columns[:5] == ("method", "BP-epochs", "seconds", "probes", "worst case")
    assert cost.rows[0][4].value in (30.0, 40.0, 99.0) and cost.rows[0][3].value is None
    text = tables.markdown(table)
    assert "worst@0.1 (n=1000)" in text and "published" not in text


def test_the_figure_has_a_panel_for_each_kind_of_method_and_one_of_test_images():
    rows = [row("pgd-7", worst=30.0), row("standard", worst=99.0, role="control"), row("m+deat", worst=40.0)]
    figure = figures.trajectories([*rows, row("fat"), row("free-8")])
    assert [axis.get_title() for axis in figure.axes] == [*figures.KINDS[:3], "test images, selected epoch"]
    replayed = figure.axes[0]
    assert [text.get_text() for text in replayed.get_legend().get_texts()] == ["m+deat", "free-8"]
    assert len(replayed.lines) == 5 and len(figures.trajectories(rows[1:2]).axes) == 1
    kinds = {figures.kind(name) for name in METHODS}
    assert kinds == {*figures.KINDS, None}


def test_every_method_of_a_kind_has_a_colour_of_its_own():
    kinds = [figures.kind(name) for name in METHODS]
    assert max(map(kinds.count, figures.KINDS)) <= len(set(figures.COLOURS))


def test_the_published_value_stands_beside_the_measured_one():
    made = {**row("pgd-7", published=82.33), "model": "preact_resnet18@0.5"}
    table, _ = robust_tables.robust_training_tables([made])
    assert str(table.rows[0][1]) == "80.0 (82.3)"
    assert any("2103.03076" in note for note in table.notes)


def test_seconds_of_seeds_far_apart_are_not_averaged():
    alike = [result_row.detailed(row("pgd-7", seed=seed), probe_s=[2.0]) for seed in range(2)]
    busy = [result_row.detailed(row("free-8", seed=seed), training_s=[10.0 + 20 * seed]) for seed in range(2)]
    rows = [robust_tables.pool(both) for both in (alike, busy)]
    _, cost = robust_tables.robust_training_tables(rows)
    assert {line[0]: (line[2].value, line[3].value) for line in cost.rows} == {
        "pgd-7": (10.5, 2.0),
        "free-8": (None, None),
    }


def test_the_published_values_of_robust_training():
    found = published.robust("cifar10", "preact_resnet18@0.5", "PGD-7", "clean", 8 / 255)
    assert found == 82.33
    for attack, epochs, value in (
        ("pgd-7", 50, 47.87),
        ("pgd-7", 200, 44.9),
        ("pgd-20", 200, None),
        ("pgd-7", 60, None),
    ):
        measure = f"white-box/{attack}@8/255"
        assert published.robust("cifar10", "resnet18", "PGD-7", measure, 0.0314, epochs) == value
    for model, method, attack, value in (
        ("vgg16_bn", "FREE-8", "worst", 42.5),
        ("densenet121", "M+DEAT", "worst", 42.5),
        ("wrn_34_10", METHODS["trades"].published, "pgd-20", 56.6),
        ("wrn_34_10", METHODS["trades-deat"].published, "pgd-20", None),
        ("wrn_32_10", "FREE-8", "pgd-100", None),
        ("vgg16_bn", None, "worst", None),
    ):
        setup = "trades" if model == "wrn_34_10" else "standard"
        assert published.robust("cifar10", model, method, f"white-box/{attack}@8/255", 8 / 255, setup=setup) == value
    assert (
        published.robust("cifar10", "wrn_34_10", METHODS["trades"].published, "clean", 8 / 255) is None
    )  # of another recipe
    assert published.robust("cifar10", "vgg16_bn", "FREE-8", "white-box/worst@4/255", 4 / 255) is None


def test_published_values_stand_beside_deats_own_settings():
    with open(published.FOLDER / "deat_cifar10_preact18.csv", newline="", encoding="utf-8") as file:
        rows = {line["method"] for line in csv.DictReader(file)}
    named = [method.published for method in METHODS.values()]
    assert rows <= set(named) and all(named.count(row) == 1 for row in rows)
    assert {name for name in METHODS if name.endswith("-deat")} < {
        name for name, method in METHODS.items() if method.published in rows
    }


def test_the_last_epochs_measures_with_published_values_have_columns():
    made = {**row("pgd-7"), "model": "resnet18"}
    made["measures"]["last/white-box/pgd-7@8/255"] = measure(46.0, published=47.87)
    _, cost = robust_tables.robust_training_tables([made])
    assert cost.columns[-2] == "last: pgd-7@8/255" and str(cost.rows[0][-2]) == "46.0 (47.9)"


def test_published_rows_were_selected_by_todays_rule():
    for one in catalogue.of_study(publish.measured(), "robust_training"):
        epoch = one["hyperparameters"].get("selected_epoch")
        if epoch is not None:  # of one seed
            course = one["trajectories"][0]
            by = "probe_clean" if one["role"] == "control" else "probe_robust"
            ranks = zip(course[by], course["probe_clean"], strict=True)
            assert epoch == max(enumerate(ranks, 1), key=lambda each: (each[1], -each[0]))[0], one["method"]


def test_a_seed_is_added_to_the_published_one(monkeypatch, tmp_path):
    monkeypatch.setattr(publish, "ROOT", tmp_path)
    folder = tmp_path / "results" / "measured" / "robust_training"
    folder.mkdir(parents=True)
    old, new = row("pgd-7", worst=40.0, seed=0), row("pgd-7", worst=44.0, seed=1)
    assert publish.with_published(new) == new
    result_row.save(new, result_row.path_of(new, folder))
    both = publish.with_published(old)  # in the order of the seeds, whichever came first
    assert both == robust_tables.pool([old, new]) and both["seeds"] == [0, 1]
    assert both["measures"]["white-box/worst@0.1"]["values"] == [40.0, 44.0]
    with pytest.raises(ValueError, match="expected one other seed in each"):
        publish.with_published(new)
    result_row.save(both, result_row.path_of(both, folder))
    with pytest.raises(ValueError, match=r"seeds \[0, 1\] and \[2\], expected one other"):
        publish.with_published(row("pgd-7", seed=2))


def by_claim(rows):
    return {line[1]: line for line in claims.deat_claims(rows).rows}


REDUNDANT, LEVEL, LIPSCHITZ, CHEAPER = (
    "Redundant attack iterations hurt robustness late in training",
    "Keeping the quality of adversarial examples at a level is enough",
    "The gradient magnitude tracks the local Lipschitz constant",
    "Up to 40 % less time at equal robustness",
)
EIGHT = (0.1, 0.15, 0.2, 0.25, 0.3, 0.34, 0.37, 0.4)


def seeds(method, worst, *, apart=1.0, **settings):
    """A row of two seeds whose worst cases lie `apart`."""
    both = [row(method, worst=worst + part, seed=seed, **settings) for seed, part in enumerate((-apart / 2, apart / 2))]
    return robust_tables.pool(both)


def test_claims_are_judged_by_what_was_measured():
    fast = (0.1, 0.3, 0.42, 0.42, 0.43, 0.43, 0.43, 0.43)
    rows = [
        seeds("m+deat", 43.0, robust=fast),
        seeds("free-8", 30.0, robust=EIGHT), seeds("free-4", 41.0), seeds("pgd-7", 40.0, robust=EIGHT),
        seeds("m+trades", 49.5), seeds("trades", 40.0), seeds("m+pgd", 50.0, robust=EIGHT),
        *(row(f"m+mart-{place}", robust=EIGHT) for place in range(10)),  # of one seed: runs to correlate
    ]  # fmt: skip
    found = by_claim(rows)
    verdicts = {claim: line[3] for claim, line in found.items()}
    assert verdicts == {REDUNDANT: "undecided", LEVEL: "holds", LIPSCHITZ: "holds", CHEAPER: "holds"}
    half = 2.365 * 0.5**0.5  # Student's t with 7 degrees of freedom, each seed's deviation 1 / sqrt(2), two a method
    ends = f"[{11 - half:.1f}, {11 + half:.1f}]"
    assert f"free-4 minus free-8 +11.0 points {ends}" in found[REDUNDANT][2] and "more updates" in found[REDUNDANT][2]
    assert "a deviation of 0.7 with 7 degrees of freedom" in found[LEVEL][2]
    # m+deat after 13.75 BP-epochs, free-8 after 38.33; then 13.33 and 36.67, 12.5 and 33.33: both seeds alike
    assert "saved beside free-8 +63 % of BP-epochs [63, 63] to goals below free-8's best of 40.0 %" in found[CHEAPER][2]


def test_with_one_seed_nothing_is_decided():
    rows = [row("m+pgd", worst=60.0), row("pgd-7"), row("m+deat", robust=(0.4, 0.4, 0.4, 0.4, 0.4))]
    found = by_claim(rows)
    assert found[LEVEL][3] == found[CHEAPER][3] == "undecided" and "one seed each" in found[LEVEL][2]
    assert found[LEVEL][4] == "m+pgd minus pgd-7: no size"
    assert by_claim([row("m+pgd", worst=1.0), row("pgd-7", worst=90.0)])[LEVEL][3] == "undecided"


def test_every_pair_has_to_support_a_claim():
    rows = [seeds("m+pgd", 60.0), seeds("pgd-7", 30.0), seeds("m+mart", 40.2), seeds("mart", 40.0)]
    found = by_claim(rows)[LEVEL]
    assert found[3] == "undecided" and found[4].startswith("m+mart minus mart: +") and "m+pgd" not in found[4]
    assert by_claim([*rows, seeds("m+trades", 20.0), seeds("trades", 40.0)])[LEVEL][3] == "does not hold"


def test_a_claim_is_excluded_only_where_the_interval_is_below_what_it_needs():
    """M+X may lose a point: at -1.5 +- 3 both are possible, at -8 it is no worse no longer."""
    for worst, verdict in ((38.5, "undecided"), (32.0, "does not hold")):
        found = by_claim([seeds("m+pgd", worst), seeds("pgd-7", 40.0)])[LEVEL]
        assert found[3] == verdict, found


def test_a_run_that_the_guard_ended_says_nothing_of_the_deviation_over_seeds():
    wild = seeds("yopo-5-3", 30.0, apart=20.0)
    wild["hyperparameters"]["stopped"] = True
    rows = [seeds("free-4", 41.0), seeds("free-8", 40.0), wild]
    assert "a deviation of 0.7 with 2 degrees of freedom" in by_claim(rows)[REDUNDANT][2]
    rows[0]["hyperparameters"]["stopped"] = True
    assert "free-4 minus free-8 +1.0 points (no interval)" in by_claim(rows)[REDUNDANT][2]


def test_rows_whose_checks_were_raised_are_left_out():
    rows = [seeds("m+pgd", 60.0), seeds("pgd-7", 30.0), seeds("m+mart", 70.0), seeds("mart", 40.0)]
    rows[2] = dataclasses.replace(rows[2], checks=[{"name": "gradient", "passed": False, "seen": "", "expected": ""}])
    table = claims.deat_claims(rows)
    assert "mart" not in table.rows[1][2] and "Left out, since a check was raised: m+mart (gradient)." in table.notes


def test_claims_that_were_not_measured_say_so():
    found = by_claim([row("fgsm-rs", robust=(0.1, 0.2))])
    assert {line[3] for line in found.values()} == {"not measured"}
    found = by_claim([seeds("m+deat", 40.0), seeds("free-8", 5.0, robust=(0.0, 0.01, 0.01))])
    assert found[CHEAPER][3] == "not measured"  # nothing to be as robust as


def test_a_goal_that_is_never_reached_counts_as_twice_the_passes():
    slow = (0.1, 0.2, 0.2, 0.2, 0.2)
    line = by_claim([seeds("m+deat", 40.0, robust=slow), seeds("free-8", 40.0)])[CHEAPER]
    assert line[3] == "does not hold" and "-100 % of BP-epochs" in line[2] and "(6 of 6 never reached)" in line[2]
    assert by_claim([row("m+deat", robust=slow), row("free-8")])[CHEAPER][3] == "undecided", "one seed"


def test_savings_that_seeds_do_not_agree_on_are_open():
    deat = robust_tables.pool([row("m+deat", robust=(0.4,) * 8), row("m+deat", seed=1, robust=(0.1,) * 8)])
    line = by_claim([deat, seeds("free-8", 40.0, robust=EIGHT)])[CHEAPER]
    assert line[3] == "undecided" and "no size" in line[4]


def guided(place, **changed):
    made = row("m+pgd", robust=EIGHT, seed=place)
    made["trajectories"][0] |= changed
    return made


def test_a_magnitude_that_guides_and_does_not_follow_is_not_outvoted():
    against = {"magnitude": [100.0 - place**2 for place in range(8)]}
    lines = [by_claim([guided(place, **against) for place in range(count)])[LIPSCHITZ] for count in (1, 12)]
    assert [line[3] for line in lines] == ["undecided", "does not hold"], "one run excludes nothing"
    for line in lines:
        assert "held-out magnitude 1.00" in line[2] and "guiding magnitude -1.00" in line[2]


def test_epochs_without_a_gradient_are_left_out_of_the_correlation():
    guided = row("m+pgd-2021", robust=(0.1, *EIGHT))
    course = guided["trajectories"][0]
    course["magnitude"] = [0.0, *(float(place) for place in (5, 4, 7, 3, 6, 2, 8, 1))]
    rho = scipy.stats.spearmanr(course["magnitude"][1:-1], course["probe_lipschitz"][1:-1]).statistic
    assert f"guiding magnitude {rho:.2f} (no interval)" in by_claim([guided])[LIPSCHITZ][2]


def test_pairs_of_other_budgets_are_not_compared():
    found = by_claim([row("free-4", bp=20.0), row("free-8", bp=40.0)])
    assert found[REDUNDANT][3] == "not measured"
