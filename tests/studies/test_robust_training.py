"""Tables and figure of robust training, published values, and seeds added up."""

import csv

import pytest

from reporting import published, tables
from reporting import row as result_row
from studies import catalogue, publish
from studies.robust_training import claims, figures
from studies.robust_training import tables as robust_tables
from train.robust import METHODS


@pytest.fixture
def row(robust_row):
    return robust_row


def test_rows_of_several_seeds_become_one(row):
    pooled = robust_tables.pool([row("pgd-7", worst=40.0), row("pgd-7", worst=42.0, seed=1, bp=42.0)])
    assert pooled["measures"]["white-box/worst@0.1"]["value"] == 41.0 and pooled["seeds"] == [0, 1]
    assert len(pooled["trajectories"]) == 2 and pooled["training_s"] == [10.0, 11.0]
    assert pooled["hyperparameters"]["bp_epochs"] == 41.0
    other = row("pgd-7", seed=1)
    other["hyperparameters"]["epsilon"] = 0.2
    with pytest.raises(ValueError, match="differ in epsilon"):
        robust_tables.pool([row("pgd-7"), other])


def test_rows_of_a_cyclic_rate_without_its_momentum_are_marked(row):
    old, new = row("pgd-7"), row("free-8")
    old["hyperparameters"]["setup"] = {"title": "fast", "epochs": 10, "cyclic": True}
    new["hyperparameters"]["setup"] = {**old["hyperparameters"]["setup"], "momentum_at_peak": 0.8}
    for rows, words in (([old, new], "To be retrained (pgd-7): "), ([old], "To be retrained: "), ([new], None)):
        for table in (*robust_tables.robust_training_tables(rows), claims.deat_claims(rows)):
            marked = [note for note in table.notes if note.startswith("To be retrained")]
            assert [note[: len(words)] for note in marked] == [words] if words else not marked, table.name


def test_the_best_method_comes_first_and_the_control_last(row):
    rows = [row("pgd-7", worst=30.0), row("standard", worst=99.0, role="control"), row("m+deat", worst=40.0)]
    table, cost = robust_tables.robust_training_tables(rows)
    assert [line[0] for line in table.rows] == ["m+deat", "pgd-7", "standard"]
    assert [str(cell) for cell in table.rows[0][1:]] == ["80.0", "41.0", "40.0"]
    assert cost.columns[:5] == ("method", "BP-epochs", "seconds", "probes", "worst case")
    assert cost.rows[0][4].value in (30.0, 40.0, 99.0) and cost.rows[0][3].value is None
    text = tables.markdown(table)
    assert "worst@0.1 (n=1000)" in text and "published" not in text


def test_best_last_and_their_difference_stand_in_a_line_with_the_chance_level(row):
    rows = [row("pgd-7", worst=40.0, seed=seed) for seed in range(2)]
    rows[1]["measures"]["last/white-box/worst@0.1"] |= {"value": 36.0, "values": [36.0]}
    table, cost = robust_tables.robust_training_tables([robust_tables.pool(rows)])
    line = dict(zip(cost.columns, cost.rows[0], strict=True))
    fall = line["best - last: worst case"]
    assert (fall.value, round(fall.spread, 3)) == (2.5, 2.121) and line["best - last: clean"].value == -1.0
    assert line["worst case"].value - line["last: worst case"].value == fall.value
    for each in (table, cost):
        assert any("about 10.0 % in every column" in note for note in each.notes)


def test_the_figure_has_a_panel_for_each_kind_of_method_and_one_of_test_images(row):
    rows = [row("pgd-7", worst=30.0), row("standard", worst=99.0, role="control"), row("m+deat", worst=40.0)]
    figure = figures.trajectories([*rows, row("fat"), row("free-8")])
    assert [axis.get_title() for axis in figure.axes] == [*figures.KINDS[:3], "test images, selected epoch"]
    replayed = figure.axes[0]
    assert [text.get_text() for text in replayed.get_legend().get_texts()] == ["m+deat", "free-8"]
    clean = [line for line in replayed.lines if line.get_linestyle() == ":"]
    assert (len(clean), len(replayed.lines)) == (2, 2 + 5), "of its own kind; under attack of all"
    assert len(figures.trajectories(rows[1:2]).axes) == 1
    points = figure.axes[-1]
    assert {text.get_text() for text in points.texts} == {"pgd-7", "m+deat", "fat", "free-8"}
    assert points.get_ylim()[0] > 0
    kinds = {figures.kind(name) for name in METHODS}
    assert kinds == {*figures.KINDS, None}


def test_every_method_of_a_kind_has_a_colour_of_its_own():
    kinds = [figures.kind(name) for name in METHODS]
    assert max(map(kinds.count, figures.KINDS)) <= len(set(figures.COLOURS))


