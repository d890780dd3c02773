"""The DARE study's tables: four for every data set and model.

    <study>-<dataset>-<model>-er            clean accuracy and Empirical Robustness, the published value in brackets
    <study>-<dataset>-<model>-change        clean images that are classified otherwise, fixed and broken
    <study>-<dataset>-<model>-transfer      ER on held-out images and with enlarged perturbations; worst case
    <study>-<dataset>-<model>-white-box     white-box accuracy within epsilon, and the median minimal perturbation

A line for each method. Every cell is `mean ± standard deviation over repeats (published)`, in percent unless it says
otherwise. Columns and tables without measurements are left out.
"""

import dataclasses
from collections.abc import Mapping, Sequence

from dare import controls, variants
from reporting import marks, notes
from reporting.cell import cell_name
from reporting.order import attacks, place
from reporting.tables import Cell, Table

METHODS = ("original", *variants.VARIANTS)
CONTROLS = tuple(controls.CONTROLS)
TRANSFER = {"er-heldout": "held-out", "er-x1.1": "×1.1", "er-x1.5": "×1.5"}

UNSEEN = (
    "unseen: mean over the attacks that a method used neither in training (for an adv- line, all but its own) nor in "
    "the choice of its learning rate. These attacks differ between lines."
)
HELDOUT = (
    "held-out: adversarials of x_test; ×1.1, ×1.5: adversarials of x_train, perturbations enlarged by this factor."
)
CHANGED = "changed: clean test images whose predicted class is not the original's."
REPAIRED = "RR, repair rate: clean test images that are correct now, of those that the original misclassifies."
BROKEN = "NFR, negative flip rate: test images that the original classifies correctly and the method not, of all."
BREAK = "BR, break rate: the same, of those that the original classifies correctly."
EFFORT = (  # heading, detail of a row, factor, digits, note
    ("weights changed", "weights_changed", 1, 0, "weights changed: number of weights whose value differs."),
    (
        "change, %",
        "relative_change",
        100,
        3,
        "change: norm of the change of all weights, relative to their norm, %; -: not recorded.",
    ),
    (
        "passes",
        "passes",
        1,
        0,
        "passes: images that go forward and backward through the net in one tuning; -: unknown.",
    ),
)
WORST = "worst case: correct on every attack's adversarial of the same image of x_train"
DROPPED = "images on which an attack failed are left out"
NONE_FAILED = "every attack succeeded on each image"
FAILED = "on {} of {} images some attack failed; a failed attack counts as correct"
WHITE_BOX = "attack@epsilon: accuracy on x_test under white-box attack within Linf radius epsilon, pixels in [0, 1]."
MINIMAL = (
    "median minimal: Linf norm of the smallest perturbation that fools the model, pixels in [0, 1]; larger is better."
)
SEVERAL = (
    "Attacks run in the order of the lines below, each with increasing epsilon, and only on images that are still "
    "correct. worst: correct under all attacks."
)
NORMS = "median minimal: in the norm of the attack, given below; l0 counts changed values."


def dare_tables(rows: Sequence[Mapping]) -> list[Table]:
    """The tables of all rows (reporting.row), by data set and model in the order of the rows.

    Raises ValueError for a row without title or valid role, and for two rows of one method.
    """
    candidates = []
    for (study, dataset, model), methods in cells(rows).items():
        name = f"{study}-{cell_name(dataset, model)}"
        candidates += [_robustness(name, methods), _change(name, methods)]
        candidates += [_transfer(name, methods), _white_box(name, methods)]
    return [table for table in candidates if table is not None]


def cells(rows: Sequence[Mapping]) -> dict[tuple, list]:
    """(study, dataset, model) -> its rows in the order of the tables: original, methods, baselines, controls."""
    by_cell = {}
    for row in rows:
        name = f"{row['dataset']}-{row['model']}-{row['method']}"
        if row.get("role") not in notes.ROLES or "title" not in row:
            valid = ", ".join(notes.ROLES)
            raise ValueError(f"row {name} has role {row.get('role')!r}; expected a title and a role of {valid}")
        methods = by_cell.setdefault((row["study"], row["dataset"], row["model"]), {})
        if row["method"] in methods:
            raise ValueError(f"two rows of {name}: expected one row for each method")
        methods[row["method"]] = row
    return {cell: sorted(methods.values(), key=_rank) for cell, methods in by_cell.items()}


def _robustness(name, rows):
    known = attacks(rows)
    columns = [("clean", "clean", 1), *((attack, f"er/{attack}", 1) for attack in known)]
    table = _table(f"{name}-er", "clean accuracy and Empirical Robustness, %", rows, columns)
    if table is None:
        return None
    table = dataclasses.replace(table, notes=(*table.notes, *notes.lines(rows)))
    own = {row["method"].removeprefix("adv-") for row in rows if row["role"] == "baseline"}
    if len(known) < 2 or not own & set(known):
        return table
    lines = tuple((*line, Cell(unseen(row, known))) for line, row in zip(table.rows, rows, strict=True))
    return dataclasses.replace(table, columns=(*table.columns, "unseen"), rows=lines, notes=(UNSEEN, *table.notes))


