"""A gap in a row is named and left out; all other tables, figures and cells are made."""

import dataclasses

import pytest

from reporting import row, tables
from studies import catalogue, publish

RAISED = [{"name": "gradient", "passed": False, "seen": "none", "expected": "some"}]


def cell(study):
    """Some published rows of a study's first cell: of each role the first two, and the last four."""
    rows = row.load_all(publish.ROOT / "results" / "measured" / study)
    rows = [row for row in rows if (row.dataset, row.model) == (rows[0].dataset, rows[0].model)]
    roles = [row.role for row in rows]
    return [row for place, row in enumerate(rows) if roles[:place].count(row.role) < 2 or place >= len(rows) - 4]


def without(row, *prefixes):
    return dataclasses.replace(row, measures={k: v for k, v in row.measures.items() if not k.startswith(prefixes)})


GAPS = {
    "one row": lambda rows: rows[:1],
    "another row": lambda rows: rows[-1:],
    "no adversarial of fgsm": lambda rows: [without(row, "er/fgsm", "er-heldout", "noise-er/fgsm") for row in rows],
    "no adversarial": lambda rows: [without(row, "er", "noise-er") for row in rows],
    "no minimal perturbation": lambda rows: [
        dataclasses.replace(row, measures={
            name: {**each, "value": None, "spread": None} if name.startswith("minimal") else each
            for name, each in row.measures.items()
        }) for row in rows
    ],
    "every check raised": lambda rows: [dataclasses.replace(row, checks=RAISED) for row in rows],
    "one check raised": lambda rows: [dataclasses.replace(rows[0], checks=RAISED), *rows[1:]],
    "no checks": lambda rows: [dataclasses.replace(row, checks=None) for row in rows],
    "no rows": lambda rows: [],
}  # fmt: skip


@pytest.mark.parametrize("gap", GAPS)
@pytest.mark.parametrize("study", catalogue.STUDIES)
def test_a_gap(study, gap):
    rows, left_out = GAPS[gap](cell(study)), []
    for table in catalogue.tables(rows, left_out):
        assert tables.markdown(table) and tables.latex(table) and tables.to_csv(table)
    for _ in catalogue.figures(rows, left_out):
        pass
    assert left_out == []


def test_what_cannot_be_made_is_said_and_the_rest_is_there():
    whole, broken = cell("ablation"), cell("guided_retraining")
    broken[0] = dataclasses.replace(broken[0], details={})
    left_out = []
    assert catalogue.tables(whole + broken, left_out) == catalogue.tables(whole)
    assert left_out[0].startswith("tables of guided_retraining, incomplete after an error: there is no '")
    assert [name for name, *_ in catalogue.figures(whole + broken, left_out)] and len(left_out) == 2
    with pytest.raises(KeyError):
        catalogue.tables(whole + broken)