def test_the_published_value_stands_beside_the_measured_one(row):
    measured = {**row("pgd-7", published=82.33), "model": "preact_resnet18@0.5"}
    table, _ = robust_tables.robust_training_tables([measured])
    assert str(table.rows[0][1]) == "80.0 (82.3)"
    assert any("2103.03076" in note for note in table.notes)


def test_seconds_of_seeds_far_apart_are_not_averaged(row):
    alike = [result_row.detailed(row("pgd-7", seed=seed), probe_s=[2.0]) for seed in range(2)]
    busy = [result_row.detailed(row("free-8", seed=seed), training_s=[10.0 + 20 * seed]) for seed in range(2)]
    rows = [robust_tables.pool(both) for both in (alike, busy)]
    _, cost = robust_tables.robust_training_tables(rows)
    assert {line[0]: (line[2].value, line[3].value) for line in cost.rows} == {
        "pgd-7": (10.5, 2.0),
        "free-8": (None, None),
    }


def test_the_published_values_of_robust_training():
    value = published.robust("cifar10", "preact_resnet18@0.5", "PGD-7", "clean", 8 / 255)
    assert value == 82.33
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


def test_the_published_values_of_robust_overfitting():
    values = {"selected": (None, 81.18, 55.39), "last": (200, 81.65, 54.3)}
    for epochs, *expected in values.values():
        for measure, value in zip(("clean", "white-box/pgd-20@8/255"), expected, strict=True):
            of = METHODS["awp"].published, measure, 8 / 255, epochs
            assert published.robust("cifar10", "preact_resnet18@0.5", *of, setup="rice") == value
            assert published.robust("cifar10", "preact_resnet18", *of, setup="standard") is None
            assert published.robust("svhn", "preact_resnet18", *of, setup="rice") is None
    of = METHODS["sat"].published, "white-box/worst@0.031", 0.031
    assert published.robust("cifar10", "wrn_34_10", *of, setup="sat") == 53.34
    with open(published.FOLDER / "robust_overfitting.csv", newline="", encoding="utf-8") as file:
        assert {line["method"] for line in csv.DictReader(file)} >= {
            METHODS[name].published for name in ("pgd-10", "awp", "trades-awp", "sat", "nuat2", "nuat2-wa")
        }


def test_published_values_stand_beside_deats_own_settings():
    with open(published.FOLDER / "deat_cifar10_preact18.csv", newline="", encoding="utf-8") as file:
        rows = {line["method"] for line in csv.DictReader(file)}
    published_rows = [method.published for method in METHODS.values()]
    assert rows <= set(published_rows) and all(published_rows.count(row) == 1 for row in rows)
    assert {name for name in METHODS if name.endswith("-deat")} < {
        name for name, method in METHODS.items() if method.published in rows
    }


def test_the_last_epochs_measures_with_published_values_have_columns(row, synthetic):
    measured = {**row("pgd-7"), "model": "resnet18"}
    measured["measures"]["last/white-box/pgd-7@8/255"] = synthetic.measure(46.0, published=47.87)
    _, cost = robust_tables.robust_training_tables([measured])
    assert cost.columns[-2] == "last: pgd-7@8/255" and str(cost.rows[0][-2]) == "46.0 (47.9)"


def test_published_rows_were_selected_by_todays_rule():
    for row in catalogue.of_study(publish.measured(), "robust_training"):
        epoch = row["hyperparameters"].get("selected_epoch")
        if epoch is not None:  # of one seed
            course = row["trajectories"][0]
            by = "probe_clean" if row["role"] == "control" else "probe_robust"
            learnt = course.get("probe_learnt", [1.0] * len(course[by]))
            ranks = zip(learnt, course[by], course["probe_clean"], strict=True)
            assert epoch == max(enumerate(ranks, 1), key=lambda each: (each[1], -each[0]))[0], row["method"]


def test_a_seed_is_added_to_the_published_one(row, monkeypatch, tmp_path):
    monkeypatch.setattr(publish, "ROOT", tmp_path)
    folder = tmp_path / "results" / "measured" / "robust_training"
    folder.mkdir(parents=True)
    old, new = row("pgd-7", worst=40.0, seed=0), row("pgd-7", worst=44.0, seed=1)
    assert publish.with_published(new) == new
    result_row.save(new, result_row.path_of(new, folder))
    both = publish.with_published(old)  # in the order of the seeds, whichever came first
    assert both == robust_tables.pool([old, new]) and both["seeds"] == [0, 1]
    assert both["measures"]["white-box/worst@0.1"]["values"] == [40.0, 44.0]
    with pytest.raises(ValueError, match=r"published with seeds \[1\], and so is the new row's \[1\]"):
        publish.with_published(new)
    result_row.save(both, result_row.path_of(both, folder))
    third = row("pgd-7", worst=51.0, seed=2)
    assert publish.with_published(third) == robust_tables.pool([old, new, third]), "whole, or one after the other"
