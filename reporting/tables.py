"""Tables, and their form in Markdown, LaTeX, CSV and on a terminal.

table = Table("er", "Empirical Robustness", ("method", "fgsm"), (("dare", Cell(61.2, 0.3, 70.1)),))
markdown(table)  ->  | method | fgsm |
                     |:--|--:|
                     | dare | 61.2 ± 0.3 (70.1) |
"""

from __future__ import annotations

import csv
import dataclasses
import io
import math
import pathlib
import re
from collections.abc import Sequence
from typing import Any

import rich.console
import rich.table
import rich.text

from data import files
from reporting import text

ABSENT = "-"
DAGGER = "†"
SPECIAL = {
    **{character: "\\" + character for character in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "\\": r"\textbackslash{}",
    "±": r"$\pm$",
    DAGGER: r"$\dagger$",
    "×": r"$\times$",
    "∞": r"$\infty$",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
}


WORD = re.compile(r"[^\W\d_]{2,}")
COUNTED = re.compile(r"(.+) \(n=([\d-]+)\)")  # a heading with its number of examples (notes.count)
FORMULA = re.compile(r"[=@\t\r]|[-+](?![\d.∞]|$)")


@dataclasses.dataclass(frozen=True)
class Cell:
    """A measured value, its standard deviation over repeats, the published value, and the ends of its interval.

    None marks a missing number. digits: of the printed numbers
    """

    value: float | None
    spread: float | None = None
    published: float | None = None
    digits: int = 1
    low: float | None = None
    high: float | None = None

    def __str__(self):
        text = number(self.value, self.digits)
        if self.spread is not None and text not in (ABSENT, "∞"):
            text += f" ± {number(self.spread, self.digits)}"
        if self.low is not None:
            text += f" [{number(self.low, self.digits)}, {number(self.high, self.digits)}]"
        return text if self.published is None else f"{text} ({number(self.published, self.digits)})"


@dataclasses.dataclass(frozen=True)
class Label:
    """The first cell of a line with raised checks: its text, and the names of the checks. Printed with a dagger."""

    text: str
    raised: tuple

    def __str__(self):
        return f"{self.text} {DAGGER}"


@dataclasses.dataclass(frozen=True)
class Table:
    """One table.

    name: of its files
    title, columns: text
    rows: tuples as long as columns, of Cell or str; the first entry is a label (str or Label)
    notes: sentences below the table
    """

    name: str
    title: str
    columns: tuple
    rows: tuple
    notes: tuple = ()

    def __post_init__(self):
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(
                    f"table {self.name}: a row of {len(row)} cells under {len(self.columns)} columns: {row}"
                )


def number(value: float | None, digits: int) -> str:
    """A number with fixed digits; "-" for None or NaN, "∞" for infinity, no negative zero."""
    if value is None or math.isnan(value):
        return ABSENT
    if math.isinf(value):
        return "∞"
    return f"{round(value, digits) + 0.0:.{digits}f}"


def signed(value: float | None, digits: int) -> str:
    """`number` with a plus sign if the printed number is above zero."""
    text = number(value, digits)
    return f"+{text}" if text not in (ABSENT, "∞") and float(text) > 0 else text


def markdown(table: Table) -> str:
    """The table in Markdown under a bold title, its notes as a list below; ends with a newline."""
    ruler = "".join("|:--" if column in of_text(table) else "|--:" for column in range(len(table.columns))) + "|"
    lines = [f"**{text.markdown(table.title)}**", "", _line(table.columns), ruler]
    lines += [_line(row) for row in table.rows]
    if table.notes:
        lines += ["", *(f"- {text.markdown(note)}" for note in table.notes)]
    return "\n".join(lines) + "\n"


def of_text(table: Table) -> set[int]:
    """The positions of the left-aligned columns: the first, and all that contain a word."""
    positions = {0}
    for row in table.rows:
        positions |= {place for place, cell in enumerate(row) if isinstance(cell, str) and WORD.search(cell)}
    return positions


def _line(cells):
    return f"| {' | '.join(map(text.markdown, cells))} |"


def latex(table: Table) -> str:
    """The table as a LaTeX table environment; needs the package booktabs."""
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{escape(table.title)}}}",
        rf"\label{{tab:{re.sub('[^A-Za-z0-9]+', '-', table.name)}}}",
        rf"\begin{{tabular}}{{{_alignment(table)}}}",
        r"\toprule",
        _ampersands(table.columns),
        r"\midrule",
        *(_ampersands(row) for row in table.rows),
        r"\bottomrule",
        r"\end{tabular}",
        *(rf"\par\footnotesize {escape(note)}" for note in table.notes),
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _alignment(table):
    return "".join("l" if place in of_text(table) else "r" for place in range(len(table.columns)))


