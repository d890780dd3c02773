"""Warnings beside numbers that may be too high: in every table, figure and chart of rows with raised checks."""

import pytest

from adv import attacks, checks
from reporting import marks, tables
from studies import page
from studies.dare import differences, figures_of_rows
from studies.dare import tables as dare_tables

BAD = [
    {"name": "gradient", "passed": False, "seen": "none", "expected": "some"},
    {"name": "batch", "passed": True, "seen": "", "expected": ""},
]


@pytest.fixture
def raised(rows):
    """The rows of a cell, two with white-box worst cases, the baseline with a check that was raised."""
    for row in rows:
        row["checks"] = BAD if row["role"] == "baseline" else []
        row["measures"]["white-box/worst@0.02"] = row["measures"]["white-box/pgd@0.02"]
    return rows


def test_a_label_is_marked_where_a_check_was_raised(raised):
    names = {str(marks.label(row)) for row in raised}
    assert names == {"swa", "adv-pgd †", "weight-noise", "dare", "original"}
    assert marks.raised(raised[1]) == ("gradient",) and marks.raised({"method": "a"}) == ()
    sound, left_out = marks.sound(raised)
    assert [row["method"] for row in sound] == ["swa", "weight-noise", "dare", "original"]
    assert left_out == ["Left out because a check was raised: adv-pgd (gradient)."]
    assert marks.sound(sound) == (sound, [])


def test_every_table_of_the_study_marks_the_line_and_names_the_check(raised):
    raised[1]["differences"] = {
        "swa": {"clean": {"value": 1.0, "interval": [0.5, 1.5], "n": 100, "runs": [1.0], "p": None, "why": ""}}
    }
    study_tables = [*dare_tables.dare_tables(raised), *differences.difference_tables(raised)]
    assert len(study_tables) == 5
    for table in study_tables:
        marked = [line[0] for line in table.rows if "adv-pgd" in str(line[0])]
        assert marked and all(str(label).endswith(" †") for label in marked), table.name
        assert sum("† Checks raised: adv-pgd (gradient)" in note for note in table.notes) == 1, table.name
        assert not any("†" in str(line[0]) for line in table.rows if "adv-pgd" not in str(line[0]))
        assert "adv-pgd †" in tables.markdown(table) or "adv-pgd vs. swa †" in tables.markdown(table)
        assert r"$\dagger$" in tables.latex(table)
        header, *lines = tables.to_csv(table).splitlines()
        assert header.split(",")[1] == f"{table.columns[0]} checks raised"
        assert [line.split(",")[1] for line in lines if "adv-pgd" in line] == ["gradient"] * len(marked)


def test_tables_without_a_raised_check_have_no_dagger(rows):
    for table in dare_tables.dare_tables(rows):
        assert "†" not in tables.markdown(table) and "checks raised" not in tables.to_csv(table)


def hollow(figure):
    """The labels of the texts beside hollow markers are those with a dagger; whether a legend explains it."""
    [axis] = figure.axes
    faces = [line.get_markerfacecolor() for line in axis.lines if line.get_marker() == "o"]
    texts = [text.get_text() for legend in figure.legends for text in legend.get_texts()]
    return faces.count("white"), any("checks raised" in text for text in texts)


def test_figures_show_hollow_markers_and_say_what_they_are(raised, rows):
    figure = figures_of_rows.transfer_against_white_box(raised, "white-box/pgd@0.02")
    assert "adv-pgd †" in {text.get_text() for text in figure.axes[0].texts} and hollow(figure) == (1, True)
    bars = figures_of_rows.robustness(raised)
    assert "adv-pgd †" in [label.get_text() for label in bars.axes[0].get_yticklabels()]
    heat = figures_of_rows.er_by_attack(raised, ["dare", "adv-pgd"])
    assert [label.get_text() for label in heat.axes[0].get_yticklabels()] == ["dare", "adv-pgd †"] and heat.legends
    for row in rows:
        row["checks"] = []
    assert hollow(figures_of_rows.transfer_against_white_box(rows, "white-box/pgd@0.02")) == (0, False)


def test_the_page_marks_lines(raised):
    method, place = page.SHOWN.index("method"), page.SHOWN.index("checks raised")
    assert {line[method]: line[place] for line in page.lines(raised)} == {
        "swa": "", "adv-pgd": "† gradient", "weight-noise": "", "dare": "", "original": "",
    }  # fmt: skip


