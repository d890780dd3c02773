"""The published rows in results/measured/<study>/, and all files that are generated from them.

These are results/tables/, results/figures/, the pages of docs/results/ and the generated sections of the documents.
docs/deviations.md is generated from the code's docstrings.
"""

import pathlib
from collections.abc import Mapping, Sequence

from data import files
from reporting import document_sections, figures, row, tables
from studies import catalogue, deviations, pages, verdicts

ROOT = pathlib.Path(__file__).resolve().parents[1]
STUDIES = tuple(f"docs/{study}.md" for study in catalogue.STUDIES)
DOCUMENTS = ("README.md", "REPRODUCTION.md", *STUDIES)


def measured() -> list[row.Row]:
    """The published rows of all studies."""
    folder = ROOT / "results" / "measured"
    return [loaded for study in catalogue.STUDIES for loaded in row.load_all(folder / study)]


def publish(rows: Sequence[Mapping], *, add: bool = False) -> list[str]:
    """Save rows in results/measured/, then write everything generated from the rows there. Returns what changed.

    add: pool each row with the published row of other seeds
    Raises ValueError for rows made from uncommitted code, and for rows that cannot be pooled.
    """
    dirty = [new["method"] for new in rows if new.get("dirty")]
    if dirty:
        raise ValueError(f"rows of {', '.join(dirty)} were made from uncommitted code: commit, and test them again")
    rows = [with_published(new) for new in rows] if add else rows
    for new in rows:
        row.save(new, _place(new))
    return write(measured())


def with_published(new: Mapping) -> row.Row:
    """A row pooled with the published row of other seeds; unchanged if no row is published.

    Raises ValueError if both have a seed, or if they were made differently.
    """
    path = _place(new)
    if not path.is_file():
        return new
    published = row.load(path)
    twice = sorted({*published["seeds"]} & {*new["seeds"]})
    if twice:
        raise ValueError(
            f"{path.name} is published with seeds {published['seeds']}, and so is the new row's {twice}: publish "
            "other seeds, or without --add to replace it"
        )
    both = sorted([published, new], key=lambda each: each["seeds"])
    return catalogue.STUDIES[new["study"]].report.pool(both)


def _place(new):
    return row.path_of(new, ROOT / "results" / "measured" / new["study"])


def write(rows: Sequence[Mapping], *, check: bool = False) -> list[str]:
    """Write tables (CSV), figures, pages and generated sections of these rows. Returns what changed.

    check: write nothing, and raise ValueError if a document is out of date
    """
    study_tables = all_tables(rows)
    if not check:
        tables.write(study_tables, ROOT / "results" / "tables", formats=["csv"])
        for name, _, figure in catalogue.figures(rows):
            figures.save(figure, ROOT / "results" / "figures" / f"{name}.png")
    texts = {table.name: tables.markdown(table) for table in study_tables}
    changed = []
    for document in (name for name in DOCUMENTS if (ROOT / name).is_file()):
        for name in document_sections.names(ROOT / document):
            if name in texts and document_sections.embed(ROOT / document, name, texts[name], check=check):
                changed.append(f"{document} {name}")
    whole = pages.pages(rows, study_tables, ROOT) | {deviations.PATH: deviations.document(ROOT)}
    return changed + [str(path) for path, content in whole.items() if _replace(ROOT / path, content, check=check)]


def all_tables(rows: Sequence[Mapping]) -> list[tables.Table]:
    """The tables of all studies, the summaries of DARE's cells, and the verdicts of all."""
    study_tables = catalogue.tables(rows)
    return [*study_tables, *catalogue.summaries(rows), *verdicts.tables(study_tables), verdicts.scale(rows)]


def _replace(path, content, *, check):
    """Write a generated document if its content differs. Returns True if it did."""
    if path.is_file() and path.read_text(encoding="utf-8") == content:
        return False
    if check:
        raise ValueError(f"{path}: differs from the measured results or the code: generate it again")
    path.parent.mkdir(parents=True, exist_ok=True)
    files.write_text(path, content)
    return True
