"""Every study, registered once: where its rows come from, and what is made of them.

A study is a folder of studies/, whose report.py has `pool` (the rows of several seeds of one method -> one), `tables`
(rows -> list of Table, claims among them) and `figures` (rows -> (file name, caption, Figure) of each). Where it has
them, `attach` adds what lies in the run directories to the rows, `of_cell` what the report of one cell shows beside its
rows, and `summary` and `sentences` say in a few lines what one cell's rows show. Its presets are
scripts/presets/<name>.toml. Reading STUDIES loads no Keras.
"""

import dataclasses
import glob
import importlib
import pathlib

from data import damage
from studies import presets


@dataclasses.dataclass(frozen=True)
class Study:
    """name: of its folders in studies/, scripts/ and results/measured/, and the "study" of its rows; title: heads its
    reports; runs: the folder of run directories whose stages write its rows; paper, question: what it reproduces, what
    it asks."""

    name: str
    title: str
    runs: str
    paper: str
    question: str

    @property
    def report(self):
        """What is made of its rows: its module report.py."""
        return importlib.import_module(f"studies.{self.name}.report")

    def presets(self):
        """preset name -> its parts (studies/presets.py)."""
        return presets.load(self.name)


STUDIES = {
    study.name: study
    for study in (
        Study("dare", "DARE", "dare", "ASE 2022, TOSEM 2024", "does a net's own training history make it robust?"),
        Study("ablation", "DARE", "dare", "ours", "which of DARE's choices matter?"),
        Study("hardening", "DARE", "dare", "ours", "does history help under white-box attack?"),
        Study(
            "robust_training",
            "Robust training",
            "robust_training",
            "DEAT, arXiv 2103.03076; PGD baseline",
            "are most attack steps of adversarial training wasted?",
        ),
        Study(
            "guided_retraining",
            "Guided retraining",
            "guided_retraining",
            "PeerJ CS 9:e1454, 2023",
            "in which order should a net see adversarial inputs?",
        ),
        Study(
            "classwise",
            "Robustness by class",
            "classwise",
            "KDD 2021",
            "which classes are robust least; is Temperature-PGD stronger?",
        ),
    )
}


def of_study(rows, study):
    return [one for one in rows if one["study"] == study]


def finished(runs, folder, cell=None):
    """The files of the finished rows in <runs>/<folder>/, in order. cell: the folder of one cell (None: all)."""
    paths = (pathlib.Path(runs) / folder).glob(f"{glob.escape(cell) if cell else '*'}/seed*/*/row*.json")
    return [path for path in sorted(paths) if (path.parent / "run.json").is_file()]


def collect_all(runs, names=tuple(STUDIES)):
    """The rows of all named studies that have any in `runs`, as `collect` gives them."""
    folders = [one for one in dict.fromkeys(STUDIES[name].runs for name in names) if finished(runs, one)]
    return [row for folder in folders for row in collect(runs, folder) if row["study"] in names]


def collect(runs, folder, cell=None):
    """One row a (study, data set, model, method) of <runs>/<folder>/, the seeds of a cell pooled; DARE's with their
    differences from the controls. cell: the folder of one cell (None: all). Raises FileNotFoundError where there is
    none."""
    from pipeline import records  # late, as all that loads Keras
    from reporting import row

    found, folders = {}, {}
    for path in finished(runs, folder, cell):
        records.intact(path.parent)
        one = row.load(path)
        key = one["study"], one["dataset"], one["model"], one["method"]
        found.setdefault(key, []).append(one)
        folders.setdefault(key, []).append(path.parent)
    if not found:
        missing = pathlib.Path(runs) / folder / (cell or "")
        raise FileNotFoundError(f"{missing}: no row.json; make them with the test or attack stage of scripts/{folder}/")
    rows = [STUDIES[study].report.pool(seeds) for (study, *_), seeds in found.items()]
    for name in {study for study, *_ in found}:
        if hasattr(STUDIES[name].report, "attach"):
            own = iter(STUDIES[name].report.attach(of_study(rows, name), folders))
            rows = [next(own) if one["study"] == name else one for one in rows]
    return rows


def tables(rows, left_out=None):
    """The tables of all studies that have rows, in the order of STUDIES. left_out: as in `whole`."""
    made = (_of_each(rows, f"tables of {name}", "tables", name, left_out) for name in STUDIES)
    return [table for tables in made for table in tables]


def figures(rows, left_out=None):
    """(file name, caption, Figure) of every figure that is made of rows alone. left_out: as in `whole`."""
    for name in STUDIES:
        yield from _of_each(rows, f"figures of {name}", "figures", name, left_out)


def summary(name, rows):
    """The short tables of a study on one cell's rows: none where it has none, or no such row."""
    own, report = of_study(rows, name), STUDIES[name].report
    return report.summary(own) if own and hasattr(report, "summary") else []


def summaries(rows):
    """The short tables of every study and cell."""
    cells = dict.fromkeys((row["dataset"], row["model"]) for row in rows)
    own = [[row for row in rows if (row["dataset"], row["model"]) == cell] for cell in cells]
    return [table for of_cell in own for name in STUDIES for table in summary(name, of_cell)]


def sentences(name, rows):
    """What a study says of one cell's rows, in sentences."""
    own, report = of_study(rows, name), STUDIES[name].report
    return report.sentences(own) if own and hasattr(report, "sentences") else []


def _of_each(rows, what, part, name, left_out):
    """What the report of a study makes of its rows: nothing where there are none."""
    own = of_study(rows, name)
    return whole(what, lambda: getattr(STUDIES[name].report, part)(own), left_out) if own else ()


def whole(what, make, left_out):
    """Yield what `make()` gives, up to where one of it cannot be made.

    left_out: a list that takes a sentence on that; None: the error is raised. what: in the sentence.
    """
    try:
        yield from make()
    except Exception as error:  # a gap in a row, or rows that do not fit together: the others have their say
        if left_out is None:
            raise
        left_out.append(f"{what}, from one on that cannot be made: {damage.reason(error)}")
