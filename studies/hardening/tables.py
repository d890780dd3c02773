"""The tables of hardening: white-box accuracy at equal weight change, equal effort, or bounded clean cost.

They are made from rows of the study "hardening" and their trajectories (levels.py).
"""

from collections.abc import Mapping, Sequence

from reporting import marks, measures, notes
from reporting import row as result_row
from reporting.cell import cell_name
from reporting.tables import Cell, Table
from studies.hardening import levels as levels_of

AXES = {"weight_change": "relative weight change", "bp_epochs": "BP-epochs"}
COSTS = (0.5, 1.0, 2.0)  # points of clean accuracy
LADDER = [round(digit * 10.0**power, 6) for power in range(-4, 1) for digit in (1, 2, 5)]
ALIKE = ("width", "source_epochs", "epsilon", "steps", "bp_epochs", "batch_size")
CHANGE = "Weight change: L2 norm of the change of all trainable weights, relative to that of the original weights."
EFFORT = (
    "BP-epochs: forward and backward passes, divided by the number of samples. A forward pass alone counts half; a "
    "pass through the layers up to R, the regression layer, counts in full. Making the targets is not counted."
)
CHOICE = (
    "In every column, the learning rate is the one with the highest accuracy under attack on x_validation images that "
    "no strategy trains on. Values between two measured points of a trajectory are interpolated linearly."
)
COST = (
    "Cost of at most c: the measured point with the highest accuracy under attack, among those that lose at most c "
    "points of clean accuracy. Both are measured on x_validation images that no strategy trains on; the table shows "
    "accuracies on x_test."
)


def pool(rows: Sequence[Mapping]) -> result_row.Row:
    """One row for several seeds of one method: as reporting.row.pool, with the trajectories of all."""
    return result_row.pool(rows, details={"trajectories": measures.together})


def cells(rows: Sequence[Mapping]) -> dict[tuple, list]:
    """(dataset, model) -> a row for each method, seeds pooled: the original, methods, baselines, controls."""
    by_cell, order = {}, list(notes.ROLES)
    for row in sorted(rows, key=lambda row: order.index(row["role"])):
        by_cell.setdefault((row["dataset"], row["model"]), {}).setdefault(row["method"], []).append(row)
    pooled = {cell: [pool(own) for own in methods.values()] for cell, methods in by_cell.items()}
    for own in pooled.values():
        _check(own)
    return pooled


def tables(rows: Sequence[Mapping]) -> list[Table]:
    """Four tables for every data set and model, a line for each method.

    ``hardening-<dataset>-<model>-change`` at equal weight change, ``-passes`` at equal BP-epochs, ``-cost`` at bounded
    cost of clean accuracy, ``-end`` all measures at the end of the budget.

    Raises ValueError for rows that cannot be compared.
    """
    result = []
    for (dataset, model), methods in cells(rows).items():
        name = f"hardening-{cell_name(dataset, model)}"
        title = f"{dataset}, {model}: hardened with a small budget, accuracy under white-box attack, %"
        shared_notes = _facts(methods)
        trained = [row for row in methods if budget(row)]
        if trained:
            whole = budget(trained[0])
            changes = {f"weight change {level:g}": ("weight_change", level) for level in _change_levels(trained)}
            passes = {f"BP-epochs {level:g}": ("bp_epochs", level) for level in (whole / 4, whole / 2, whole)}
            costs = {f"cost of at most {cost:g}": cost for cost in COSTS}
            for part, what, levels, own_notes in (
                ("change", "equal weight change", changes, (CHANGE, CHOICE)),
                ("passes", "equal BP-epochs", passes, (EFFORT, CHOICE)),
                ("cost", "bounded cost of clean accuracy", costs, (COST,)),
            ):
                result.append(
                    _levels(f"{name}-{part}", f"{title}, at {what}", trained, levels, (*own_notes, *shared_notes))
                )
        lines = f"Lines: {'; '.join(': '.join((row['method'], row['title'])) for row in methods)}."
        end = f"{title}, at the end of the budget"
        result.append(_end(f"{name}-end", end, methods, (CHANGE, EFFORT, CHOICE, *shared_notes, lines)))
    return result


