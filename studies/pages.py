"""The page of each cell in docs/results/: all its tables, its figures, and the commands that made its rows.

A cell is a data set with a model. The page covers all studies of the cell. README.md there lists the pages.
"""

import pathlib
from collections.abc import Mapping, Sequence

from reporting import row as result_row
from reporting import tables as writing
from reporting import text
from reporting.cell import cell_name
from studies import catalogue, verdicts

FOLDER = pathlib.Path("docs") / "results"
FIGURES = pathlib.Path("results") / "figures"
INDEX = """\
# The results of each cell

Made by `python scripts/publish.py` from `results/measured/`. A cell is a data set with a model. Each page has all
tables and figures of the cell, and ends with the commands, commits and devices behind its rows.

| cell | studies |
|:--|:--|"""
BESIDE = (  # under the commands of a study that reads the stages of another
    "Where a command names attacks or methods that these rows did not need, the commands of {studies} make them: run "
    "these first."
)


def pages(rows: Sequence[Mapping], tables: list, root: str | pathlib.Path) -> dict[pathlib.Path, str]:
    """Path in `root` -> the Markdown of each cell's page. rows: of all studies; tables: all their tables."""
    cells = catalogue.by_cell(rows)
    whole = {FOLDER / _file(cell): _page(cell, own, tables, pathlib.Path(root)) for cell, own in cells.items()}
    return whole | {FOLDER / "README.md": _index(cells)}


def _file(cell):
    return f"{cell_name(*cell)}.md"


def _index(cells):
    """The list of all pages, each with its studies."""
    lines = [INDEX]
    for cell, rows in cells.items():
        studies = [verdicts.words(study) for study in catalogue.STUDIES if catalogue.of_study(rows, study)]
        lines.append(f"| [{text.markdown(', '.join(cell))}]({_file(cell)}) | {', '.join(studies)} |")
    return "\n".join(lines) + "\n"


def _page(cell, rows, all_tables, root):
    name = cell_name(*cell)
    lines = [f"# {text.markdown(', '.join(cell))}", "", "Made by `python scripts/publish.py` from `results/measured/`; "
             "[verdicts](../../REPRODUCTION.md), [glossary](../glossary.md).", ""]  # fmt: skip
    for study in catalogue.STUDIES:
        own = catalogue.of_study(rows, study)
        tables = [table for table in all_tables if _of(table, study, name)]
        if not own:
            continue
        lines += [f"## {verdicts.words(study)}", ""]
        if hasattr(catalogue.STUDIES[study].report, "HOW_TO_READ"):
            lines += ["How to read the columns:", "", catalogue.STUDIES[study].report.HOW_TO_READ]
        lines += [writing.markdown(table) for table in tables]
        lines += _made_by(own, study)
    figures = sorted(path.name for path in (root / FIGURES).glob("*.png") if _figure_of(path.stem, name))
    lines += ["## Figures", ""] if figures else []
    for file in figures:
        lines += [f"![{file.removesuffix('.png')}](../../results/figures/{file})", ""]
    return "\n".join(lines).rstrip("\n") + "\n"


def _of(table, study, cell):
    stem = f"{study}-{cell}"
    return table.name == stem or table.name.startswith(f"{stem}-")


def _figure_of(stem, cell):
    return stem.startswith(f"{cell}-")


def _made_by(rows, study):
    """The commands, commits and devices of a study's rows, as a folded section."""
    commits = ", ".join(commit[:12] for commit in result_row.commits(rows)) or "unknown"
    lines = [f"<details><summary>Commands, commits ({commits}), devices</summary>", ""]
    lines += [f"Devices: {text.markdown('; '.join(result_row.devices(rows)))}.", ""]
    commands = result_row.commands(rows)
    others = [verdicts.words(name) for name in catalogue.STUDIES if name != study and _has(commands, name)]
    lines += [BESIDE.format(studies=" and ".join(others)), ""] if others else []
    return [*lines, "```", *_with_commits(commands, result_row.made_at(rows)), "```", "", "</details>", ""]


def _with_commits(commands, made_at):
    """The commands, and where they ran at several commits a comment before those of each."""
    several, before = len({commit for commits in made_at.values() for commit in commits}) > 1, None
    for command in commands:
        at = ", ".join(commit[:12] for commit in made_at.get(command, []))
        if several and at and at != before:
            yield f"# at {at}"
        before = at
        yield text.shown(command)


def _has(commands, study):
    return any(f"scripts/{study}/" in command for command in commands)
