"""Every study, registered once: the source of its rows, and its tables and figures.

A study is a folder of studies/. Its report.py has

- `pool`: the rows of several seeds of one method -> one row
- `tables`: rows -> list of Table, claims among them
- `figures`: rows -> (file name, caption, Figure) of each
- `attach` (optional): adds data from the run directories to the rows
- `of_cell` (optional): further contents of the report of one cell
- `summary` and `sentences` (optional): the result of one cell in a few lines

Its presets are scripts/presets/<name>.toml. Reading STUDIES loads no Keras.
"""

import dataclasses
import glob
import importlib
import pathlib
import types
from collections.abc import Callable, Iterator, Mapping, Sequence

from data import damage
from pipeline import records
from studies import presets


@dataclasses.dataclass(frozen=True)
class Study:
    """One study.

    name: of its folders in studies/, scripts/ and results/measured/, and the "study" of its rows
    title: heading of its reports
    runs: the folder of run directories whose stages write its rows
    paper, question: the reproduced publication and its question
    """

    name: str
    title: str
    runs: str
    paper: str
    question: str

    @property
    def report(self) -> types.ModuleType:
        """The study's module report.py."""
        return importlib.import_module(f"studies.{self.name}.report")

    def presets(self) -> dict:
        """preset name -> its parts (studies/presets.py)."""
        return presets.load(self.name)


STUDIES = {
    study.name: study
    for study in (
        Study("dare", "DARE", "dare", "ASE 2022, TOSEM 2024", "does a net's own training history make it robust?"),
        Study("ablation", "DARE", "dare", "ours", "which of DARE's choices matter?"),
        Study("hardening", "DARE", "dare", "ours", "does history help under white-box attack?"),
        Study(
            "repair",
            "DARE",
            "dare",
            "NeuRecover, SANER 2022; Arachne, TOSEM 2023; Apricot, ASE 2019",
            "does repair fix more than DARE and averages do, and at what cost?",
        ),
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


def of_study(rows: Sequence[Mapping], study: str) -> list:
    """The rows of one study."""
    return [row for row in rows if row["study"] == study]


def finished(runs: str | pathlib.Path, folder: str, cell: str | None = None) -> list[pathlib.Path]:
    """The files of the finished rows in <runs>/<folder>/, in order. cell: the folder of one cell (None: all)."""
    paths = (pathlib.Path(runs) / folder).glob(f"{glob.escape(cell) if cell else '*'}/seed*/*/row*.json")
    return [path for path in sorted(paths) if records.finished(path.parent)]


def collect_all(runs: str | pathlib.Path, names: Sequence[str] = tuple(STUDIES)) -> list:
    """The rows in `runs` of all named studies, as returned by `collect`."""
    folders = [folder for folder in dict.fromkeys(STUDIES[name].runs for name in names) if finished(runs, folder)]
    return [row for folder in folders for row in collect(runs, folder) if row["study"] in names]


def collect(runs: str | pathlib.Path, folder: str, cell: str | None = None) -> list:
    """One row for each (study, data set, model, method) of <runs>/<folder>/, its seeds pooled.

    DARE's rows include their differences from the controls.

    cell: the folder of one cell (None: all)
    Raises FileNotFoundError if there is no row, ValueError if a row's stage was changed, or made from stages that have
    been replaced since.
    """
    from reporting import row  # late, as all that loads Keras

    by_key, folders = {}, {}
    for path in finished(runs, folder, cell):
        records.intact(path.parent)
        records.check_unmixed(path.parent)
        loaded = row.load(path)
        key = loaded["study"], loaded["dataset"], loaded["model"], loaded["method"]
        by_key.setdefault(key, []).append(loaded)
        folders.setdefault(key, []).append(path.parent)
    if not by_key:
        missing = pathlib.Path(runs) / folder / (cell or "")
        raise FileNotFoundError(f"{missing}: no row.json; make them with the test or attack stage of scripts/{folder}/")
    rows = [STUDIES[study].report.pool(seeds) for (study, *_), seeds in by_key.items()]
    for name in {study for study, *_ in by_key}:
        if hasattr(STUDIES[name].report, "attach"):
            own = iter(STUDIES[name].report.attach(of_study(rows, name), folders))
            rows = [next(own) if pooled["study"] == name else pooled for pooled in rows]
    return rows


def tables(rows: Sequence[Mapping], left_out: list | None = None) -> list:
    """The tables of all studies that have rows, in the order of STUDIES. left_out: as in `whole`."""
    parts = (_of_each(rows, f"tables of {name}", "tables", name, left_out) for name in STUDIES)
    return [table for part in parts for table in part]


def figures(rows: Sequence[Mapping], left_out: list | None = None) -> Iterator[tuple]:
    """Yield (file name, caption, Figure) of every figure that needs only rows. left_out: as in `whole`."""
    for name in STUDIES:
        yield from _of_each(rows, f"figures of {name}", "figures", name, left_out)


def summary(name: str, rows: Sequence[Mapping]) -> list:
    """A study's short tables for one cell's rows, the one for a terminal first; [] without such tables or rows."""
    own, report = of_study(rows, name), STUDIES[name].report
    return report.summary(own) if own and hasattr(report, "summary") else []


def summaries(rows: Sequence[Mapping]) -> list:
    """The short tables of every study and cell."""
    return [table for own in by_cell(rows).values() for name in STUDIES for table in summary(name, own)]


def by_cell(rows: Sequence[Mapping]) -> dict:
    """(data set, model) -> its rows, of all studies."""
    from reporting import order  # late, as all that loads Keras

    return order.by_cell(rows)


def sentences(name: str, rows: Sequence[Mapping]) -> list[str]:
    """A study's sentences on one cell's rows."""
    own, report = of_study(rows, name), STUDIES[name].report
    return report.sentences(own) if own and hasattr(report, "sentences") else []


def _of_each(rows, what, part, name, left_out):
    """The tables or figures (`part`) of one study's rows; none without rows."""
    own = of_study(rows, name)
    return whole(what, lambda: getattr(STUDIES[name].report, part)(own), left_out) if own else ()


def whole(what: str, make: Callable, left_out: list | None) -> Iterator:
    """Yield the items of `make()`, up to the first that raises an error.

    what: names the items in the sentence on an error
    left_out: list to which that sentence is appended; None: the error is raised
    """
    try:
        yield from make()
    except Exception as error:  # a gap in a row, or rows that do not fit together: the other studies are still shown
        if left_out is None:
            raise
        left_out.append(f"{what}, incomplete after an error: {damage.reason(error)}")
