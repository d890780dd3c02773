"""DARE's main table over all nets, how often each method is best, and the signed-rank test over the nets.

Counted are pairs of a net (data set and model) and an attack; the paper of 2024 has nine nets and the attacks of
PUBLISHED, that of 2022 also bim.
Rows with a raised check of ANSWERS are left out.
"""

from __future__ import annotations

import collections
from collections.abc import Mapping, Sequence

from reporting import marks, published, statistics
from reporting.claims import confidence
from reporting.tables import Cell, Table, number, signed
from studies.dare import claims, tables

BASELINES = ("adv-fgsm", "adv-pgd", "adv-jsma", "adv-cw")  # of the paper's table
CONTENDERS = ("dare", *BASELINES)
WITH_BIM = (*CONTENDERS, "adv-bim")  # of the study of 2022, which tells how often DARE is highest, and no values
NETS = [(dataset, model) for dataset in published.DATASETS for model in published.MODELS]
HIGHEST = (
    "highest: the method of highest ER, by mean; of equal ones each. clearly: its difference from every other method "
    "lies above 0, at 95 % together (Bonferroni) over images of one source model; published: one-sided signed-rank "
    "tests over nine runs, each p < .05, not corrected. The two do not compare."
)
FIVE = "five attacks: as the study of 2022 counts, with bim and its fine-tuning; published: DARE in 29 of 45."
ADMITTED = f"Controls: {', '.join(claims.CONTROLS)}. Only pairs for which DARE was measured are counted."
IN_BRACKETS = "In brackets: the published mean of nine runs, on nets of full width."
REDUCED = "Not of the published files, so not to be compared with the brackets: {}."
UNSEEN = (
    "unseen: mean over those of the paper's four attacks that a method met neither in training nor in the choice of "
    "its learning rate; pages of cells have bim too."
)
OVER_NETS = (
    "DARE minus the method, a pair for each net; one-sided p that DARE's ER is higher. Below "
    f"{statistics.LEAST_PAIRS} nets no p is below .05, and the differences are printed instead, in points."
)


def scoreboard(rows: Sequence[Mapping]) -> list[Table]:
    """The tables dare-paper-table, dare-best and dare-wilcoxon of the rows of several nets; [] for fewer than two.

    rows: result rows of the study dare, one for each net and method.
    """
    nets = {(dataset, model): _by_method(own) for (_, dataset, model), own in tables.cells(rows).items()}
    nets = {net: methods for net, methods in nets.items() if "dare" in methods}
    return [paper_table(nets), best(nets), over_nets(nets)] if len(nets) > 1 else []


def _by_method(rows):
    return {row["method"]: row for row in marks.sound(rows, marks.ANSWERS)[0]}


def paper_table(nets: dict) -> Table:
    """Clean accuracy, ER of each attack and mean ER over unseen attacks of every net, in one table.

    nets: (data set, model) -> method -> row
    """
    lines = []
    for net, methods in nets.items():
        for name in ("clean", *_attacks(methods), "unseen"):
            cells = [_value(methods.get(method), name) for method in CONTENDERS]
            controls = {method: _value(methods.get(method), name).value for method in claims.CONTROLS}
            controls = {method: value for method, value in controls.items() if value is not None}
            top = max(controls, key=controls.get, default=None)
            beside = f"{top} {number(controls[top], 1)}" if top else "-"
            if any(cell.value is not None for cell in cells):
                lines.append((", ".join(net), name.removeprefix("er/"), *cells, beside))
    title = "Clean accuracy and Empirical Robustness as in the paper's table, %"
    columns = ("net", "measure", *CONTENDERS, "highest control")
    reduced = [", ".join(net) for net, methods in nets.items() if not methods["dare"]["verified"]]
    notes = [REDUCED.format("; ".join(reduced))] if reduced else []
    return Table("dare-paper-table", title, columns, tuple(lines), (IN_BRACKETS, UNSEEN, *notes))


