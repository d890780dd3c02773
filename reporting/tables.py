"""Tables and how they are written: Markdown, LaTeX, CSV, a terminal, and the generated sections of a document.

table = Table("er", "Empirical Robustness", ("method", "fgsm"), (("dare", Cell(61.2, 0.3, 70.1)),))
markdown(table)  ->  | method | fgsm |
                     |:--|--:|
                     | dare | 61.2 ± 0.3 (70.1) |
"""

import csv
import dataclasses
import io
import math
import pathlib
import re

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
FORMULA = re.compile(r"[=@\t\r]|[-+](?![\d.∞]|$)")


@dataclasses.dataclass(frozen=True)
class Cell:
    """A measured value, its standard deviation over repeats, the published value, and the ends of its interval; None
    where there is none."""

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
    """The first cell of a line whose numbers are to be read with care: its text, and the names of what was raised,
    which a dagger stands for."""

    text: str
    raised: tuple

    def __str__(self):
        return f"{self.text} {DAGGER}"


@dataclasses.dataclass(frozen=True)
class Table:
    """name: of its files; rows: tuples of Cell or str as long as columns, the first a label (str or Label); notes:
    sentences below."""

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


def number(value, digits):
    """A number with fixed digits; "-" for None or NaN, "∞" for infinity, no negative zero."""
    if value is None or math.isnan(value):
        return ABSENT
    if math.isinf(value):
        return "∞"
    return f"{round(value, digits) + 0.0:.{digits}f}"


def signed(value, digits):
    """`number` with a plus before what is above zero as it is printed."""
    text = number(value, digits)
    return f"+{text}" if text not in (ABSENT, "∞") and float(text) > 0 else text


def markdown(table):
    """The table in Markdown under a bold title, its notes as a list below; ends with a newline."""
    ruler = "".join("|:--" if column in of_text(table) else "|--:" for column in range(len(table.columns))) + "|"
    lines = [f"**{text.markdown(table.title)}**", "", _line(table.columns), ruler]
    lines += [_line(row) for row in table.rows]
    if table.notes:
        lines += ["", *(f"- {text.markdown(note)}" for note in table.notes)]
    return "\n".join(lines) + "\n"


def of_text(table):
    """The places of the columns that stand left: the first, and those with a word in them."""
    found = {0}
    for row in table.rows:
        found |= {place for place, cell in enumerate(row) if isinstance(cell, str) and WORD.search(cell)}
    return found


def _line(cells):
    return f"| {' | '.join(map(text.markdown, cells))} |"


def latex(table):
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
    return "{}" + line if line.startswith(("[", "*")) else line  # else an option of the line break before it


def escape(value):
    """Text for LaTeX, of one line: its special characters escaped, those that cannot be printed by their numbers."""
    return "".join(SPECIAL.get(character, character) for character in text.shown(value))


def to_csv(table):
    """The table as CSV of plain numbers: "<column> sd", "... published", "... low" and "... high" follow a column that
    has such, "checks raised" one of marked labels."""
    parts = [("", "value"), (" sd", "spread"), (" published", "published"), (" low", "low"), (" high", "high")]
    parts += [(" checks raised", "raised")]
    kept = []
    for index, column in enumerate(table.columns):
        cells = [row[index] for row in table.rows]
        for suffix, field in parts:
            if field == "value" or any(getattr(cell, field, None) is not None for cell in cells):
                kept.append((column + suffix, index, field))
    made = io.StringIO()
    writer = csv.writer(made, lineterminator="\n")
    writer.writerow([_no_formula(name) for name, _, _ in kept])
    writer.writerows([_plain(row[index], field) for _, index, field in kept] for row in table.rows)
    return made.getvalue()


def _plain(cell, field):
    if isinstance(cell, Label):
        return {"value": _no_formula(cell.text), "raised": " ".join(cell.raised)}.get(field, "")
    if isinstance(cell, Cell):
        value = getattr(cell, field, None)
        return "" if value is None else float(f"{value:.10g}") if isinstance(value, float) else value
    return _no_formula(cell) if field == "value" else ""


def _no_formula(cell):
    """A cell's text, behind an apostrophe where a spreadsheet would compute it."""
    return f"'{cell}" if FORMULA.match(str(cell)) else cell


def print_table(table, console=None, *, width=None):
    """Print the table. console: a rich.console.Console (None: standard output); width: in columns (None: the
    terminal's, 200 where there is none)."""
    if console is None:
        console = rich.console.Console()
        if width or not console.is_terminal:
            console.width = width or 200
    shown = rich.table.Table(title=_plain_text(table.title), title_justify="left")
    for place, column in enumerate(table.columns):
        justify = "left" if place in of_text(table) else "right"
        shown.add_column(_plain_text(column), justify=justify, overflow="fold")
    for row in table.rows:
        shown.add_row(*map(_plain_text, row))
    console.print(shown)
    for note in table.notes:
        console.print(_plain_text(note, style="dim"))


def _plain_text(value, **style):
    return rich.text.Text(text.shown(value), **style)


def write(tables, folder, *, formats=("md", "tex", "csv")):
    """Write every table as <name>.<format> into `folder`; returns the paths."""
    writers = {"md": markdown, "tex": latex, "csv": to_csv}
    paths = []
    for table in tables:
        for ending in formats:
            paths.append(pathlib.Path(folder) / f"{table.name.replace('/', '-')}.{ending}")
            files.write_text(paths[-1], writers[ending](table))
    return paths
