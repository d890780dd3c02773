"""Cells, formats and files of tables."""

import csv
import io
import math

import pytest
import rich.console

from reporting import tables
from reporting.tables import Cell, Table


def small(**changes):
    fields = {
        "name": "study-a_b",
        "title": "Share of x_test, %",
        "columns": ("method", "fgsm (n=9)", "size"),
        "rows": (("dare", Cell(61.249, 0.26, 70.1), Cell(0.0031, digits=5)), ("a|b_<i>", Cell(None), Cell(math.inf))),
        "notes": ("100 % of <all> | ± 1",),
    }
    return Table(**fields | changes)


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (Cell(61.249, 0.26, 70.1), "61.2 ± 0.3 (70.1)"),
        (Cell(61.249), "61.2"),
        (Cell(61.25, 0.0), "61.2 ± 0.0"),
        (Cell(61.35), "61.4"),
        (Cell(100.0, None, 99.96), "100.0 (100.0)"),
        (Cell(-0.04), "0.0"),
        (Cell(None), "-"),
        (Cell(None, None, 70.1), "- (70.1)"),
        (Cell(math.nan, 1.0), "-"),
        (Cell(math.inf, math.nan), "∞"),
        (Cell(0.003137, 0.000012, digits=5), "0.00314 ± 0.00001"),
    ],
)
def test_cell_text(cell, text):
    assert str(cell) == text


def test_markdown():
    assert tables.markdown(small()) == (
        "**Share of x_test, %**\n"
        "\n"
        "| method | fgsm (n=9) | size |\n"
        "|:--|--:|--:|\n"
        "| dare | 61.2 ± 0.3 (70.1) | 0.00310 |\n"
        "| a\\|b_&lt;i> | - | ∞ |\n"
        "\n"
        "- 100 % of &lt;all> \\| ± 1\n"
    )


def test_columns_that_are_read_stand_left():
    lines = ("a", "+1.2, -3.0", "said"), ("b", "p = 0.03 (n = 9)", "-")
    table = small(columns=("method", "fgsm", "note"), rows=lines)
    assert "|:--|--:|:--|" in tables.markdown(table)
    assert r"\begin{tabular}{lrl}" in tables.latex(table)


def test_latex_is_escaped():
    text = tables.latex(small())
    assert r"dare & 61.2 $\pm$ 0.3 (70.1) & 0.00310 \\" in text
    assert r"a\textbar{}b\_\textless{}i\textgreater{} & - & $\infty$ \\" in text
    assert r"\caption{Share of x\_test, \%}" in text and r"\label{tab:study-a-b}" in text
    assert tables.escape("a\\b ~^ {#&$}\n×") == (
        r"a\textbackslash{}b \textasciitilde{}\textasciicircum{} \{\#\&\$\} $\times$"
    )
    assert text.count("&") == 2 * 3


def test_csv_keeps_whole_numbers_apart():
    lines = list(csv.reader(io.StringIO(tables.to_csv(small()))))
    assert lines == [
        ["method", "fgsm", "fgsm sd", "fgsm published", "fgsm n", "size"],
        ["dare", "61.249", "0.26", "70.1", "9", "0.0031"],
        ["a|b_<i>", "", "", "", "9", "inf"],
    ]


def test_csv_has_each_heading_once_and_no_negative_zero():
    columns = ("change", "from", "ER", "to", "ER", "clean (n=7-9)")
    row = ("steps", "1", Cell(-0.0), "300", Cell(84.91499999999999), Cell(-1.5e-17))
    lines = list(csv.reader(io.StringIO(tables.to_csv(small(columns=columns, rows=(row,))))))
    assert lines == [
        ["change", "from", "from: ER", "to", "to: ER", "clean", "clean n"],
        ["steps", "1", "0.0", "300", "84.915", "-1.5e-17", "7-9"],
    ]


def test_print_table_takes_brackets_as_text():
    console = rich.console.Console(file=io.StringIO(), width=100)
    tables.print_table(small(title="[bold]title[/bold]", notes=("[0, 1]",)), console)
    printed = console.file.getvalue()
    assert "[bold]title[/bold]" in printed and "61.2 ± 0.3 (70.1)" in printed and "[0, 1]" in printed


def test_write(tmp_path):
    paths = tables.write([small()], tmp_path / "new")
    assert [path.name for path in paths] == ["study-a_b.md", "study-a_b.tex", "study-a_b.csv"]
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == sorted(path.name for path in paths)
    assert paths[0].read_text(encoding="utf-8") == tables.markdown(small())


def test_row_of_wrong_length():
    with pytest.raises(ValueError, match="a row of 2 cells under 3 columns"):
        small(rows=(("dare", Cell(1.0)),))


def test_print_table_does_not_fold_where_there_is_no_terminal(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    columns = ("method", *(f"attack-{number} (n=1000)" for number in range(6)))
    tables.print_table(small(columns=columns, rows=(("dare", *[Cell(61.2)] * 6),), notes=("x " * 60,)))
    out = capsys.readouterr().out
    assert all(column in out for column in columns)
    assert "x " * 59 in out