def saturating(row, share):
    row["checks"] = [{"name": "saturated", "passed": share < 50, "seen": "", "expected": "", "value": share}]


def test_saturation_stands_beside_white_box_numbers(rows):
    table = next(table for table in dare_tables.dare_tables(rows) if table.name.endswith("white-box"))
    assert table.columns[-1] != "saturated, %" and table.notes[-1].endswith("(docs/checks.md): not measured.")
    saturating(rows[0], 1.0)
    saturating(rows[1], 97.5)
    table = next(table for table in dare_tables.dare_tables(rows) if table.name.endswith("white-box"))
    assert table.columns[-1] == "saturated, %"
    cells = {str(line[0]): str(line[-1]) for line in table.rows}
    assert cells == {
        "original": "not measured", "dare": "not measured", "adv-pgd †": "97.5", "weight-noise": "not measured",
        "swa": "1.0",
    }  # fmt: skip
    [note] = marks.saturation(rows)
    assert note.endswith("%: swa 1.0; adv-pgd 97.5; not measured: weight-noise, dare, original.")


def specifications(*names):
    return {f"white-box/{name}": attacks.get(name).specification() for name in names}


def test_a_worst_case_without_apgd_t_is_marked(raised):
    for row in raised:
        row["attacks"] = specifications("pgd", "apgd-ce")
    raised[0]["attacks"] |= specifications("apgd-t")
    table = next(table for table in dare_tables.dare_tables(raised) if table.name.endswith("white-box"))
    [sentence] = [note for note in table.notes if note.startswith("worst of")]
    assert sentence == (
        "worst of pgd, apgd-ce: neither APGD-T nor AutoAttack is among them, so this is no worst case and true "
        "robustness may be lower (original, dare, adv-pgd, weight-noise)."
    )
    figure = figures_of_rows.transfer_against_white_box(raised, "white-box/worst@0.02")
    assert "worst of pgd, apgd-ce; without APGD-T" in figure.axes[0].get_ylabel()
    for row in raised:
        row["attacks"] = specifications("pgd", "cw-linf-20")
    assert marks.weak(raised[0]) == "pgd, cw-linf-20", "PGD on the margin is no APGD-T"
    for row in raised:
        row["attacks"] = specifications("pgd", "apgd-t")
    assert marks.margins(raised) == [] and not marks.weak(raised[0])


def test_the_worst_case_of_the_white_box_study_is_read_from_its_runs():
    row = {"method": "own", "measures": {"white-box/worst@0.1": {}}, "attacks": {}}
    runs = {}
    row["attacks"]["white-box/worst"] = {"worst case of": "fgsm, pgd-restarts", "runs": runs}
    runs |= {"0": attacks.get("fgsm").specification(), "1": attacks.get("pgd").specification()}
    assert marks.weak(row) == "fgsm, pgd-restarts"
    runs["2"] = attacks.get("apgd-t").specification()
    assert marks.weak(row) == ""


def test_the_transfer_table_says_what_became_of_images_on_which_an_attack_failed(rows):
    def note():
        table = next(table for table in dare_tables.dare_tables(rows) if table.name.endswith("transfer"))
        return next(sentence for sentence in table.notes if sentence.startswith("worst case"))

    assert note().endswith("images on which an attack failed are left out.")
    for row in rows:
        row["measures"]["er/worst"]["failed"] = 12
    assert note().endswith("on 12 of 930 images some attack failed; a failed attack counts as correct.")
    rows[0]["measures"]["er/worst"]["failed"] = 0
    assert "every attack succeeded on each image (swa)" in note()
    del rows[0]["measures"]["er/worst"]["failed"]
    assert "are left out (swa)" in note() and "counts as correct (original, dare" in note()


def test_a_warning_is_one_line(capsys):
    marks.warn("train", [checks.Check("chance", False, "3 of 32", "more than 6"), checks.Check("b", True, "", "")])
    assert capsys.readouterr().out == (
        "train: checks raised: chance (3 of 32; expected more than 6): see docs/checks.md\n"
    )
    marks.warn("train", [checks.Check("b", True, "", "")])
    assert capsys.readouterr().out == ""