def _change_levels(rows):
    """The three largest levels of the ladder that at least half of the strategies reach."""

    def reaching(level):
        return sum(levels_of.at_level(row, "weight_change", level) is not None for row in rows)

    return [level for level in LADDER if 2 * reaching(level) >= len(rows)][-3:]


def _levels(name, title, rows, levels, sentences):
    """Accuracy under attack and clean. levels: heading -> (axis, level), or the allowed cost."""
    kinds = {"near": _attacked(rows, "near"), "clean": "clean"}
    lines = []
    for row in rows:
        cells = []
        for level in levels.values():
            pooled = levels_of.at_level(row, *level) if isinstance(level, tuple) else levels_of.at_cost(row, level)
            _, values, spread = pooled or (None, {}, {})
            cells += [Cell(values.get(part), spread.get(part)) for part in kinds]
        lines.append((marks.label(row), *cells))
    columns = [f"{heading}: {kind}" for heading in levels for kind in kinds.values()]
    return marks.saturated(Table(name, title, ("method", *columns), tuple(lines), sentences), rows)


def _end(name, title, rows, sentences):
    first = rows[0]
    columns = ["method", "learning rate", "weight change", "change up to R", "BP-epochs", "targets' BP-epochs"]
    columns += [f"clean (n={first['images']['clean']})"]
    columns += [f"{_attacked(rows, size)} (n={first['images'][size]})" for size in ("near", "far")]
    lines = []
    for row in rows:
        rates, values, spread = levels_of.at_level(row, "bp_epochs", budget(row)) or ([], {}, {})
        rate = "/".join(dict.fromkeys(f"{rate:g}" for rate in rates if rate is not None)) or "-"
        changes = [Cell(values.get(part), spread.get(part), digits=4) for part in
                   ("weight_change", "weight_change_regression")]  # fmt: skip
        effort = [Cell(values.get("bp_epochs"), digits=2), Cell(row["hyperparameters"].get("preparation"))]
        accuracy = [Cell(values.get(part), spread.get(part)) for part in ("clean", "near", "far")]
        lines.append((marks.label(row), rate, *changes, *effort, *accuracy))
    return marks.saturated(Table(name, title, tuple(columns), tuple(lines), sentences), rows)


def _attacked(rows, size):
    """The heading of accuracies under attack: the worst case, or the attacks where APGD-T is not among them."""
    attacks = next((weak for row in rows if (weak := marks.weak(row))), "worst case")
    return f"{attacks} at epsilon {rows[0]['epsilons'][size]:.3g}"


def budget(row: Mapping) -> float:
    """The BP-epochs of a row's training; 0 without training."""
    return row["hyperparameters"].get("bp_epochs") or 0


def seeds_of(rows: Sequence[Mapping]) -> list[int]:
    """The seeds of several rows, sorted."""
    return sorted({seed for row in rows for seed in row["seeds"]})


def _facts(rows):
    """The notes on the rows: spread and seeds, intervals, attacks."""
    return tuple(_sentences(rows))


def _sentences(rows):
    seeds = seeds_of(rows)
    over = "seeds" if len(seeds) > 1 else "repeats"
    yield f"a ± b: mean and standard deviation over {over}; seeds {', '.join(map(str, seeds))}."
    short = [row["method"] for row in rows if row["seeds"] != seeds]
    if short:
        yield f"Not comparable, because some of these seeds are missing: {', '.join(short)}."
    yield from notes.numbers(rows, list(rows[0]["measures"]), without=("spread",))
    yield from marks.margins(rows)


def _check(rows):
    """Raise ValueError if the rows of one data set and model were not trained and measured alike."""
    first, trained = rows[0], [row for row in rows if budget(row)]
    samples = {}
    for row in rows:
        for what in ("epsilons", "attacks", "images"):
            if row[what] != first[what]:
                raise ValueError(f"{row['method']} and {first['method']} differ in {what}: measure them alike")
    for row in trained:
        for what in ALIKE:
            if row["hyperparameters"].get(what) != trained[0]["hyperparameters"].get(what):
                raise ValueError(f"{row['method']} and {trained[0]['method']} differ in {what}: make them alike")
        for run in row["trajectories"]:
            if samples.setdefault(run["seed"], run["samples"]) != run["samples"]:
                raise ValueError(f"{row['method']} and {trained[0]['method']} differ in samples: make them alike")
