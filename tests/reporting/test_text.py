"""Hostile and odd names in documents: one line of text each, never a part of the markup."""

import csv
import io
import json
import math

import matplotlib.text
import pytest
import rich.console

from data import files
from reporting import document_sections, figures, report, row, tables, text

NAMES = ["<img src=x onerror=ran()>", "<!-- end generated -->", "[x](javascript:ran())", "[x][y]", "![x](//z)", "a|b"]
NAMES += ["\\", "\\|", "\\](x)", "&lt;b&gt;", "&#60;b", "`", "``|`", "$\\frac", "$x$", "{", "\\input{/etc/passwd}", "%"]
BROKEN = ["a\nb", "a\r\nb", "a\u2028b", "\u202etxt", "\u2066x", "a\x00b", "a\x1b[2Jb", "\ud800", "a\x85b"]


def table(name):
    return tables.Table("t", name, ("method", name), ((name, tables.Cell(1.0)),), (name,))


@pytest.mark.parametrize("name", NAMES + BROKEN)
def test_a_name_stays_in_its_line_and_cell(name):
    markdown = tables.markdown(table(name))
    assert len(markdown.splitlines()) == 7 and all(line.isprintable() for line in markdown.splitlines())
    for line in markdown.splitlines()[2:5]:
        assert line.replace("\\\\", "").replace("\\|", "").count("|") == 3
    assert "<" not in markdown and "](" not in markdown.replace("\\\\", "").replace("\\]", "")
    assert not document_sections.END.search(markdown)
    assert len(tables.latex(table(name)).splitlines()) == 13


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a|b_<i>", "a\\|b_&lt;i>"),
        ("[x](javascript:ran())", "[x\\](javascript:ran())"),
        ("[x]: javascript:ran()", "[x\\]: javascript:ran()"),
        ("[0, 1]: 95 % of it", "[0, 1]: 95 % of it"),
        ("&lt; & b", "&amp;lt; & b"),
        ("\\](x)", "\\\\\\](x)"),
        ("$x$", "\\$x\\$"),
        ("a\u2028\u202eb", "a U+202Eb"),
        ("a\x1b[2Jb", "aU+001B[2Jb"),
    ],
)
def test_markdown(name, expected):
    assert text.markdown(name) == expected


@pytest.mark.parametrize(("line", "expected"), [("a `b` <c>", "`` a `b` <c> ``"), ("a|b", "`a\\|b`"), ("`", "`` ` ``")])
def test_code(line, expected):
    assert text.code(line) == expected


@pytest.mark.parametrize("name", ["[x]", "*"])
def test_no_cell_is_an_option_of_the_line_before_it(name):
    assert f"{{}}{name} & 1.0 \\\\\n" in tables.latex(table(name))


@pytest.mark.parametrize(
    ("cell", "expected"), [("=1", "'=1"), ("@x", "'@x"), ("+x", "'+x"), ("-", "-"), ("-1.5", "-1.5")]
)
def test_a_spreadsheet_computes_no_name(cell, expected):
    sheet = tables.to_csv(tables.Table("t", "t", ("a",), ((cell,), (tables.Label(cell, ("x",)),))))
    assert [line[0] for line in csv.reader(io.StringIO(sheet))][1:] == [expected, expected]


def test_a_terminal_is_sent_no_command():
    console = rich.console.Console(file=io.StringIO(), width=100)
    tables.print_table(table("a\x1b[2Jb"), console)
    assert "\x1b" not in console.file.getvalue() and "aU+001B[2Jb" in console.file.getvalue()


@pytest.mark.parametrize("name", NAMES + BROKEN)
def test_a_report_of_it(name, tmp_path):
    figure, axes = figures.panels(1, 1, (2, 2))
    axes[0, 0].set_title(name if text.shown(name) == name else "a")
    facts = {"dataset": name, "versions": {name: name}, "commands": [name, name], name: name}
    path = report.write_report(
        tmp_path, title=name, tables=[table(name)], figures=[("a", name, figure)], facts=facts, left_out=[name]
    )
    outside = "".join(part for part in path.read_text(encoding="utf-8").split("`")[::2])
    assert "<img" not in outside and "<!--" not in outside and "](javascript" not in outside.replace("\\](", "")


def test_a_dollar_in_a_figure_is_no_formula_but_the_numbers_of_its_axes_are(tmp_path):
    figure, axes = figures.panels(1, 1, (3, 3))
    axis = axes[0, 0]
    axis.set_title("$\\frac")
    axis.set_xlabel("$x$ and $\\nonsense$")
    axis.plot([1, 2], [0.001, 1000], label="$\\label$")
    axis.set_yscale("log")
    axis.set_xticks([1, 2], ["$\\frac$", "$x$"])
    axis.legend()
    figures.save(figure, tmp_path / "a.png")
    labels = [label.get_text() for label in figure.findobj(matplotlib.text.Text) if label.get_parse_math()]
    formulas = [label for label in labels if "$" in label]
    assert formulas and all("mathdefault" in label for label in formulas)


def fields(**changes):
    values = dict.fromkeys(row.FIELDS) | {"study": "dare", "dataset": "d", "model": "m", "method": "a", "title": "A"}
    return values | {"role": "method", "seeds": [0], "measures": {}, "attacks": {}, "details": {}} | changes


@pytest.mark.parametrize("name", BROKEN)
def test_a_row_has_names_that_can_be_printed(name, tmp_path):
    for changes in ({"method": name}, {"title": name}, {"dataset": name}, {"measures": {name: {}}}, {"model": None}):
        with pytest.raises(ValueError, match="is no name, expected one line of printable text"):
            row.Row(**fields(**changes))
    (tmp_path / "row.json").write_text(json.dumps(fields(method=name)))
    with pytest.raises(ValueError, match=r"row\.json: no row .*make its stage again"):
        row.load(tmp_path / "row.json")


def test_a_row_is_written_nowhere_else(tmp_path):
    foreign = row.Row(**fields(method="../../a", model="../b"))
    assert row.path_of(foreign, tmp_path).parent == tmp_path


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_row_holds_numbers_alone(value, tmp_path):
    with pytest.raises(ValueError, match="row.json: cannot be written"):
        files.write_json(tmp_path / "row.json", fields(measures={"clean": {"value": value}}))
    (tmp_path / "row.json").write_text(json.dumps(fields(measures={"clean": {"value": value}})))
    with pytest.raises(ValueError, match=r"row\.json: damaged .it holds (NaN|Infinity), expected a finite number"):
        row.load(tmp_path / "row.json")
