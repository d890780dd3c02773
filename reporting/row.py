"""A result row, one JSON file each: measures, seeds and repeats, provenance, and the study's own `details`.

    {"study": "dare", "dataset": "fashion_mnist", "model": "alexnet", "method": "dare", "title": "DARE",
     "role": "method", "verified": true, "hyperparameters": {...}, "seeds": [0], "repeats": 3,
     "measures": {"er/fgsm": {...}, ...},
     "checks": [{"name": "gradient", "passed": true, "seen": ..., "expected": ...}, ...], "attacks": {...},
     "details": {"frozen_share": ..., ...}, "command": ..., "commit": ..., ..., "origins": []}

Measures: reporting/measures.py. Every file has every field of `Row`; null marks what is unknown of an older result.
"""

from __future__ import annotations  # its types load no library (pipeline/late.py)

import collections.abc
import dataclasses
import math
import pathlib
import re
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from data import damage, files
from pipeline import lineage, provenance
from pipeline.run_directory import Stage
from reporting import measures as of_measures
from reporting.cell import cell_name

TRAIN = ("dare", "robust_training")  # studies whose stages others read


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Row(collections.abc.Mapping):
    """One result. As a mapping it holds fields and details side by side: row["measures"], row.get("curves").

    verified: True if the data files have the published digest
    checks: those of adv.checks and of the study
    attacks: name -> specification
    command ... wall_s: as in pipeline/lineage.py; for several seeds, those of the first (dirty: of any)
    origins: for several seeds, the provenance of each
    """

    study: str
    dataset: str
    model: str
    method: str
    title: str
    role: str
    verified: bool
    hyperparameters: dict
    seeds: list
    repeats: int
    measures: dict
    checks: list | None
    attacks: dict
    details: dict
    command: str
    commands: dict | None
    commit: str | None
    commits: dict | None
    dirty: bool | None
    continued: dict | None
    versions: dict
    device: str
    devices: dict | None
    cores: int | None
    kernels: dict | None
    floatx: str | None
    image_data_format: str | None
    wall_s: dict | None
    origins: list | None

    def __post_init__(self):
        clashing = sorted({*FIELDS} & {*self.details})
        if clashing:
            raise ValueError(f"{self.method}: details have the names of fields of every row: {', '.join(clashing)}")
        names = (self.study, self.dataset, self.model, self.method, self.title, *self.measures)
        unprintable = [name for name in names if not isinstance(name, str) or not files.printable(name)]
        if unprintable:
            raise ValueError(
                f"{self.method!r:.80}: {unprintable[0]!r:.80} is no name, expected one line of printable text"
            )

    def __getitem__(self, name):
        return getattr(self, name) if name in FIELDS else self.details[name]

    def __iter__(self):
        return iter((*(name for name in FIELDS if name != "details"), *self.details))

    def __len__(self):
        return len(FIELDS) - 1 + len(self.details)


FIELDS = tuple(field.name for field in dataclasses.fields(Row))
ORIGIN = ("seeds", *FIELDS[FIELDS.index("command") : FIELDS.index("origins")])


def of_stage(stage: Stage, *, details: dict, **fields: Any) -> Row:
    """The Row that a stage writes: model and seed from its arguments, provenance from the stage and its inputs.

    stage: run_directory.Stage, not yet finished
    details: the study's own entries
    fields: the other fields, study to attacks; repeats is 1 by default
    """
    arguments = stage.identity["arguments"]
    complete = {"model": arguments["model"], "seeds": [arguments["seed"]], "repeats": 1, **fields}
    return Row(**complete, details=details, **lineage.of(stage), origins=[])


def detailed(row: Row, **details: Any) -> Row:
    """The Row with further details."""
    return dataclasses.replace(row, details={**row.details, **details})


