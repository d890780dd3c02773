"""Every study's rows: collected from run directories, pooled over seeds, published, and made into tables and figures.

Rows that are published lie in results/measured/<study>/; results/tables/, results/figures/ and the generated sections
of the documents are made of them and of nothing else.
"""

import dataclasses
import glob
import json
import pathlib
from collections.abc import Callable

from pipeline import run_directory
from reporting import document_sections, figures, row, tables
from studies.ablation import tables as ablation_tables
from studies.classwise import claims as class_claims
from studies.classwise import figures as class_figures
from studies.classwise import rows as class_rows
from studies.dare import differences, report
from studies.dare import tables as dare_tables
from studies.guided_retraining import claims as guided_claims
from studies.guided_retraining import row as guided_row
from studies.guided_retraining import tables as guided_tables
from studies.hardening import tables as hardening_tables
from studies.robust_training import claims as deat_claims
from studies.robust_training import figures as robust_figures
from studies.robust_training import tables as robust_tables

ROOT = pathlib.Path(__file__).resolve().parents[1]
DOCUMENTS = ("README.md", "REPRODUCTION.md")


@dataclasses.dataclass(frozen=True)
class Study:
    """runs: the folder of run directories whose stages write its rows; tabulate: rows -> list of Table; pool: the rows
    of several seeds of one method -> one; draw: rows -> (file name, caption, Figure) of each figure."""

    runs: str
    tabulate: Callable
    pool: Callable
    draw: Callable = lambda rows: ()


def _dare_tables(rows):
    return [*dare_tables.dare_tables(rows), *differences.difference_tables(rows)]


def _robust_tables(rows):
    claims = [deat_claims.deat_claims(own) for own in robust_tables.cells(rows).values()]
    return [*robust_tables.robust_training_tables(rows), *claims]


def _class_tables(rows):
    claims = [class_claims.claims_table(own) for own in class_rows.cells(rows).values()]
    return [*class_rows.class_tables(rows), *claims]


def _guided_tables(rows):
    claims = [guided_claims.guided_claims(own) for own in guided_tables.cells(rows).values()]
    return [*guided_tables.guided_tables(rows), *claims]


def _robust_figures(rows):
    for (dataset, model), own in robust_tables.cells(rows).items():
        caption = "robust accuracy on held-out images against BP-epochs, by kind of method"
        yield f"{dataset}-{model}-bp-epochs", caption, robust_figures.trajectories(own)


STUDIES = {
    "dare": Study("dare", _dare_tables, row.pool),
    "what_matters": Study("dare", ablation_tables.what_matters_tables, ablation_tables.pool),
    "white_box": Study("dare", hardening_tables.white_box_tables, hardening_tables.pool),
    "robust_training": Study("robust_training", _robust_tables, robust_tables.pool, _robust_figures),
    "guided_retraining": Study("guided_retraining", _guided_tables, guided_row.pool, guided_tables.draw),
    "classwise": Study("classwise", _class_tables, class_rows.pool, class_figures.draw),
}


def of_study(rows, study):
    return [one for one in rows if one["study"] == study]


def collect(runs, folder, cell=None):
    """One row a (study, data set, model, method) of <runs>/<folder>/, the seeds of a cell pooled; DARE's with their
    differences from the controls. cell: the folder of one cell (None: all). Raises FileNotFoundError where there is
    none."""
    found, folders = {}, {}
    cells = glob.escape(cell) if cell else "*"
    for path in sorted((pathlib.Path(runs) / folder).glob(f"{cells}/seed*/*/row*.json")):
        if (path.parent / "run.json").is_file():
            run_directory.intact(path.parent)
            one = json.loads(path.read_text(encoding="utf-8"))
            key = one["study"], one["dataset"], one["model"], one["method"]
            found.setdefault(key, []).append(one)
            folders.setdefault(key, []).append(path.parent)
    if not found:
        missing = pathlib.Path(runs) / folder / (cell or "")
        raise FileNotFoundError(f"{missing}: no row.json; make them with the test or attack stage of scripts/{folder}/")
    rows = [STUDIES[study].pool(seeds) for (study, *_), seeds in found.items()]
    differences.attach(of_study(rows, "dare"), folders)
    return rows


def measured():
    """The published rows of all studies."""
    return [one for study in STUDIES for one in row.load_all(ROOT / "results" / "measured" / study)]


def make(rows):
    """The tables of all studies that have rows, in the order of STUDIES."""
    return [table for name, study in STUDIES.items() for table in study.tabulate(of_study(rows, name))]


def draw(rows):
    """(file name, caption, Figure) of every figure that is made of rows alone."""
    mined = [one for one in rows if STUDIES[one["study"]].runs == "dare"]
    for dataset, model in dict.fromkeys((one["dataset"], one["model"]) for one in mined):
        own = [one for one in mined if (one["dataset"], one["model"]) == (dataset, model)]
        for name, caption, figure in report.draw_rows(own):
            yield f"{dataset}-{model}-{name.replace('/', '-')}", caption, figure
    yield from report.draw_cells(mined)
    for name, study in STUDIES.items():
        yield from study.draw(of_study(rows, name))


def publish(rows, *, add=False):
    """Keep rows in results/measured/, then write results/tables/, results/figures/ and the generated sections of all
    that are there; returns the sections that changed. add: pool each row with the one of another seed that is there.
    Raises ValueError for rows made from uncommitted code, and where rows cannot be pooled."""
    dirty = [one["method"] for one in rows if one.get("dirty")]
    if dirty:
        raise ValueError(f"rows of {', '.join(dirty)} were made from uncommitted code: commit, and test them again")
    rows = [with_published(one) for one in rows] if add else rows
    for one in rows:
        row.save(one, ROOT / "results" / "measured" / one["study"])
    return write(measured())


def with_published(one):
    """A row of one seed pooled with the published row of one other seed, in the order of the seeds; alone where there
    is none. Raises ValueError where either has several seeds, both have the same, or they were made differently."""
    path = row.path_of(one, ROOT / "results" / "measured" / one["study"])
    if not path.is_file():
        return one
    both = sorted([json.loads(path.read_text(encoding="utf-8")), one], key=lambda each: each["seeds"])
    if [len(each["seeds"]) for each in both] != [1, 1] or both[0]["seeds"] == both[1]["seeds"]:
        raise ValueError(
            f"{path.name} has seeds {both[0]['seeds']} and {both[1]['seeds']}, expected one other seed in each: "
            "publish all seeds from one folder of runs, without --add"
        )
    return STUDIES[one["study"]].pool(both)


def write(rows, *, check=False):
    """results/tables/, results/figures/ and the generated sections of these rows; returns the sections that changed.

    check: write nothing, raise ValueError where a section says something else.
    """
    made = make(rows)
    if not check:
        tables.write(made, ROOT / "results" / "tables")
        for name, _, figure in draw(rows):
            figures.save(figure, ROOT / "results" / "figures" / f"{name}.png")
    texts = {table.name: tables.markdown(table) for table in made}
    changed = []
    for document in DOCUMENTS:
        for name in document_sections.names(ROOT / document):
            if name in texts and document_sections.embed(ROOT / document, name, texts[name], check=check):
                changed.append(f"{document} {name}")
    return changed
