"""What is published: rows in results/measured/<study>/, and what is made of them and of nothing else.

That is results/tables/, results/figures/, the pages of docs/results/ and the generated sections of the documents; and,
made of the code's docstrings, docs/deviations.md.
"""

import pathlib

from data import files
from reporting import document_sections, figures, row, tables
from studies import catalogue, deviations, pages, verdicts

ROOT = pathlib.Path(__file__).resolve().parents[1]
STUDIES = tuple(f"docs/{study}.md" for study in catalogue.STUDIES)
DOCUMENTS = ("README.md", "REPRODUCTION.md", *STUDIES)


def measured():
    """The published rows of all studies."""
    return [one for study in catalogue.STUDIES for one in row.load_all(ROOT / "results" / "measured" / study)]


def publish(rows, *, add=False):
    """Keep rows in results/measured/, then write all that is made of those that are there; returns the sections that
    changed. add: pool each row with the one of another seed that is there. Raises ValueError for rows made from
    uncommitted code, and where rows cannot be pooled."""
    dirty = [one["method"] for one in rows if one.get("dirty")]
    if dirty:
        raise ValueError(f"rows of {', '.join(dirty)} were made from uncommitted code: commit, and test them again")
    rows = [with_published(one) for one in rows] if add else rows
    for one in rows:
        row.save(one, _place(one))
    return write(measured())


def with_published(one):
    """A row of one seed pooled with the published row of one other seed, in the order of the seeds; alone where there
    is none. Raises ValueError where either has several seeds, both have the same, or they were made differently."""
    path = _place(one)
    if not path.is_file():
        return one
    both = sorted([row.load(path), one], key=lambda each: each["seeds"])
    if [len(each["seeds"]) for each in both] != [1, 1] or both[0]["seeds"] == both[1]["seeds"]:
        raise ValueError(
            f"{path.name} has seeds {both[0]['seeds']} and {both[1]['seeds']}, expected one other seed in each: "
            "publish all seeds from one folder of runs, without --add"
        )
    return catalogue.STUDIES[one["study"]].report.pool(both)


def _place(one):
    return row.path_of(one, ROOT / "results" / "measured" / one["study"])


def write(rows, *, check=False):
    """Tables (CSV), figures, pages and generated sections of these rows; returns what changed.

    check: write nothing, raise ValueError where a document says something else.
    """
    made = all_tables(rows)
    if not check:
        tables.write(made, ROOT / "results" / "tables", formats=["csv"])
        for name, _, figure in catalogue.figures(rows):
            figures.save(figure, ROOT / "results" / "figures" / f"{name}.png")
    texts = {table.name: tables.markdown(table) for table in made}
    changed = []
    for document in (name for name in DOCUMENTS if (ROOT / name).is_file()):
        for name in document_sections.names(ROOT / document):
            if name in texts and document_sections.embed(ROOT / document, name, texts[name], check=check):
                changed.append(f"{document} {name}")
    whole = pages.pages(rows, made, ROOT) | {deviations.PATH: deviations.document(ROOT)}
    return changed + [str(path) for path, content in whole.items() if _replace(ROOT / path, content, check=check)]


def all_tables(rows):
    """The tables of all studies, the summaries of DARE's cells, and the verdicts of all."""
    made = catalogue.tables(rows)
    return [*made, *catalogue.summaries(rows), *verdicts.tables(made), verdicts.scale(rows)]


def _replace(path, content, *, check):
    """Write a generated document where it says something else; whether it did."""
    if path.is_file() and path.read_text(encoding="utf-8") == content:
        return False
    if check:
        raise ValueError(f"{path}: differs from the measured results or the code: generate it again")
    path.parent.mkdir(parents=True, exist_ok=True)
    files.write_text(path, content)
    return True
