"""The result of one DARE cell in a narrow table and three sentences."""

from collections.abc import Mapping, Sequence

import numpy

from reporting import marks, order
from reporting.cell import cell_name
from reporting.tables import Cell, Table
from studies.dare import claims, tables

FEW = ("original", "dare", "adv-pgd", "weight-noise", "swa", "other-seed")  # one of each kind


def table(
    rows: Sequence[Mapping], methods: Sequence[str] | None = None, what: str = "what each method scores, %"
) -> Table:
    """The summary Table of one cell's rows. methods: names (None: all); what: text of the title."""
    ((study, dataset, model), own), *_ = tables.cells(rows).items()
    selected = [row for row in own if methods is None or row["method"] in methods]
    attacks, ball = shared_attacks(own), smallest_ball(own)
    columns = {"clean": ["clean"]}
    if attacks:
        columns[f"mean ER ({', '.join(attack.removeprefix('er/') for attack in attacks)})"] = attacks
    if ball:
        columns[ball.removeprefix("white-box/")] = [ball]
    lines = tuple((marks.label(row), *(mean(row, measures) for measures in columns.values())) for row in selected)
    name = f"{study}-{cell_name(dataset, model)}-{'short' if methods else 'summary'}"
    return Table(name, f"{dataset}, {model}: {what}", ("method", *columns), lines)


def shared_attacks(rows: Sequence[Mapping]) -> list[str]:
    """The measures "er/<attack>" that every row has."""
    return [f"er/{name}" for name in order.attacks(rows) if all(f"er/{name}" in row["measures"] for row in rows)]


def smallest_ball(rows: Sequence[Mapping]) -> str | None:
    """The white-box measure at the smallest epsilon of all rows, preferably the worst case; None without one."""
    names = [f"white-box/{ball}" for ball in order.attacks(rows, "white-box")]
    names = [name for name in names if all(name in row["measures"] for row in rows)]
    worst = [name for name in names if name.startswith("white-box/worst@")]
    return next(iter(worst or names), None)


def mean(row: Mapping, measures: Sequence[str]) -> Cell:
    """The mean of a row's measures; empty if it lacks one."""
    values = [row["measures"][name]["value"] for name in measures if name in row["measures"]]
    return Cell(float(numpy.mean(values)) if len(values) == len(measures) else None)


def sentences(rows: Sequence[Mapping]) -> list[str]:
    """Up to three sentences on the result of one cell's rows."""
    (_, own), *_ = tables.cells(rows).items()
    by_method = {row["method"]: row for row in own}
    if "dare" not in by_method:
        return []
    candidates = _cost(own, by_method), _controls(own, by_method), _white_box(own, by_method)
    return [sentence for sentence in candidates if sentence]


def _cost(rows, by_method):
    attacks = shared_attacks(rows)
    if not attacks or "original" not in by_method:
        return ""
    clean, before = (by_method[name]["measures"]["clean"]["value"] for name in ("dare", "original"))
    return (
        f"DARE classifies {mean(by_method['dare'], attacks)} % of the original's adversarials correctly (mean ER) at "
        f"{clean:.1f} % clean accuracy (original: {before:.1f} %)."
    )


def _controls(rows, by_method):
    attacks = shared_attacks(rows)
    simple = [name for name in claims.CONTROLS if name in by_method]
    if not attacks or not simple:
        return ""
    best = max(simple, key=lambda name: mean(by_method[name], attacks).value)
    gap = claims.difference(by_method["dare"], by_method[best], attacks)
    return (
        f"The simple control with the highest mean ER is {best} with {mean(by_method[best], attacks)} %: "
        f"DARE is {_beside(gap, 'above it', 'below it')}."
    )


def _white_box(rows, by_method):
    ball = smallest_ball(rows)
    if not ball or "original" not in by_method:
        return ""
    gap = claims.difference(by_method["dare"], by_method["original"], [ball])
    after, before = (by_method[name]["measures"][ball]["value"] for name in ("dare", "original"))
    attack = f"{ball.removeprefix('white-box/')}, {by_method['dare']['measures'][ball]['n']} images"
    return (
        f"Under white-box attack ({attack}) DARE's accuracy is {after:.1f} %, the original's {before:.1f} %: "
        f"DARE is {_beside(gap, 'more robust', 'less robust')}."
    )


def _beside(gap, above, below):
    """The conclusion from the interval of a difference, in words with its ends."""
    ends = f"{gap.value:+.1f} points, 95 % interval {gap.low:.1f} to {gap.high:.1f}"
    if gap.low > 0:
        return f"{above} ({ends})"
    return f"{below} ({ends})" if gap.high < 0 else f"not significantly {above} or {below} ({ends})"
