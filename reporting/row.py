"""One JSON file a result: what was measured, how often, what made it, and in `details` what its study alone adds.

    {"study": "dare", "dataset": "fashion_mnist", "model": "alexnet", "method": "dare", "title": "DARE",
     "role": "method", "verified": true, "hyperparameters": {...}, "seeds": [0], "repeats": 3,
     "measures": {"er/fgsm": {...}, ...},
     "checks": [{"name": "gradient", "passed": true, "seen": ..., "expected": ...}, ...], "attacks": {...},
     "details": {"frozen_share": ..., ...}, "command": ..., "commit": ..., ..., "origins": []}

Measures: reporting/measures.py. Every file has every field of `Row`; null is what is not known of an older result.
"""

import collections.abc
import dataclasses
import pathlib
import typing

from data import damage, files
from pipeline import lineage, provenance
from reporting import measures as of_measures
from reporting.cell import cell_name


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Row(collections.abc.Mapping):
    """One result. As a mapping it holds its fields and details side by side: row["measures"], row.get("curves").

    verified: whether the data files have the published digest; checks: of adv.checks and the study; attacks: name ->
    specification; command to wall_s: pipeline/lineage.py, of several seeds the first's but for dirty; origins: of
    several seeds, what made each.
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
        taken = sorted({*FIELDS} & {*self.details})
        if taken:
            raise ValueError(f"{self.method}: details named as fields of every row: {', '.join(taken)}")
        names = (self.study, self.dataset, self.model, self.method, self.title, *self.measures)
        strange = [one for one in names if not isinstance(one, str) or not files.printable(one)]
        if strange:
            raise ValueError(f"{self.method!r:.80}: {strange[0]!r:.80} is no name, expected one line of printable text")

    def __getitem__(self, name):
        return getattr(self, name) if name in FIELDS else self.details[name]

    def __iter__(self):
        return iter((*(name for name in FIELDS if name != "details"), *self.details))

    def __len__(self):
        return len(FIELDS) - 1 + len(self.details)


FIELDS = tuple(field.name for field in dataclasses.fields(Row))
ORIGIN = ("seeds", *FIELDS[FIELDS.index("command") : FIELDS.index("origins")])


def of_stage(stage, *, details, **fields):
    """The Row that `stage` (run_directory.Stage), not yet finished, writes: model and seed are those of its arguments,
    its provenance is read off the stage and all that it was made from.

    details: what the study adds; fields: those that are left, study to attacks; repeats: 1 where it is not given.
    """
    asked = stage.identity["arguments"]
    given = {"model": asked["model"], "seeds": [asked["seed"]], "repeats": 1, **fields}
    return Row(**given, details=details, **lineage.of(stage), origins=[])


def detailed(row, **details):
    """The Row with further details."""
    return dataclasses.replace(row, details={**row.details, **details})


def checks(found):
    """One list for several repeats or seeds: of each check (adv.checks) the first that was not passed, else the first.

    found: list of lists of dictionaries with name, passed, seen and expected.
    """
    kept = {}
    for one in (one for each in found for one in each):
        if one["name"] not in kept or (kept[one["name"]]["passed"] and not one["passed"]):
            kept[one["name"]] = one
    return list(kept.values())


def raised(found):
    """The checks of a row that were not passed, in one sentence; "" where all were, or none is known."""
    failed = [one for one in found or [] if not one["passed"]]
    said = "; ".join(f"{one['name']} ({one['seen']}; expected {one['expected']})" for one in failed)
    return f"checks raised: {said}: see docs/checks.md" if said else ""


def trained_alike(row):
    """What has to be equal for seeds to be pooled: width and epochs of the net."""
    return {name: row["hyperparameters"].get(name) for name in ("width", "source_epochs")}


def pool(rows, *, alike=trained_alike, details=None):
    """One Row for several seeds of one method; the row itself where there is one.

    Measures: reporting.measures.pooled. alike: row -> name -> what has to be equal in all; details: name -> function
    of the values of all rows (together, added) that makes one, left out where a row has none; of others the first's.
    Raises ValueError where the seeds were not made or tested alike.
    """
    first, *others = rows
    if not others:
        return first
    for row in others:
        pair = alike(first), alike(row)
        differing = [what for what in {**pair[0], **pair[1]} if pair[0].get(what) != pair[1].get(what)]
        if differing:
            raise ValueError(f"{first.method}: seeds {first.seeds} and {row.seeds} differ in {', '.join(differing)}")
        if row.attacks != first.attacks or row.measures.keys() != first.measures.keys():
            raise ValueError(f"{first.method}: seeds {first.seeds} and {row.seeds} were tested differently")
    checked = [row.checks for row in rows if row.checks is not None]
    kept = {name: value for name, value in first.details.items() if name not in (details or {})}
    for name, made in (details or {}).items():
        if all(name in row.details for row in rows):
            kept[name] = made([row.details[name] for row in rows])
    return dataclasses.replace(
        first,
        seeds=sorted({seed for row in rows for seed in row.seeds}),
        repeats=sum(row.repeats for row in rows),
        verified=all(row.verified for row in rows),
        dirty=provenance.any_dirty([row.dirty for row in rows]),
        origins=[one for row in rows for one in origins(row)],
        checks=checks(checked) if checked else None,
        measures={name: of_measures.pooled([row.measures[name] for row in rows]) for name in first.measures},
        details=kept,
    )


def origins(row):
    """What made a row, a dictionary for each of the rows that were pooled into it."""
    return row["origins"] or [{name: row[name] for name in ORIGIN}]


def devices(rows):
    """The devices that rows were made on, each once."""
    return list(dict.fromkeys(one["device"] for row in rows for one in origins(row)))


def path_of(row, folder):
    """Where a row lies in a folder of rows: ``<dataset>-<model>-<method>.json``."""
    name = f"{cell_name(row['dataset'], row['model'])}-{row['method']}.json"
    return pathlib.Path(folder) / name.replace("/", "-")


def save(row, path):
    """Write a Row to the file `path`."""
    files.write_json(path, {name: getattr(row, name) for name in FIELDS})


def load(path):
    """The Row in a file. Raises FileNotFoundError, and ValueError naming fields that it lacks or has too many."""
    found = files.read_json(path)
    names = list(found) if isinstance(found, dict) else []
    missing, foreign = [one for one in FIELDS if one not in names], [one for one in names if one not in FIELDS]
    said = [f"{what} {', '.join(those)}" for what, those in (("lacks", missing), ("has", foreign)) if those]
    if said:
        raise ValueError(f"{path}: this row {' and '.join(said)}: make its stage again with --overwrite")
    with damage.named(path, "no row", "make its stage again with --overwrite"):
        made = Row(**found)
        wrong = _mistyped(found)
        if wrong:
            raise ValueError(f"{wrong} is not what it must be")
    return made


def _mistyped(found):
    """The first field of a row, or measure, whose value is of another type than every row's; None where all are."""
    types = typing.get_type_hints(Row)
    for name in FIELDS:
        known = name not in ORIGIN or found[name] is not None  # of an older result not everything that made it is
        if known and not isinstance(found[name], types[name]):
            return name
    for name, measure in found["measures"].items():
        values = measure.get("values") if isinstance(measure, dict) else None
        if not isinstance(values, list) or not all(isinstance(each, int | float) for each in values):
            return f"measure {name}"
        if not isinstance(measure.get("value"), int | float) or not isinstance(measure.get("n"), int):
            return f"measure {name}"
    for name, kind in (("checks", dict), ("origins", dict), ("seeds", int)):
        if not all(isinstance(each, kind) for each in found[name] or []):
            return name
    return None


def load_all(folder):
    """All rows of a folder, in the order of their file names. Raises ValueError for a file that is not a row."""
    return [load(path) for path in sorted(pathlib.Path(folder).glob("*.json"))]
