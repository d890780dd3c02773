"""What is published: rows in results/measured/<study>/, and what is made of them and of nothing else.

That is results/tables/, results/figures/ and the generated sections of the documents.
"""

import pathlib

from reporting import document_sections, figures, row, tables
from studies import catalogue

ROOT = pathlib.Path(__file__).resolve().parents[1]
DOCUMENTS = ("README.md", "REPRODUCTION.md")


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
    """Tables (CSV), figures and generated sections of these rows; returns the sections that changed.

    check: write nothing, raise ValueError where a section says something else.
    """
    made = catalogue.tables(rows)
    if not check:
        tables.write(made, ROOT / "results" / "tables", formats=["csv"])
        for name, _, figure in catalogue.figures(rows):
            figures.save(figure, ROOT / "results" / "figures" / f"{name}.png")
    texts = {table.name: tables.markdown(table) for table in made}
    changed = []
    for document in DOCUMENTS:
        for name in document_sections.names(ROOT / document):
            if name in texts and document_sections.embed(ROOT / document, name, texts[name], check=check):
                changed.append(f"{document} {name}")
    return changed
