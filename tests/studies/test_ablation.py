"""The study of DARE's choices: its tables and figure from rows that are written down here."""

import pytest

from reporting import figures, statistics, tables
from studies.ablation import figures as ablation_figures
from studies.ablation import tables as ablation_tables

BASE = {"combine": "intersection", "source": "surest", "layer": "conv5", "learning_rate": 1e-4, "steps": 10}


def row(factor, level, er, noise, clean=89.0):
    measures = {"clean": (clean, 0.1), "noise-clean": (89.0, 0.1)}
    measures |= {
        "er/fgsm": (er - 2, 1.0),
        "er/pgd": (er + 2, 3.0),
        "noise-er/fgsm": (noise, 1),
        "noise-er/pgd": (noise, 1),
    }
    return {
        "dataset": "digits",
        "model": "alexnet@0.2",
        "factor": factor,
        "hyperparameters": BASE | ({} if factor == "published" else {factor: level}),
        "change": [0.01, None, 0.02],
        "seeds": [0, 1],
        "repeats": 6,
        "measures": {name: {"value": value, "spread": spread, "n": 200} for name, (value, spread) in measures.items()},
    }


@pytest.fixture
def rows():
    return [
        row("steps", 30, 70, 40),
        row("steps", 1, 30, 10),
        row("combine", None, 62, 31),
        row("published", None, 60, 30),
        row("learning_rate", 1e-2, 90, 80, clean=10.0),
        row("learning_rate", 1e-5, 50, 10),
    ]


def test_lines_are_grouped_by_choice_and_ordered_by_level(rows):
    table, _ = ablation_tables.tables(rows)
    assert table.name == "ablation-digits-alexnet@0.2"
    assert [line[0] for line in table.rows] == [
        "as published",
        "slices combined by none",
        "learning rate 1e-05",
        "learning rate 0.01",
        "steps 1",
        "steps 30",
    ]
    first = table.rows[0]
    assert [cell.value for cell in first[1:]] == [89.0, 58, 62, 30, pytest.approx(1.5)]
    assert "layer conv5, learning rate 0.0001, 10 steps" in table.notes[0]


def test_effects_leave_out_levels_that_cost_accuracy(rows):
    effects = ablation_tables.effects(rows)
    assert [ablation_tables.mean_er(level) for level in effects["learning_rate"]] == [50, 60]
    _, table = ablation_tables.tables(rows)
    lines = {line[0]: line for line in table.rows}
    assert [line[0] for line in table.rows] == ["steps", "learning rate", "slices combined by"]
    _, low, low_er, high, high_er, span, beyond = lines["steps"]
    assert (low, low_er.value, high, high_er.value, span.value) == ("1", 30, "30", 70, 40)
    assert beyond.value == 10  # 70 - 40, 60 - 30, 30 - 10: 30, 30, 20
    gap = statistics.largest_gap([60, 120, 140], [200] * 3)
    assert (span.low, span.high) == (pytest.approx(100 * gap.low), pytest.approx(100 * gap.high)) and span.low > 20
    small = lines["slices combined by"][5]
    assert (small.value, small.low) == (pytest.approx(2), 0) and small.high > 10, "whether it matters is open"
    assert (
        f"slices combined by {100 * statistics.detectable(statistics.largest_gap([120, 124], [200] * 2)):.1f}"
        in (table.notes[2])
    )
    assert tables.markdown(table) and tables.latex(table) and tables.to_csv(table)


def test_figure_has_a_panel_a_choice(rows, tmp_path):
    figure = ablation_figures.draw_cell(rows)
    assert [axis.get_title() for axis in figure.axes] == ["slices combined by", "learning rate", "steps"]
    assert [text.get_text() for text in figure.axes[1].get_xticklabels()] == ["1e-05", "0.0001", "0.01"]
    figures.save(figure, tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 5000
