"""Verdicts at one glance, pages of cells, and the list of deviations."""

import pytest

from reporting import claims, tables
from reporting.tables import Table
from studies import deviations, pages, verdicts


def judged(name, cell, *pairs):
    listed = [claims.Claim(text, "a paper", "seen", verdict) for text, verdict in pairs]
    return claims.table(name, cell, "claims", listed)


MADE = [
    Table("dare-digits-alexnet-er", "a table", ("method",), (("dare",),)),
    judged("dare-digits-alexnet-claims", "digits, alexnet", ("A", "holds"), ("B", "undecided")),
    judged("dare-mnist-alexnet-claims", "mnist, alexnet", ("A", "does not hold"), ("C", "not measured")),
    judged("classwise-mnist-alexnet-claims", "mnist, alexnet", ("D", "holds")),
]


def test_a_matrix_has_every_claim_and_every_cell():
    tables_by_name = {table.name: table for table in verdicts.tables(MADE)}
    assert list(tables_by_name) == ["verdicts", "verdicts-dare", "verdicts-classwise"]
    assert tables_by_name["verdicts-dare"].columns == ("claim", "digits, alexnet", "mnist, alexnet")
    assert tables_by_name["verdicts-dare"].rows == (
        ("A", "holds", "does not hold"),
        ("B", "undecided", "-"),
        ("C", "-", "not measured"),
    )
    assert tables_by_name["verdicts"].rows[-1][3:] == ("3", "2", "1", "1", "1"), (
        "cells, and each verdict over all studies"
    )
    assert verdicts.tables(MADE[:1]) == []


def test_a_page_holds_the_tables_of_its_cell_alone(rows, tmp_path):
    names = [f"dare-fashion_mnist-{cell}" for cell in ("alexnet-er", "alexnet@0.25-er", "alexnet")]
    cell_tables = [Table(name, f"title of {name}", ("method",), (("dare",),)) for name in names]
    (tmp_path / pages.FIGURES).mkdir(parents=True)
    for name in ("fashion_mnist-alexnet-robustness", "fashion_mnist-alexnet@0.25-robustness"):
        (tmp_path / pages.FIGURES / f"{name}.png").write_bytes(b"")
    written = pages.pages(rows, cell_tables, tmp_path)
    index = written.pop(pages.FOLDER / "README.md")
    assert "| [fashion_mnist, alexnet](fashion_mnist-alexnet.md) | DARE |" in index
    ((path, text),) = written.items()
    assert path == pages.FOLDER / "fashion_mnist-alexnet.md"
    assert f"title of {names[0]}" in text and f"title of {names[2]}" in text and names[1] not in text
    assert "alexnet-robustness.png" in text and "@0.25-robustness" not in text
    assert all(row["command"] in text for row in rows)


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("One thing. Another is so [D]. A third.", [("D", "Another is so.")]),
        ("Differences:\n\n1. [P] the first,\n   on two lines\n2. [I] the second", [
            ("P", "the first, on two lines"), ("I", "the second")]),
        ("What it is [P/I]. x: a parameter.", [("P/I", "What it is.")]),
        ("Nothing here.", []),
    ],
)  # fmt: skip
def test_tags_of_a_docstring(text, items):
    assert deviations.of_text(text) == items


def test_tags_of_a_file(tmp_path):
    (tmp_path / "a.py").write_text(
        '"""Module [D]."""\n\nSIZE = 3  # [D]; of grey images\n\n\ndef f():\n    """One [I]."""\n'
    )
    assert deviations.tagged(tmp_path / "a.py") == [
        ("D", "Module."),
        ("D", "`SIZE = 3`: of grey images"),
        ("I", "One."),
    ]


def test_the_scale_says_what_models_were_trained_on(rows):
    rows[0]["hyperparameters"] = {"source_epochs": 24, "images": 200}
    ((line),) = verdicts.scale(rows).rows
    assert line[:5] == ("DARE", "fashion_mnist, alexnet", "5", "1", "half of the set, 24 epochs")
    assert "10,000" in line[5] and tables.markdown(verdicts.scale(rows))