def best(nets: dict) -> Table:
    """In how many pairs each method has the highest ER: published, ours, and ours with the controls admitted."""
    ours, five = (
        [(methods, name) for methods in nets.values() for name in _attacks(methods, attacks)]
        for attacks in (claims.PUBLISHED, (*claims.PUBLISHED, "bim"))
    )
    admitted = (*CONTENDERS, *claims.CONTROLS)
    counted = {  # title -> the contenders, the wins, the pairs
        "published": (CONTENDERS, _published(), len(NETS) * len(claims.PUBLISHED)),
        "ours": (CONTENDERS, _wins(ours, CONTENDERS), len(ours)),
        "ours, five attacks": (WITH_BIM, _wins(five, WITH_BIM), len(five)),
        "ours, controls admitted": (admitted, _wins(ours, admitted), len(ours)),
    }
    lines = [
        (
            method,
            *(
                f"{count[method]} of {total}" if method in contenders else "-"
                for contenders, wins, total in counted.values()
                for count in wins
            ),
        )
        for method in (*WITH_BIM, *claims.CONTROLS)
    ]
    columns = ("method", *(f"{title}: {what}" for title in counted for what in ("highest", "clearly")))
    title = f"Pairs of a net and an attack in which a method has the highest ER ({len(nets)} nets)"
    return Table("dare-best", title, columns, tuple(lines), (HIGHEST, FIVE, ADMITTED))


def over_nets(nets: dict) -> Table:
    """Wilcoxon's signed-rank test over the nets, for each attack and method beside DARE."""
    names = [f"er/{attack}" for attack in claims.PUBLISHED]
    lines = []
    for method in (*BASELINES, *claims.CONTROLS):
        texts = []
        for name in names:
            pairs = [(_value(own["dare"], name).value, _value(own.get(method), name).value) for own in nets.values()]
            texts.append(_tested([pair for pair in pairs if None not in pair]))
        lines.append((f"dare vs. {method}", *texts))
    title = "DARE against each method over the nets: one-sided signed-rank test"
    return Table("dare-wilcoxon", title, ("", *claims.PUBLISHED), tuple(lines), (OVER_NETS,))


def _tested(pairs):
    if not pairs:
        return "-"
    first, second = zip(*pairs, strict=True)
    test = statistics.signed_rank(first, second)
    if test.p is None:
        return ", ".join(signed(first_value - second_value, 1) for first_value, second_value in pairs)
    return f"p = {test.p:.2g} (n = {test.n})"


def _attacks(methods, attacks=claims.PUBLISHED):
    """The measures "er/<attack>" of the attacks that DARE has."""
    return [f"er/{attack}" for attack in attacks if f"er/{attack}" in methods["dare"]["measures"]]


def _value(row, name):
    if row is None:
        return Cell(None)
    if name == "unseen":
        return Cell(tables.unseen(row, claims.PUBLISHED))
    measure = row["measures"].get(name, {"value": None})
    return Cell(measure["value"], None, measure.get("published"))


def _published():
    """(how often each contender is highest, how often clearly) in the paper's 36 pairs."""
    highest, clearly = collections.Counter(), collections.Counter()
    for dataset, model in NETS:
        for attack in claims.PUBLISHED:
            runs = {method: published.dare_runs(dataset, model, method, attack) for method in CONTENDERS}
            top, *equal = _highest({method: sum(values) for method, values in runs.items()})
            highest.update((top, *equal))
            rivals = (runs[method] for method in CONTENDERS if method != top)
            clearly[top] += all(statistics.signed_rank(runs[top], rival).p < 0.05 for rival in rivals)
    return highest, clearly


def _wins(pairs, contenders):
    """The same of our own (methods, measure) pairs, among the contenders that a pair has."""
    highest, clearly = collections.Counter(), collections.Counter()
    for methods, name in pairs:
        measured = {method: row for method, row in methods.items() if method in contenders and name in row["measures"]}
        top, *equal = _highest({method: row["measures"][name]["value"] for method, row in measured.items()})
        highest.update((top, *equal))
        level = confidence(len(measured) - 1)
        gaps = [_gap(measured[top], row, name, level) for method, row in measured.items() if method != top]
        clearly[top] += all(gap.low > 0 for gap in gaps)
    return highest, clearly


def _highest(values):
    """The methods of the highest value, more than one if they are equal: each is then counted."""
    return [method for method, value in values.items() if value == max(values.values())]


def _gap(first, second, name, level):
    """The interval of first minus second: from the paired difference that either of the two rows contains."""
    if name in first.get("differences", {}).get(second["method"], {}):
        return claims.difference(first, second, [name], confidence=level)
    gap = claims.difference(second, first, [name], confidence=level)
    return statistics.Interval(-gap.value, -gap.high, -gap.low)