def checks(lists: list[list[dict]]) -> list[dict]:
    """One list of checks for several repeats or seeds: for each check the first that failed, else the first.

    lists: one list for each repeat or seed, of dictionaries with name, passed, seen and expected
    """
    by_name = {}
    for check in (check for each in lists for check in each):
        if check["name"] not in by_name or (by_name[check["name"]]["passed"] and not check["passed"]):
            by_name[check["name"]] = check
    return list(by_name.values())


def raised(checks: list[dict] | None) -> str:
    """One sentence on the checks that failed; "" if none failed or none is known."""
    failed = [check for check in checks or [] if not check["passed"]]
    listed = "; ".join(f"{check['name']} ({check['seen']}; expected {check['expected']})" for check in failed)
    return f"checks raised: {listed}: see docs/checks.md" if listed else ""


def saturated(checks: list[dict] | None) -> float | None:
    """The value of the check `saturated` in percent; None if it is not among the checks."""
    return next((check.get("value") for check in checks or [] if check["name"] == "saturated"), None)


CONDITIONAL = {"changed", "rr", "nfr", "br", "rr-confusion"}  # not of every seed: such images may be missing


def trained_alike(row: Mapping) -> dict:
    """The settings that have to be equal for seeds to be pooled: width, epochs and precision of the net."""
    return {name: row["hyperparameters"].get(name) for name in ("width", "source_epochs", "precision")}


def pool(rows: list[Row], *, alike: Callable = trained_alike, details: dict | None = None) -> Row:
    """One Row for several seeds of one method; a single row is returned unchanged.

    Measures are pooled by reporting.measures.pooled. A row may be one of several seeds already.

    alike: function from a row to a dictionary that has to be equal for all rows
    details: name -> function that combines the values of all rows (together, added); dropped if a row lacks the name;
        other details are those of the first row
    A measure of CONDITIONAL that a seed lacks is left out.
    Raises ValueError if the seeds were trained or tested differently.
    """
    first, *further = rows
    if not further:
        return first
    for row in further:
        pair = alike(first), alike(row)
        differing = [name for name in {**pair[0], **pair[1]} if pair[0].get(name) != pair[1].get(name)]
        if differing:
            raise ValueError(f"{first.method}: seeds {first.seeds} and {row.seeds} differ in {', '.join(differing)}")
        differing = {name.removeprefix("noise-") for name in row.measures.keys() ^ first.measures.keys()}
        if row.attacks != first.attacks or differing - CONDITIONAL:
            raise ValueError(f"{first.method}: seeds {first.seeds} and {row.seeds} were tested differently")
    common = [name for name in first.measures if all(name in row.measures for row in further)]
    counts = [len(row.seeds) for row in rows]
    checked = [row.checks for row in rows if row.checks is not None]
    pooled = {name: value for name, value in first.details.items() if name not in (details or {})}
    for name, combine in (details or {}).items():
        if all(name in row.details for row in rows):
            pooled[name] = combine([row.details[name] for row in rows])
    return dataclasses.replace(
        first,
        seeds=list(dict.fromkeys(seed for row in rows for seed in row.seeds)),  # in the order of the values
        repeats=sum(row.repeats for row in rows),
        verified=all(row.verified for row in rows),
        dirty=provenance.any_dirty([row.dirty for row in rows]),
        origins=[origin for row in rows for origin in origins(row)],
        checks=checks(checked) if checked else None,
        measures={name: of_measures.pooled([row.measures[name] for row in rows], counts) for name in common},
        details=pooled,
    )


def origins(row: Mapping) -> list[dict]:
    """The provenance of a row: a dictionary for each of the rows that were pooled into it."""
    return row.get("origins") or [{name: row.get(name) for name in ORIGIN}]


def commands(rows: Sequence[Mapping]) -> list[str]:
    """The commands that made rows, of all seeds, each once, in an order in which they can be run.

    Scripts are numbered in that order within a study; the studies that train come first.
    """
    return sorted(_of_all_stages(rows, "command"), key=_when)


