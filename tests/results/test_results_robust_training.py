"""Tables, figure and claims of robust training from rows made by hand."""

import pytest

from results import claims, deat_claims, robust_training, studies, tables
from results import row as result_row


def measure(value, n=1000, published=None):
    spread = {"values": [value], "spread": None, "published": published}
    return {"value": value, "n": n, **spread, "interval": [value - 3, value + 3]}


def row(method, *, worst=40.0, seed=0, bp=40.0, robust=(0.1, 0.2, 0.3, 0.35, 0.4), role="method", published=None):
    epochs = len(robust)
    return {
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
        "trajectories": [
            {
                "seed": seed,
                "bp_epochs": [bp * (place + 1) / epochs for place in range(epochs)],
                "probe_robust": list(robust),
                "probe_clean": [0.8] * epochs,
                "probe_magnitude": [float(place**2) for place in range(epochs)],
                "probe_lipschitz": [2.0 * place**2 for place in range(epochs)],
            }
        ],
        "training_s": [10.0 + seed], "checks": [], "attacks": {}, "device": "CPU, 2 cores",
    }  # fmt: skip


def test_rows_of_several_seeds_become_one():
    pooled = robust_training.pool([row("pgd-7", worst=40.0), row("pgd-7", worst=42.0, seed=1, bp=42.0)])
    assert pooled["measures"]["white-box/worst@0.1"]["value"] == 41.0 and pooled["seeds"] == [0, 1]
    assert len(pooled["trajectories"]) == 2 and pooled["training_s"] == [10.0, 11.0]
    assert pooled["hyperparameters"]["bp_epochs"] == 41.0
    other = row("pgd-7", seed=1)
    other["hyperparameters"]["epsilon"] = 0.2
    with pytest.raises(ValueError, match="differ in epsilon"):
        robust_training.pool([row("pgd-7"), other])


def test_the_best_method_comes_first_and_the_control_last():
    rows = [row("pgd-7", worst=30.0), row("standard", worst=99.0, role="control"), row("m+deat", worst=40.0)]
    table, cost = robust_training.robust_training_tables(rows)
    assert [line[0] for line in table.rows] == ["m+deat", "pgd-7", "standard"]
    assert [str(cell) for cell in table.rows[0][1:]] == ["80.0", "41.0", "40.0"]
    assert cost.rows[0][3].value in (30.0, 40.0, 99.0) and cost.columns[1] == "BP-epochs"
    text = tables.markdown(table)
    assert "worst@0.1 (n=1000)" in text and "published" not in text
    assert len(robust_training.trajectories(rows).axes) == 2


def test_the_published_value_stands_beside_the_measured_one():
    made = {**row("pgd-7", published=82.33), "model": "preact_resnet18@0.5"}
    table, _ = robust_training.robust_training_tables([made])
    assert str(table.rows[0][1]) == "80.0 (82.3)"
    assert any("2103.03076" in note for note in table.notes)


def test_a_seed_is_added_to_the_published_one(monkeypatch, tmp_path):
    monkeypatch.setattr(studies, "ROOT", tmp_path)
    folder = tmp_path / "results" / "measured" / "robust_training"
    folder.mkdir(parents=True)
    old, new = row("pgd-7", worst=40.0, seed=0), row("pgd-7", worst=44.0, seed=1)
    assert studies.with_published(new) == new
    result_row.save(new, folder)
    both = studies.with_published(old)  # in the order of the seeds, whichever came first
    assert both == robust_training.pool([old, new]) and both["seeds"] == [0, 1]
    assert both["measures"]["white-box/worst@0.1"]["values"] == [40.0, 44.0]
    with pytest.raises(ValueError, match="expected one other seed in each"):
        studies.with_published(new)
    result_row.save(both, folder)
    with pytest.raises(ValueError, match=r"seeds \[0, 1\] and \[2\], expected one other"):
        studies.with_published(row("pgd-7", seed=2))


def by_claim(rows):
    return {line[1]: line for line in deat_claims.deat_claims(rows).rows}


def test_claims_are_judged_by_what_was_measured():
    slow = (0.1, 0.15, 0.2, 0.25, 0.4)
    rows = [
        row("m+deat", worst=41.0, robust=(0.1, 0.3, 0.42, 0.42, 0.43)),
        row("free-8", worst=30.0, robust=slow), row("free-4", worst=41.0),
        row("m+trades", worst=49.5), row("trades", worst=40.0), row("pgd-7", robust=slow),
    ]  # fmt: skip
    found = by_claim(rows)
    verdicts = {claim: line[3] for claim, line in found.items()}
    assert verdicts == {
        "Redundant attack iterations hurt robustness late in training": "holds",
        "Keeping the quality of adversarial examples at a level is enough": "holds",
        "The gradient magnitude tracks the local Lipschitz constant": "holds",
        "Up to 40 % less time at equal robustness": "holds",
    }
    saved = found["Up to 40 % less time at equal robustness"][2]
    assert "39.0 % held out: free-8 after 39.5 BP-epochs, m+deat after 22.0 BP-epochs, 44 % fewer" in saved


def test_claims_that_were_not_measured_say_so():
    found = by_claim([row("fgsm-rs", robust=(0.1, 0.2))])
    assert {line[3] for line in found.values()} == {"not measured"}


def test_a_goal_that_is_never_reached_does_not_hold():
    rows = [row("m+deat", robust=(0.1, 0.2, 0.2, 0.2, 0.2)), row("free-8")]
    line = by_claim(rows)["Up to 40 % less time at equal robustness"]
    assert line[3] == "does not hold" and "m+deat never" in line[2]


def test_differences_within_the_intervals_decide_nothing():
    found = by_claim([row("free-4", worst=41.0), row("free-8", worst=40.0), row("m+mart"), row("mart", worst=40.5)])
    assert {line[3] for line in found.values()} == {"undecided", "not measured", "holds"}
    assert found["Keeping the quality of adversarial examples at a level is enough"][3] == "undecided"


def test_pairs_of_other_budgets_are_not_compared():
    found = by_claim([row("free-4", bp=20.0), row("free-8", bp=40.0)])
    assert found["Redundant attack iterations hurt robustness late in training"][3] == "not measured"


def test_verdicts():
    assert [claims.verdict(value, 1.0) for value in (2.0, 0.5, -2.0, None)] == [
        "holds", "undecided", "does not hold", "not measured",
    ]  # fmt: skip
    with pytest.raises(ValueError, match="expected one of"):
        claims.Claim("a", "b", "c", "maybe")