def _ampersands(cells):
    line = " & ".join(map(escape, cells)) + r" \\"
    return (
        "{}" + line if line.startswith(("[", "*")) else line
    )  # else LaTeX reads it as an option of the line break before


def escape(value: Any) -> str:
    """One line of text for LaTeX: special characters escaped, unprintable ones replaced by their code points."""
    return "".join(SPECIAL.get(character, character) for character in text.shown(value))


def to_csv(table: Table) -> str:
    """The table as CSV of plain numbers.

    A column is followed by "<column> sd", "... published", "... low" and "... high" if its cells have these numbers,
    by "... n" if its heading has a number of examples, a column of marked labels by "... checks raised". A heading that
    is there twice begins with the one before it.
    """
    parts = [("", "value"), (" sd", "spread"), (" published", "published"), (" low", "low"), (" high", "high")]
    parts += [(" checks raised", "raised")]
    fields = []
    for index, column in enumerate(table.columns):
        counted = COUNTED.fullmatch(column)
        heading = counted[1] if counted else column
        if table.columns.count(column) > 1:
            heading = f"{table.columns[index - 1]}: {heading}"
        cells = [row[index] for row in table.rows]
        for suffix, field in parts:
            if field == "value" or any(getattr(cell, field, None) is not None for cell in cells):
                fields.append((heading + suffix, index, field))
        if counted:
            fields.append((f"{heading} n", counted[2], "count"))
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([_no_formula(name) for name, _, _ in fields])
    for row in table.rows:
        writer.writerow([source if field == "count" else _plain(row[source], field) for _, source, field in fields])
    return buffer.getvalue()


def _plain(cell, field):
    if isinstance(cell, Label):
        return {"value": _no_formula(cell.text), "raised": " ".join(cell.raised)}.get(field, "")
    if isinstance(cell, Cell):
        value = getattr(cell, field, None)
        return "" if value is None else float(f"{value:.10g}") + 0.0 if isinstance(value, float) else value  # no -0.0
    return _no_formula(cell) if field == "value" else ""


def _no_formula(cell):
    """A cell's text, after an apostrophe if a spreadsheet would evaluate it as a formula."""
    return f"'{cell}" if FORMULA.match(str(cell)) else cell


def print_table(table: Table, console: rich.console.Console | None = None, *, width: int | None = None) -> None:
    """Print the table.

    console: None for standard output
    width: in characters (None: the terminal's width, 200 without a terminal)
    """
    if console is None:
        console = rich.console.Console()
        if width or not console.is_terminal:
            console.width = width or 200
    terminal_table = rich.table.Table(title=_plain_text(table.title), title_justify="left")
    for place, column in enumerate(table.columns):
        justify = "left" if place in of_text(table) else "right"
        terminal_table.add_column(_plain_text(column), justify=justify, overflow="fold")
    for row in table.rows:
        terminal_table.add_row(*map(_plain_text, row))
    console.print(terminal_table)
    for note in table.notes:
        console.print(_plain_text(note, style="dim"))


def _plain_text(value, **style):
    return rich.text.Text(text.shown(value), **style)


def write(
    tables: list[Table], folder: str | pathlib.Path, *, formats: Sequence[str] = ("md", "tex", "csv")
) -> list[pathlib.Path]:
    """Write every table as <name>.<format> into `folder`. Returns the paths. formats: of md, tex and csv"""
    writers = {"md": markdown, "tex": latex, "csv": to_csv}
    paths = []
    for table in tables:
        for ending in formats:
            paths.append(pathlib.Path(folder) / f"{table.name.replace('/', '-')}.{ending}")
            files.write_text(paths[-1], writers[ending](table))
    return paths