def _when(command):
    """(place of the study, number of the script) of a command: ``python scripts/<study>/<number>_<name>.py ...``."""
    found = re.search(r"scripts/(\w+)/(\d+)_", command)
    return (found[1] not in TRAIN, int(found[2])) if found else (True, math.inf)


def commits(rows: Sequence[Mapping]) -> list[str]:
    """The commits that made rows, of all seeds and stages, each once."""
    return _of_all_stages(rows, "commit")


def made_at(rows: Sequence[Mapping]) -> dict[str, list[str]]:
    """command -> the commits at which it ran for the rows; none where that is not known."""
    ran = {}
    for origin in (origin for row in rows for origin in origins(row)):
        commits_of = origin.get("commits") or {}
        stages = [(command, commits_of.get(name)) for name, command in (origin.get("commands") or {}).items()]
        for command, commit in (*stages, (origin["command"], origin["commit"])):
            ran.setdefault(command, {})[commit] = True
    return {command: [commit for commit in by_commit if commit] for command, by_commit in ran.items()}


def devices(rows: Sequence[Mapping]) -> list[str]:
    """The devices that made rows, of all seeds and stages, each once."""
    return _of_all_stages(rows, "device")


def _of_all_stages(rows, what):
    """The values of `what` of the earlier stages ("commands") and of the last ("command") of each seed."""
    each = (origin for row in rows for origin in origins(row))
    every = (value for origin in each for value in (*(origin.get(f"{what}s") or {}).values(), origin[what]))
    return list(dict.fromkeys(value for value in every if value))


def path_of(row: Mapping, folder: str | pathlib.Path) -> pathlib.Path:
    """The path of a row in a folder of rows: ``<dataset>-<model>-<method>.json``."""
    name = f"{cell_name(row['dataset'], row['model'])}-{row['method']}.json"
    return pathlib.Path(folder) / name.replace("/", "-")


def save(row: Row, path: str | pathlib.Path) -> None:
    """Write a Row to the file `path`."""
    files.write_json(path, {name: getattr(row, name) for name in FIELDS})


def load(path: str | pathlib.Path) -> Row:
    """The Row in a file. Raises FileNotFoundError, and ValueError that names missing and unknown fields."""
    content = files.read_json(path)
    names = list(content) if isinstance(content, dict) else []
    missing, foreign = [name for name in FIELDS if name not in names], [name for name in names if name not in FIELDS]
    faults = [f"{what} {', '.join(fields)}" for what, fields in (("lacks", missing), ("has", foreign)) if fields]
    if faults:
        raise ValueError(f"{path}: this row {' and '.join(faults)}: make its stage again with --overwrite")
    with damage.named(path, "no row", "make its stage again with --overwrite"):
        row = Row(**content)
        mistyped = _mistyped(content)
        if mistyped:
            raise ValueError(f"{mistyped} is not what it must be")
    return row


def _mistyped(content):
    """The name of the first field or measure of a wrong type; None if all types are correct."""
    types = typing.get_type_hints(Row)
    for name in FIELDS:
        known = name not in ORIGIN or content[name] is not None  # an older result may lack a part of its provenance
        if known and not isinstance(content[name], types[name]):
            return name
    for name, measure in content["measures"].items():
        values = measure.get("values") if isinstance(measure, dict) else None
        if not isinstance(values, list) or not all(isinstance(each, int | float) for each in values):
            return f"measure {name}"
        if not isinstance(measure.get("value"), int | float) and (values or "value" not in measure):
            return f"measure {name}"
        if not isinstance(measure.get("n"), int):
            return f"measure {name}"
    for name, kind in (("checks", dict), ("origins", dict), ("seeds", int)):
        if not all(isinstance(each, kind) for each in content[name] or []):
            return name
    return None


def load_all(folder: str | pathlib.Path) -> list[Row]:
    """All rows of a folder, in the order of their file names. Raises ValueError for a file that is not a row."""
    return [load(path) for path in sorted(pathlib.Path(folder).glob("*.json"))]
