"""The verdicts of all studies at one glance: how many claims hold, and a matrix of claims and cells a study.

verdicts                one line a study: claims that hold, do not hold, are undecided, were not measured
verdicts-<study>        one line a claim, one column a cell (data set and model)
verdicts-scale          one line a cell: on how much each verdict stands
"""

from reporting import claims
from reporting.claims import VERDICTS
from reporting.tables import Table
from studies import catalogue

SCALE = (
    "Counts of images are over all seeds together. published files: the data files have the published digest; else "
    "they are a part of the set, and no published number is comparable."
)
EPOCHS = {"source_epochs": "epochs", "bp_epochs": "BP-epochs", "epochs": "epochs"}


def tables(made):
    """The tables of verdicts, from all tables of all studies (those of claims among them). Returns a list of Table."""
    judged = {}
    for table in made:
        if isinstance(table, claims.Judged):
            judged.setdefault(study_of(table), []).append(table)
    return [_counts(judged), *(_matrix(study, own) for study, own in judged.items())] if judged else []


def study_of(table):
    """The name of the study that a table is of: its file's name begins with it."""
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
    """Claims down, cells across; a claim that a cell does not have is "-" there."""
    texts = dict.fromkeys(claim.claim for table in own for claim in table.claims)
    lines = []
    for text in texts:
        verdicts = [next((claim.verdict for claim in table.claims if claim.claim == text), "-") for table in own]
        lines.append((text, *verdicts))
    columns = ("claim", *(table.cell for table in own))
    sources = dict.fromkeys(claim.source for table in own for claim in table.claims)
    title = f"{words(study)}: what was claimed, and the verdict in each cell"
    return Table(f"verdicts-{study}", title, columns, tuple(lines), tuple(f"Source: {source}." for source in sources))


def words(study):
    """A study's name as it is printed."""
    return "DARE" if study == "dare" else study.replace("_", " ")


def scale(rows):
    """The table of what each cell's verdicts stand on."""
    lines = []
    for (study, dataset, model), own in _cells(rows).items():
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
    return Table("verdicts-scale", "What each verdict stands on", columns, tuple(lines), (SCALE,))


def _cells(rows):
    found = {}
    for row in rows:
        found.setdefault((row["study"], row["dataset"], row["model"]), []).append(row)
    return found


def _trained(rows):
    """Images and epochs that the longest-trained model of the rows saw; "-" where they do not say."""
    facts = [row["hyperparameters"] for row in rows]
    for name, unit in EPOCHS.items():
        longest = max((one for one in facts if one.get(name) is not None), key=lambda one: one[name], default=None)
        if longest is not None:
            if name == "source_epochs":
                return f"half of the set, {longest[name]} {unit}"
            if "images" in longest:
                return f"{longest['images']:,} images, {longest[name]:.0f} {unit}"
    return "models of other studies"


def _counted(rows, kinds):
    """The number of images, or their range, over all measures whose name begins with one of `kinds`."""
    counts = {one["n"] for row in rows for name, one in row["measures"].items() if name.startswith(kinds)}
    return "-" if not counts else f"{min(counts):,}" if len(counts) == 1 else f"{min(counts):,} to {max(counts):,}"
