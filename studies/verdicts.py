"""The verdicts of all studies: how many claims hold, and for each study a matrix of claims and cells.

verdicts                a line for each study: claims that hold, do not hold, are undecided, were not measured
verdicts-<study>        a line for each claim, a column for each cell (data set and model)
verdicts-scale          a line for each cell: the amount of data behind its verdicts
"""

from collections.abc import Mapping, Sequence

from reporting import claims, order
from reporting.claims import VERDICTS
from reporting.tables import Table
from studies import catalogue

SCALE = (
    "Counts of images are sums over all seeds. published files: the data files have the published digest. Otherwise "
    "they are a part of the set, and no published number is comparable."
)
EPOCHS = {"source_epochs": "epochs", "bp_epochs": "BP-epochs", "epochs": "epochs"}


def tables(study_tables: list[Table]) -> list[Table]:
    """The tables of verdicts. study_tables: all tables of all studies, with the tables of claims."""
    judged = {}
    for table in study_tables:
        if isinstance(table, claims.Judged):
            judged.setdefault(study_of(table), []).append(table)
    return [_counts(judged), *(_matrix(study, own) for study, own in judged.items())] if judged else []


def study_of(table: Table) -> str:
    """The name of a table's study, with which the table's name begins."""
    return next(name for name in catalogue.STUDIES if table.name.startswith(f"{name}-"))


def _counts(judged):
    lines = []
    for study, own in judged.items():
        verdicts = [claim.verdict for table in own for claim in table.claims]
        counts = [str(verdicts.count(verdict)) for verdict in VERDICTS]
        of = catalogue.STUDIES[study]
        lines.append((words(study), of.paper, of.question, str(len(own)), *counts))
    totals = (str(sum(int(line[column]) for line in lines)) for column in range(3, len(VERDICTS) + 4))
    columns = ("study", "paper", "question", "cells", *VERDICTS)
    return Table("verdicts", "Verdicts of all claims in all cells", columns, (*lines, ("all", "-", "-", *totals)))


def _matrix(study, own):
    """Claims down, cells across; "-" if a cell does not have the claim."""
    texts = dict.fromkeys(claim.claim for table in own for claim in table.claims)
    lines = []
    for text in texts:
        verdicts = [next((claim.verdict for claim in table.claims if claim.claim == text), "-") for table in own]
        lines.append((text, *verdicts))
    columns = ("claim", *(table.cell for table in own))
    sources = dict.fromkeys(claim.source for table in own for claim in table.claims)
    title = f"{words(study)}: the claims, and the verdict in each cell"
    return Table(f"verdicts-{study}", title, columns, tuple(lines), tuple(f"Source: {source}." for source in sources))


def words(study: str) -> str:
    """A study's printed name."""
    return "DARE" if study == "dare" else study.replace("_", " ")


def scale(rows: Sequence[Mapping]) -> Table:
    """The table of the amount of data behind each cell's verdicts."""
    lines = []
    for (study, dataset, model), own in order.by_cell(rows, keys=("study", "dataset", "model")).items():
        seeds = {seed for row in own for seed in row["seeds"]}
        counts = (_counted(own, kinds) for kinds in (("clean", "best"), ("er/", "white-box/")))
        verified = "yes" if all(row["verified"] for row in own) else "no"
        lines.append(
            (words(study), f"{dataset}, {model}", str(len(own)), str(len(seeds)), _trained(own), *counts, verified)
        )
    columns = (
        "study",
        "cell",
        "models",
        "seeds",
        "trained on",
        "clean images",
        "adversarial images",
        "published files",
    )
    return Table("verdicts-scale", "The data behind each verdict", columns, tuple(lines), (SCALE,))


def _trained(rows):
    """Training images and epochs of the longest-trained model of the rows."""
    facts = [row["hyperparameters"] for row in rows]
    for name, unit in EPOCHS.items():
        longest = max((fact for fact in facts if fact.get(name) is not None), key=lambda fact: fact[name], default=None)
        if longest is not None:
            if name == "source_epochs":
                return f"half of the set, {longest[name]} {unit}"
            if "images" in longest:
                return f"{longest['images']:,} images, {longest[name]:.0f} {unit}"
    return "models of other studies"


def _counted(rows, kinds):
    """The number of images, or their range, over all measures whose name begins with one of `kinds`."""
    counts = {value["n"] for row in rows for name, value in row["measures"].items() if name.startswith(kinds)}
    return "-" if not counts else f"{min(counts):,}" if len(counts) == 1 else f"{min(counts):,} to {max(counts):,}"
