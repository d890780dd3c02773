"""Warnings beside numbers that may be too high: raised checks, saturated logits, a worst case of weak attacks."""

import dataclasses
from collections.abc import Mapping, Sequence

from adv import scoring
from adv.checks import Check
from reporting import row as result_row
from reporting.tables import DAGGER, Cell, Label, Table

MEANING = "robustness may be overestimated, or the numbers are meaningless; see docs/checks.md"
UNKNOWN = "not measured"
ANSWERS = ("logits", "batch", "chance", "constant")  # checks of a model's outputs, independent of any attack
SATURATED = (
    "saturated: fraction of images on which float32 rounds the true class's part of the cross-entropy gradient to "
    "zero, so that attacks on the cross-entropy may fail (docs/checks.md)"
)


def raised(row: Mapping) -> tuple[str, ...]:
    """The names of a row's checks (adv.checks) that failed."""
    return tuple(check["name"] for check in row.get("checks") or [] if not check["passed"])


def label(row: Mapping, text: str | None = None) -> Label | str:
    """A row's label in a table: its method, or `text`, with a dagger if a check was raised."""
    names = raised(row)
    return Label(text or row["method"], names) if names else text or row["method"]


def name(row: Mapping) -> str:
    """A row's label as text, for a figure or a sentence."""
    return str(label(row))


def raised_note(rows: Sequence[Mapping]) -> list[str]:
    """The note on rows with raised checks: a list with one sentence, or an empty list."""
    listed = [f"{row['method']} ({', '.join(raised(row))})" for row in rows if raised(row)]
    return [f"{DAGGER} Checks raised: {'; '.join(dict.fromkeys(listed))}: {MEANING}."] if listed else []


def sound(rows: Sequence[Mapping], checks: tuple[str, ...] | None = None) -> tuple[list, list[str]]:
    """(the rows without a raised check, the note on the other rows). Claims are judged on the former.

    checks: names of the checks that count (None: all); ANSWERS if no attack uses the gradient of these models
    """
    bad = {row["method"]: [name for name in raised(row) if checks is None or name in checks] for row in rows}
    left_out = [f"{method} ({', '.join(names)})" for method, names in bad.items() if names]
    notes = [f"Left out because a check was raised: {'; '.join(left_out)}."] if left_out else []
    return [row for row in rows if not bad[row["method"]]], notes


def warn(what: str, results: Sequence[Check]) -> None:
    """Print one line if any of several checks was raised. what: the stage; results: list of adv.checks.Check."""
    sentence = result_row.raised(list(map(dataclasses.asdict, results)))
    if sentence:
        print(f"{what}: {sentence}")


def saturated(table: Table, rows: Sequence[Mapping]) -> Table:
    """A white-box table with the column "saturated, %"; with a note instead if no row was checked for saturation.

    rows: result rows in the order of the table's lines
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


def saturation(rows: Sequence[Mapping]) -> list[str]:
    """The same as one sentence in a list, for tables whose lines are not single rows."""
    saturations = "; ".join(f"{row['method']} {cell}" for row in rows if isinstance(cell := _saturation(row), Cell))
    unchecked = [row["method"] for row in rows if not isinstance(_saturation(row), Cell)]
    if not saturations:
        return [f"{SATURATED}: {UNKNOWN}."]
    return [f"{SATURATED}, %: {saturations}{f'; {UNKNOWN}: ' if unchecked else ''}{', '.join(unchecked)}."]


def _saturation(row):
    values = [check.get("value") for check in row.get("checks") or [] if check["name"] == "saturated"]
    return Cell(values[0]) if values and values[0] is not None else UNKNOWN


def weak(row: Mapping, measure: str = "white-box/worst") -> str:
    """The attacks of a row's worst case in words, if none reaches APGD-T; otherwise, or without any attack, "".

    measure: a row without a measure whose name begins so gets ""
    """
    attacks = {name: value for name, value in row.get("attacks", {}).items() if name.startswith("white-box/")}
    worst = attacks.pop("white-box/worst", {})  # hardening keeps only the worst case, with its runs
    specifications = list(worst.get("runs", {}).values()) if worst else list(attacks.values())
    if not specifications or not any(name.startswith(measure) for name in row["measures"]):
        return ""
    if any(scoring.at_least_apgd_t(specification) for specification in specifications):
        return ""
    return worst.get("worst case of") or ", ".join(name.removeprefix("white-box/") for name in attacks)


def margins(rows: Sequence[Mapping]) -> list[str]:
    """The notes on worst cases without APGD-T or AutoAttack: a sentence for each set of attacks."""
    methods = {}
    for row in rows:
        if weak(row):
            methods.setdefault(weak(row), []).append(row["method"])
    return [
        f"worst of {attacks}: neither APGD-T nor AutoAttack is among them, so this is no worst case and "
        f"true robustness may be lower"
        f"{'' if len(names) == len(rows) else ' (' + ', '.join(names) + ')'}."
        for attacks, names in methods.items()
    ]
