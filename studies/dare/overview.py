"""DARE's result in all cells: one line a net."""

from collections.abc import Mapping, Sequence

from reporting import marks, order
from reporting.tables import Cell, Table, signed
from studies.dare import claims, summary, tables

READ = (
    "clean: the original's accuracy, and how DARE changes it. mean ER of these attacks; fine-tuned: the highest of the "
    "models fine-tuned on one attack's adversarials; swa, other-seed, weight-noise: controls. white box: accuracy of "
    "the original under attack on itself, and DARE minus the original with its 95 % interval. Rows with a raised check "
    "of their answers are left out; under white-box attack, rows with any raised check."
)
SIMPLE = ("swa", "other-seed", "weight-noise")


def overview(rows: Sequence[Mapping]) -> list[Table]:
    """The table dare-overview of rows of all nets; [] where no net has DARE and its original.

    rows: result rows of the study dare, one for each net and method
    """
    lines = [_line(dataset, model, own) for (_, dataset, model), own in tables.cells(rows).items()]
    lines = tuple(line for line in lines if line)
    columns = ("net", "clean", "DARE's change", "mean ER of", "DARE", "fine-tuned", *SIMPLE)
    columns += ("white box", "original", "DARE minus original")
    title = "DARE in every cell, beside what it is to beat, %"
    return [Table("dare-overview", title, columns, lines, (READ,))] if lines else []


def _line(dataset, model, rows):
    methods = {row["method"]: row for row in marks.sound(rows, marks.ANSWERS)[0]}
    if not {"dare", "original"} <= {*methods}:
        return None
    attacks = summary.shared_attacks([*methods.values()])
    clean = claims.difference(methods["dare"], methods["original"], ["clean"])
    tuned = [summary.mean(row, attacks).value for name, row in methods.items() if name.startswith("adv-")]
    scores = [summary.mean(methods[name], attacks) if name in methods else Cell(None) for name in ("dare", *SIMPLE)]
    best = Cell(max((value for value in tuned if value is not None), default=None))
    return (
        f"{dataset}, {model}",
        Cell(methods["original"]["measures"]["clean"]["value"]),
        signed(clean.value, 1),
        ", ".join(attack.removeprefix("er/") for attack in attacks) or "-",
        scores[0],
        best,
        *scores[1:],
        *_white_box({row["method"]: row for row in marks.sound(rows)[0]}),
    )


def _white_box(methods):
    """(attack and epsilon, the original's accuracy, DARE's difference from it) at the smallest epsilon."""
    balls = [ball for ball in order.attacks([*methods.values()], "white-box") if ball.startswith("worst@")]
    if not balls or not {"dare", "original"} <= {*methods}:
        return "-", Cell(None), "-"
    ball = f"white-box/{balls[0]}"
    gap = claims.difference(methods["dare"], methods["original"], [ball])
    before = methods["original"]["measures"][ball]["value"]
    return balls[0], Cell(before), f"{signed(gap.value, 1)} [{gap.low:.1f}, {gap.high:.1f}]"