def _change(name, rows):
    explained = {"changed": CHANGED, "rr": REPAIRED, "nfr": BROKEN, "br": BREAK}
    if all(row["measures"].keys().isdisjoint(explained) for row in rows):
        return None
    columns = [("clean", "clean", 1), ("changed", "changed", 2), ("RR", "rr", 2), ("NFR", "nfr", 2), ("BR", "br", 2)]
    table = _table(f"{name}-change", "clean images that are classified otherwise, %", rows, columns, explained)
    moved = {fact: [_moved(row, *fact[1:3]) for row in rows] for fact in EFFORT}
    moved = {fact: values for fact, values in moved.items() if any(value is not None for value in values)}
    if not moved:
        return table
    lines = tuple(
        (*line, *(Cell(values[place], digits=fact[3]) for fact, values in moved.items()))
        for place, line in enumerate(table.rows)
    )
    columns = (*table.columns, *(fact[0] for fact in moved))
    return dataclasses.replace(table, columns=columns, rows=lines, notes=(*table.notes, *(fact[4] for fact in moved)))


def _moved(row, key, factor):
    """The mean over repeats of a fact in a row's details; None if the row does not have it."""
    values = row.get(key)
    return None if not values or None in values else factor * sum(values) / len(values)


def unseen(row: Mapping, known: Sequence[str]) -> float | None:
    """The mean ER over the attacks of `known` that the method did not meet (UNSEEN); None if a value is missing."""
    used = {row["method"].removeprefix("adv-"), *row.get("chosen_on", [])}
    values = [row["measures"].get(f"er/{attack}", {}).get("value") for attack in known if attack not in used]
    return None if None in values or not values else sum(values) / len(values)


def _transfer(name, rows):
    kinds = TRANSFER.items()
    columns = [(f"{attack} {title}", f"{kind}/{attack}", 1) for attack in attacks(rows) for kind, title in kinds]
    columns.append(("worst case", "er/worst", 1))
    what = "ER on held-out images and with enlarged perturbations, %"
    return _table(f"{name}-transfer", what, rows, columns, {"er-": HELDOUT, "er/": f"{WORST}; {failed(rows)}."})


def failed(rows: Sequence[Mapping]) -> str:
    """The phrase on how "er/worst" counts images on which an attack failed. Older rows drop such images."""
    methods = {}
    for row in rows:
        measure = row["measures"].get("er/worst")
        if measure is not None:
            phrase = DROPPED
            if "failed" in measure:
                phrase = FAILED.format(measure["failed"], measure["n"]) if measure["failed"] else NONE_FAILED
            methods.setdefault(phrase, []).append(row["method"])
    if len(methods) < 2:
        return "".join(methods)
    return "; ".join(f"{phrase} ({', '.join(names)})" for phrase, names in methods.items())


def _white_box(name, rows):
    columns = [(ball, f"white-box/{ball}", 1) for ball in attacks(rows, "white-box")]
    columns += [(f"median minimal {attack}", f"minimal/{attack}", 5) for attack in attacks(rows, "minimal")]
    what = "accuracy under white-box attack, %"
    explained = {"white-box/": WHITE_BOX, "white-box/worst@": SEVERAL, "minimal/": MINIMAL}
    norms = [_norm(row, attack) for row in rows for attack in attacks(rows, "minimal")]
    if any(norm not in ("linf", None) for norm in norms):
        explained["minimal/"] = NORMS
    table = _table(f"{name}-white-box", what, rows, columns, explained)
    if table is None:
        return None
    return marks.saturated(dataclasses.replace(table, notes=(*table.notes, *marks.margins(rows))), rows)


def _norm(row, attack):
    """The norm of a row's minimal perturbations of an attack; None if unknown."""
    specifications = row.get("attacks", {})
    return specifications.get(f"minimal/{attack}", specifications.get(attack, {})).get("norm")


def _table(name, what, rows, columns, explained=()):
    """The table of (heading, measure, digits) columns that have values; None if no column has.

    explained: start of a measure's name -> the note on its column
    """
    columns = [column for column in columns if any(column[1] in row["measures"] for row in rows)]
    if not columns:
        return None
    measures = [measure for _, measure, _ in columns]
    first = [explained[start] for start in explained if any(measure.startswith(start) for measure in measures)]
    return Table(
        name=name,
        title=f"{rows[0]['dataset']}, {rows[0]['model']}: {what}",
        columns=("method", *(heading + notes.count(rows, measure) for heading, measure, _ in columns)),
        rows=tuple(
            (marks.label(row), *(_cell(row, measure, digits) for _, measure, digits in columns)) for row in rows
        ),
        notes=(*first, *notes.numbers(rows, measures)),
    )


def _cell(row, name, digits):
    measure = row["measures"].get(name)
    if measure is None:
        return Cell(None)
    return Cell(measure["value"], measure.get("spread"), measure.get("published"), digits)


def _rank(row):
    return (list(notes.ROLES).index(row["role"]), *place(row["method"], METHODS + CONTROLS))
