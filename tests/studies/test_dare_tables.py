"""The DARE study's tables of synthetic rows."""

import statistics

import pytest

from reporting import row as result_row
from reporting import tables
from studies.dare import report
from studies.dare import tables as dare_tables


def by_name(rows):
    return {table.name.removeprefix("dare-fashion_mnist-alexnet-"): table for table in dare_tables.dare_tables(rows)}


def test_three_tables_in_the_papers_order(rows):
    tables_by_name = by_name(rows)
    assert list(tables_by_name) == ["er", "transfer", "white-box"]
    for table in tables_by_name.values():
        assert [cells[0] for cells in table.rows] == ["original", "dare", "adv-pgd", "weight-noise", "swa"]
    assert tables_by_name["er"].columns == (
        "method",
        "clean (n=10000)",
        "fgsm (n=950)",
        "pgd (n=950)",
        "deepfool (n=950)",
        "unseen",
    )
    assert tables_by_name["transfer"].columns[1:4] == (
        "fgsm held-out (n=480)",
        "fgsm ×1.1 (n=950)",
        "fgsm ×1.5 (n=950)",
    )
    assert tables_by_name["transfer"].columns[-1] == "worst case (n=930)"
    assert tables_by_name["white-box"].columns[1:] == (
        "pgd@0.02 (n=1000)",
        "pgd@0.1 (n=1000)",
        "median minimal fgsm (n=1000)",
    )


def test_what_changed_is_a_table_of_rows_that_know_it(rows):
    for row in rows:
        row["measures"] |= {"changed": {"value": 4.25, "n": 10000}, "nfr": {"value": 0.0, "n": 10000}}
    original = next(row for row in rows if row["method"] == "original")
    original["measures"]["rr"] = {"value": 30.0, "n": 1500}
    table = by_name(rows)["change"]
    assert table.columns == ("method", "clean (n=10000)", "changed (n=10000)", "RR (n=1500)", "NFR (n=10000)")
    assert [str(cell) for cell in table.rows[0][2:]] == ["4.25", "30.00", "0.00"]
    assert str(table.rows[1][3]) == "-" and len([note for note in table.notes if "original" in note]) >= 3


def test_what_was_moved_stands_beside_what_changed(rows):
    for row in rows:
        row["measures"]["br"] = {"value": 0.5, "n": 8800}
    dare = next(row for row in rows if row["method"] == "dare")
    dare |= {"weights_changed": [10, 20], "relative_change": [0.001, 0.003], "passes": [1280, 1280]}
    table = by_name(rows)["change"]
    assert table.columns[2:] == ("BR (n=8800)", "weights changed", "change, %", "passes")
    lines = {line[0]: [str(cell) for cell in line[3:]] for line in table.rows}
    assert lines["dare"] == ["15", "0.200", "1280"] and lines["swa"] == ["-", "-", "-"]
    assert {dare_tables.BREAK, *(fact[-1] for fact in dare_tables.EFFORT)} <= {*table.notes}


def test_what_seeds_moved_is_joined(synthetic):
    facts = [{"relative_change": [0.1, 0.3], "passes": [7000] * 2}, {"relative_change": [0.2], "passes": [9000]}]
    seeds = [
        synthetic.whole(synthetic.row("dare", "method", seeds=[seed], weights_changed=[seed], **own))
        for seed, own in enumerate(facts)
    ]
    pooled = report.pool(seeds)
    assert (pooled["weights_changed"], pooled["relative_change"]) == ([0, 1], [0.1, 0.3, 0.2])
    assert pooled["passes"] == [7000, 7000, 9000]
    older = result_row.detailed(seeds[1], relative_change=None)
    assert report.pool([seeds[0], older])["relative_change"] is None


def test_cells_of_the_robustness_table(rows):
    cells = {line[0]: [str(cell) for cell in line[1:]] for line in by_name(rows)["er"].rows}
    assert cells["dare"] == ["88.2 ± 0.0", "62.0 ± 0.4 (64.5)", "68.0 ± 0.4 (76.3)", "61.0 ± 0.4", "63.7"]
    assert cells["adv-pgd"][-1] == "76.0", "the mean of fgsm and deepfool, without its own attack"
    assert cells["swa"][1] == "66.6", "one repeat has no spread"


