"""What stands beside numbers that may be too kind: raised checks, saturated logits, a worst case of weak attacks."""

import dataclasses

from adv import scoring
from reporting import row as result_row
from reporting.tables import DAGGER, Cell, Label

MEANING = "their robustness may be hidden, or the numbers say nothing; docs/checks.md says what to do"
UNKNOWN = "not measured"
ANSWERS = ("logits", "batch", "chance", "constant")  # checks of what a model answers, whatever attacks it
SATURATED = (
    "saturated: share of images on which float32 loses the true class's part of the cross-entropy's gradient, so that "
    "attacks that follow it may fail (docs/checks.md)"
)


def raised(row):
    """The names of the checks (adv.checks) of a row that were not passed: a tuple."""
    return tuple(one["name"] for one in row.get("checks") or [] if not one["passed"])


def label(row, text=None):
    """What a row is called in a table: its method, or `text`, with a dagger where a check was raised."""
    names = raised(row)
    return Label(text or row["method"], names) if names else text or row["method"]


def name(row):
    """The same in a figure or a sentence, as text."""
    return str(label(row))


def said(rows):
    """The note on rows whose checks were raised: a list of one sentence, or of none."""
    found = [f"{row['method']} ({', '.join(raised(row))})" for row in rows if raised(row)]
    return [f"{DAGGER} Checks raised: {'; '.join(dict.fromkeys(found))}: {MEANING}."] if found else []


def sound(rows, checks=None):
    """(the rows of which no check was raised, the note on those left out): what a claim may be judged by.

    checks: the names of those that count, as ANSWERS where no attack follows the gradient of these models (None: all).
    """
    bad = {row["method"]: [name for name in raised(row) if checks is None or name in checks] for row in rows}
    left_out = [f"{method} ({', '.join(names)})" for method, names in bad.items() if names]
    notes = [f"Left out, since a check was raised: {'; '.join(left_out)}."] if left_out else []
    return [row for row in rows if not bad[row["method"]]], notes


def warn(what, found):
    """Print one line where one of several checks (adv.checks.Check) was raised."""
    sentence = result_row.raised(list(map(dataclasses.asdict, found)))
    if sentence:
        print(f"{what}: {sentence}")


def saturated(table, rows):
    """A table of white-box numbers, a line a row, with the column of the check of saturation; a note where none has it.

    rows: result rows in the order of the table's lines.
    """
    cells = [_saturation(row) for row in rows]
    if not any(isinstance(cell, Cell) for cell in cells):
        return dataclasses.replace(table, notes=(*table.notes, f"{SATURATED}: {UNKNOWN}."))
    return dataclasses.replace(
        table,
        columns=(*table.columns, "saturated, %"),
        rows=tuple((*line, cell) for line, cell in zip(table.rows, cells, strict=True)),
        notes=(*table.notes, f"{SATURATED}."),
    )


def saturation(rows):
    """The same as a sentence, where a line is not of one row: a list of one."""
    shown = "; ".join(f"{row['method']} {cell}" for row in rows if isinstance(cell := _saturation(row), Cell))
    lacking = [row["method"] for row in rows if not isinstance(_saturation(row), Cell)]
    if not shown:
        return [f"{SATURATED}: {UNKNOWN}."]
    return [f"{SATURATED}, %: {shown}{f'; {UNKNOWN}: ' if lacking else ''}{', '.join(lacking)}."]


def _saturation(row):
    found = [one.get("value") for one in row.get("checks") or [] if one["name"] == "saturated"]
    return Cell(found[0]) if found and found[0] is not None else UNKNOWN


def weak(row, measure="white-box/worst"):
    """The attacks of a row's worst case, in words, where none is margin-based; "" where one is, or none is known."""
    names = {name: one for name, one in row.get("attacks", {}).items() if name.startswith("white-box/")}
    study = names.pop("white-box/worst", {})  # of hardening, whose worst case is all that it keeps
    found = list(study.get("runs", {}).values()) if study else list(names.values())
    if not found or not any(name.startswith(measure) for name in row["measures"]):
        return ""
    if any(scoring.margin_based(one) for one in found):
        return ""
    return study.get("worst case of") or ", ".join(name.removeprefix("white-box/") for name in names)


def margins(rows):
    """The note on worst cases without a margin-based attack: a list of a sentence for each choice of attacks."""
    found = {}
    for row in rows:
        if weak(row):
            found.setdefault(weak(row), []).append(row["method"])
    return [
        f"worst of {attacks}; no margin-based attack, so robustness may be less"
        f"{'' if len(whose) == len(rows) else ': ' + ', '.join(whose)}."
        for attacks, whose in found.items()
    ]
