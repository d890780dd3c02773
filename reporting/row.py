"""One JSON file a result: what was measured, how often, how it spread, and what was published beside it.

    {"study": "dare", "dataset": "fashion_mnist", "model": "alexnet", "method": "dare", "title": "DARE",
     "role": "method", "hyperparameters": {...}, "seeds": [0], "repeats": 3, "verified": true,
     "measures": {"er/fgsm": {"value": 61.2, "n": 950, "values": [61.0, 61.1, 61.5], "spread": 0.26,
                              "interval": [58.1, 64.2], "published": 70.1}, ...},
     "checks": [{"name": "gradient", "passed": true, "seen": ..., "expected": ...}, ...],
     "attacks": {...}, "command": ..., "commit": ..., "device": ..., "wall_s": ..., "origins": [...]}

Shares are in percent; spread is the standard deviation over repeats (None for one); the interval is Wilson's at 95 %
for the mean over repeats, of n examples. A row of several seeds has the command, commit and device of its first, and
those of each under origins.
"""

import json
import pathlib

import numpy

from data import files
from pipeline import provenance
from reporting import statistics
from reporting.order import cell_name

ORIGIN = (  # pipeline/lineage.py; a row of an earlier version lacks some, or has "trained_at"
    *("command", "commands", "commit", "commits", "trained_at", "dirty", "continued", "versions", "device", "devices"),
    *("cores", "kernels", "floatx", "image_data_format", "wall_s"),
)
NAMES = ("study", "dataset", "model", "method", "measures", "command", "commit", "device")


def share(flags, published=None):
    """The measure of one boolean array a repeat: list of (n,) -> dict. published: the paper's value in percent."""
    values = [float(numpy.mean(repeat)) for repeat in flags]
    n = len(flags[0])
    return _measure([100 * value for value in values], n, published) | {"interval": _wilson(numpy.mean(values), n)}


def median(distances):
    """The measure of one float array a repeat: its median, NaN (no adversarial found) counting as infinitely far.

    The value is None where a median is infinite: the attack failed on half of the images or more.
    """
    values = [float(numpy.median(numpy.where(numpy.isnan(repeat), numpy.inf, repeat))) for repeat in distances]
    if not numpy.isfinite(values).all():
        return {"value": None, "n": len(distances[0]), "values": [], "spread": None, "published": None}
    return _measure(values, len(distances[0]), None, digits=5)


def _measure(values, n, published, digits=2):
    spread = round(float(numpy.std(values, ddof=1)), digits) if len(values) > 1 else None
    rounded = [round(value, digits) for value in values]
    return {
        "value": round(float(numpy.mean(values)), digits),
        "n": n,
        "values": rounded,
        "spread": spread,
        "published": published,
    }


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
    """The checks of a row that were not passed, in one sentence; "" where all were."""
    said = "; ".join(f"{one['name']} ({one['seen']}; expected {one['expected']})" for one in found if not one["passed"])
    return f"checks raised: {said}: see docs/checks.md" if said else ""


def pool(rows):
    """One row for several seeds of one method.

    A measure's value is the mean over seeds of their means, its spread the standard deviation of those, its n the sum
    and its interval Wilson's of both; values are those of all repeats; "origins" says of each seed what made it, and
    it is dirty where one was made from uncommitted code. Raises ValueError where the seeds were not
    made alike (width, epochs, attacks, measures).
    """
    if len(rows) == 1:
        return rows[0]
    first = rows[0]
    for row in rows[1:]:
        for what in ("width", "source_epochs"):
            if row["hyperparameters"].get(what) != first["hyperparameters"].get(what):
                raise ValueError(f"{first['method']}: seeds {first['seeds']} and {row['seeds']} differ in {what}")
        if row["attacks"] != first["attacks"] or row["measures"].keys() != first["measures"].keys():
            raise ValueError(f"{first['method']}: seeds {first['seeds']} and {row['seeds']} were tested differently")
    return {
        **first,
        "seeds": sorted({seed for row in rows for seed in row["seeds"]}),
        "repeats": sum(row["repeats"] for row in rows),
        "verified": all(row.get("verified", False) for row in rows),
        "dirty": provenance.any_dirty([row.get("dirty") for row in rows]),
        "origins": [one for row in rows for one in origins(row)],
        "checks": checks([row.get("checks", []) for row in rows]),
        "measures": {name: _pooled([row["measures"][name] for row in rows]) for name in first["measures"]},
    }


def origins(row):
    """What made a row, a dictionary for each of the rows that were pooled into it."""
    return row.get("origins") or [{"seeds": row["seeds"], **{name: row[name] for name in ORIGIN if name in row}}]


def devices(rows):
    """The devices that rows were made on, each once."""
    return list(dict.fromkeys(one["device"] for row in rows for one in origins(row)))


def _pooled(measures):
    first, n = measures[0], sum(measure["n"] for measure in measures)
    if any(measure["value"] is None for measure in measures):
        return {**first, "value": None, "n": n, "spread": None, "values": []}
    made = _measure([measure["value"] for measure in measures], n, first["published"], digits=5)
    made["values"] = [value for measure in measures for value in measure["values"]]
    if all("failed" in measure for measure in measures):
        made["failed"] = sum(measure["failed"] for measure in measures)
    if "interval" not in first:
        return made
    return made | {"interval": _wilson(made["value"] / 100, n)}


def _wilson(share, n):
    """The interval of a mean share over repeats, of n examples, in percent."""
    found = statistics.wilson(round(n * float(share)), n)
    return [round(100 * found.low, 2), round(100 * found.high, 2)]


def path_of(row, folder):
    """Where a row lies in a folder of rows: ``<dataset>-<model>-<method>.json``."""
    return pathlib.Path(folder) / f"{cell_name(row['dataset'], row['model'])}-{row['method']}.json"


def save(row, folder):
    """Write a row to its place in `folder`; returns the path."""
    path = path_of(row, folder)
    files.write_json(path, row)
    return path


def load_all(folder):
    """All rows of a folder, in the order of their file names. Raises ValueError for a file that is not a row."""
    rows = []
    for path in sorted(pathlib.Path(folder).glob("*.json")):
        try:
            row = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"{path}: not JSON ({error})") from error
        missing = [name for name in NAMES if not isinstance(row, dict) or name not in row]
        if missing:
            raise ValueError(f"{path}: this row lacks {', '.join(missing)}")
        rows.append(row)
    return rows