def test_notes_say_how_to_read(rows):
    notes = "\n".join(by_name(rows)["er"].notes)
    assert "DARE (learning rate 0.0001, combine intersection)" in notes
    assert (
        "All: width 0.25, epochs 24; seeds 0; repeats: 3 of dare, adv-pgd, weight-noise; 1 of original, swa." in notes
    )
    assert "fgsm: Linf, on the float32 cross-entropy, 1,000 sizes searched." in notes
    assert "at most ±3.1 points" in notes
    assert "Unverified" not in notes


def test_unverified_data_are_said_first(rows):
    for row in rows:
        row["verified"] = False
    for table in dare_tables.dare_tables(rows):
        assert any(note.startswith("Unverified data:") for note in table.notes)
    rows[0]["verified"] = True
    assert "Unverified data (original, dare, adv-pgd, weight-noise):" in tables.markdown(by_name(rows)["er"])


def test_missing_measures(rows):
    del rows[0]["measures"]["er/fgsm"]
    cells = {line[0]: [str(cell) for cell in line[1:]] for line in by_name(rows)["er"].rows}
    assert cells["swa"][1] == "-" and cells["swa"][-1] == "-"


def test_only_clean_accuracy_measured(synthetic):
    (table,) = dare_tables.dare_tables(
        [synthetic.row("original", "original", measures={"clean": synthetic.measure(88.4, n=99)})]
    )
    assert table.columns == ("method", "clean (n=99)")
    assert [str(cell) for cell in table.rows[0]] == ["original", "88.4"]


def test_unknown_names_come_last_of_their_role_and_counts_may_differ(synthetic):
    measures = {f"white-box/pgd@{epsilon}": synthetic.measure(1.0, n=5) for epsilon in (0.1, 0.02)}
    measures |= {"er/zoo": synthetic.measure(1.0, n=7), "er/cw": synthetic.measure(2.0, n=7)}
    rows = [
        synthetic.row("new", "method", measures=measures),
        synthetic.row("dare-s", "method", measures={"er/zoo": synthetic.measure(1.0, n=9)}),
    ]
    robustness, white_box = dare_tables.dare_tables(rows)
    assert robustness.columns == ("method", "cw (n=7)", "zoo (n=7-9)")
    assert white_box.columns == ("method", "pgd@0.02 (n=5)", "pgd@0.1 (n=5)")
    assert [line[0] for line in robustness.rows] == ["dare-s", "new"]


def test_one_set_of_tables_a_cell(synthetic):
    rows = [
        synthetic.row("original", "original", model=model, dataset=dataset)
        for dataset in ("svhn", "folder:a/b")
        for model in "ab"
    ]
    names = [table.name for table in dare_tables.dare_tables(rows)]
    assert names == ["dare-svhn-a-er", "dare-svhn-b-er", "dare-folder-a-b-a-er", "dare-folder-a-b-b-er"]


def test_distillation_has_met_no_attack(rows, synthetic):
    rows.append(synthetic.line("distillation", "baseline", 85.0, 30.0, 40.0, 50.0))
    cells = {line[0]: [str(cell) for cell in line[1:]] for line in by_name(rows)["er"].rows}
    assert cells["distillation"][-1] == "40.0", "the mean over all attacks"


def test_notes_of_several_white_box_attacks_and_other_norms(rows):
    few = "\n".join(by_name(rows)["white-box"].notes)
    assert "Attacks run in the order" not in few and "median minimal: Linf" in few
    for row in rows:
        row["measures"]["white-box/worst@0.1"] = row["measures"]["white-box/pgd@0.1"]
        row["measures"]["minimal/deepfool"] = row["measures"]["minimal/fgsm"]
        row["attacks"] = {**row["attacks"], "minimal/deepfool": {"attack": "deepfool", "norm": "l2"}}
    table = by_name(rows)["white-box"]
    many = "\n".join(table.notes)
    assert "Attacks run in the order" in many and "in the norm of the attack" in many and "minimal/deepfool: L2" in many
    assert table.columns[2:4] == ("pgd@0.1 (n=1000)", "worst@0.1 (n=1000)")


def test_bad_rows(synthetic):
    with pytest.raises(ValueError, match="two rows of fashion_mnist-alexnet-dare"):
        dare_tables.dare_tables([synthetic.row("dare", "method"), synthetic.row("dare", "method")])
    with pytest.raises(ValueError, match="role 'extra'; expected a title and a role of original, method"):
        dare_tables.dare_tables([synthetic.row("dare", "extra")])


def test_spread_is_of_repeats(synthetic):
    measure = synthetic.line("dare", "method", 88.0, 60.0, 60.0, 60.0)["measures"]["er/fgsm"]
    assert measure["spread"] == pytest.approx(statistics.stdev(measure["values"]))
