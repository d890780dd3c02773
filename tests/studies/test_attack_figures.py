"""Figures over attacks, from small rows and sizes: what they show, and bytes that repeat."""

import numpy
import pytest

from reporting import figures
from studies.dare import figures_of_rows, report


def test_er_by_attack_has_a_panel_a_cell_and_writes_every_value(rows):
    narrow = [row | {"model": "vgg16"} for row in rows if row["method"] == "dare"]
    figure = figures_of_rows.er_by_attack([*rows, *narrow], ["dare", "absent", "swa"])
    whole, other, *_ = figure.axes
    assert whole.get_title() == "fashion_mnist\nalexnet" and other.get_title() == "fashion_mnist\nvgg16"
    assert [label.get_text() for label in whole.get_yticklabels()] == ["dare", "swa"]
    assert [label.get_text() for label in whole.get_xticklabels()] == ["FGSM", "PGD", "DeepFool"]
    assert [text.get_text() for text in whole.texts] == ["62\n(64)", "68\n(76)", "61", "67", "77", "66"]
    assert [text.get_text() for text in other.texts] == ["62\n(64)", "68\n(76)", "61"]
    with pytest.raises(ValueError, match="no row of absent"):
        figures_of_rows.er_by_attack(rows, ["absent"])


def test_names_beside_points_do_not_cover_each_other(rows):
    for row in rows:
        row["measures"]["white-box/pgd@0.02"] = row["measures"]["white-box/pgd@0.02"] | {"value": 50.0}
        row["measures"] = {**row["measures"], **{f"er/{name}": {"value": 60.0} for name in ("fgsm", "pgd", "deepfool")}}
    axis = figures_of_rows.transfer_against_white_box(rows, "white-box/pgd@0.02").axes[0]
    heights = sorted(text.get_position()[1] for text in axis.texts)
    low, high = axis.get_ylim()
    assert len(heights) == 5 and numpy.diff(heights).min() >= (high - low) / 30


def names(rows):
    return [name for name, *_ in report.figures(rows)]


def test_the_figure_of_all_cells_is_drawn_of_rows_with_er_alone(rows):
    *_, (name, caption, figure) = report.figures(rows)
    assert name == "er-by-attack" and "in brackets the published" in caption
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == [
        "dare",
        "adv-pgd",
        "weight-noise",
        "swa",
    ]
    assert "er-by-attack" not in names([row for row in rows if row["method"] == "original"])
    assert "er-by-attack" not in names([rows[0] | {"measures": {"clean": rows[0]["measures"]["clean"]}}])


def test_transfer_against_white_box_has_a_point_a_method(rows):
    figure = figures_of_rows.transfer_against_white_box(rows, "white-box/pgd@0.02")
    labels = {text.get_text(): text.xy for text in figure.axes[0].texts}
    assert set(labels) == {row["method"] for row in rows}
    dare = next(row for row in rows if row["method"] == "dare")["measures"]
    assert labels["dare"][0] == pytest.approx(
        numpy.mean([dare[f"er/{name}"]["value"] for name in ("fgsm", "pgd", "deepfool")])
    )
    assert labels["dare"][1] == dare["white-box/pgd@0.02"]["value"]
    with pytest.raises(ValueError, match="both an ER and white-box/none"):
        figures_of_rows.transfer_against_white_box(rows, "white-box/none")


def test_perturbation_sizes_are_shares_of_those_that_moved():
    sizes = {"fgsm": numpy.array([0, 0.1, 0.01]), "pgd": numpy.zeros(2), "cw": numpy.array([0.02])}
    figure = figures_of_rows.perturbation_sizes(sizes, "linf")
    lines = [line for line in figure.axes[0].lines if not line.get_label().startswith("_")]
    assert [line.get_label() for line in lines] == ["fgsm: median 0.055, n = 2", "cw: median 0.02, n = 1"]
    numpy.testing.assert_array_equal(lines[0].get_xdata(), [0.01, 0.1])
    numpy.testing.assert_array_equal(lines[0].get_ydata(), [50, 100])
    with pytest.raises(ValueError, match="all perturbations are zero"):
        figures_of_rows.perturbation_sizes({"pgd": numpy.zeros(3)}, "l2")


def test_bytes_repeat(rows, tmp_path):
    for name in "ab":
        figure = figures_of_rows.transfer_against_white_box(rows, "white-box/pgd@0.1")
        figures.save(figure, tmp_path / name, dpi=60)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
