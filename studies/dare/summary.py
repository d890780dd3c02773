"""DARE's cell in a few lines: one narrow table, and three sentences of what it shows."""

import numpy

from reporting import marks, order
from reporting.cell import cell_name
from reporting.tables import Cell, Table
from studies.dare import claims, tables

FEW = ("original", "dare", "adv-pgd", "weight-noise", "swa", "other-seed")  # one of each kind


def table(rows, methods=None, what="what each method scores, %"):
    """The summary Table of one cell's rows; None where nothing is to be shown. methods: names (None: all)."""
    ((study, dataset, model), own), *_ = tables.cells(rows).items()
    shown = [row for row in own if methods is None or row["method"] in methods]
    attacks, ball = shared_attacks(own), smallest_ball(own)
    columns = {"clean": ["clean"]}
    if attacks:
        columns[f"mean ER ({', '.join(attack.removeprefix('er/') for attack in attacks)})"] = attacks
    if ball:
        columns[ball.removeprefix("white-box/")] = [ball]
    lines = tuple((marks.label(row), *(_mean(row, measures) for measures in columns.values())) for row in shown)
    name = f"{study}-{cell_name(dataset, model)}-{'short' if methods else 'summary'}"
    return Table(name, f"{dataset}, {model}: {what}", ("method", *columns), lines)


def shared_attacks(rows):
    """The measures "er/<attack>" that every row has."""
    return [f"er/{name}" for name in order.attacks(rows) if all(f"er/{name}" in row["measures"] for row in rows)]


def smallest_ball(rows):
    """The white-box measure at the smallest epsilon that all rows have, the worst case if there is one; else None."""
    names = [f"white-box/{ball}" for ball in order.attacks(rows, "white-box")]
    names = [name for name in names if all(name in row["measures"] for row in rows)]
    worst = [name for name in names if name.startswith("white-box/worst@")]
    return next(iter(worst or names), None)


def _mean(row, measures):
    values = [row["measures"][name]["value"] for name in measures if name in row["measures"]]
    return Cell(float(numpy.mean(values)) if len(values) == len(measures) else None)


def sentences(rows):
    """What one cell's rows show of DARE: a list of up to three sentences."""
    (_, own), *_ = tables.cells(rows).items()
    named = {row["method"]: row for row in own}
    if "dare" not in named:
        return []
    return [said for said in (_cost(own, named), _controls(own, named), _white_box(own, named)) if said]


def _cost(rows, named):
    attacks = shared_attacks(rows)
    if not attacks or "original" not in named:
        return ""
    clean, before = (named[name]["measures"]["clean"]["value"] for name in ("dare", "original"))
    return (
        f"DARE classifies {_mean(named['dare'], attacks)} % of the original's adversarials correctly (mean ER) at "
        f"{clean:.1f} % clean accuracy (original: {before:.1f} %)."
    )


def _controls(rows, named):
    attacks = shared_attacks(rows)
    simple = [name for name in claims.CONTROLS if name in named]
    if not attacks or not simple:
        return ""
    best = max(simple, key=lambda name: _mean(named[name], attacks).value)
    found = claims.difference(named["dare"], named[best], attacks)
    return (
        f"Of the controls, which defend nothing, {best} has the highest mean ER, {_mean(named[best], attacks)} %: "
        f"DARE is {_beside(found, 'above it', 'below it')}."
    )


def _white_box(rows, named):
    ball = smallest_ball(rows)
    if not ball or "original" not in named:
        return ""
    found = claims.difference(named["dare"], named["original"], [ball])
    kept, before = (named[name]["measures"][ball]["value"] for name in ("dare", "original"))
    attacked = f"{ball.removeprefix('white-box/')}, {named['dare']['measures'][ball]['n']} images"
    return (
        f"Attacked itself ({attacked}) DARE's model keeps {kept:.1f} % correct, the original {before:.1f} %: "
        f"it is {_beside(found, 'more robust', 'less robust')}."
    )


def _beside(found, above, below):
    """What an interval of a difference says, in words with its ends."""
    ends = f"{found.value:+.1f} points, 95 % interval {found.low:.1f} to {found.high:.1f}"
    if found.low > 0:
        return f"{above} ({ends})"
    return f"{below} ({ends})" if found.high < 0 else f"not shown to be {above} or {below} ({ends})"
