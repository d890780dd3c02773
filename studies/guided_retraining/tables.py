"""The tables of guided retraining, from its rows (studies/guided_retraining/row.py).

guided_retraining-<dataset>-<model>          a line for each order, by configuration: best, inputs, area, time
guided_retraining-<dataset>-<model>-metrics  a line for each metric: seconds, ties, APFD
guided_retraining-<dataset>-<model>-robot    a line for each selector of RobOT's own retraining
"""

from collections.abc import Mapping, Sequence

import numpy

from reporting import marks, notes, order
from reporting.cell import cell_name
from reporting.tables import Cell, Table
from studies.guided_retraining.row import ROBOT, best_point

READ = (
    "best: highest accuracy over the prefixes of the order, on clean and adversarial test inputs together, %; clean, "
    "adversarial: accuracies of the same model; to best, to 99 %: inputs of the shortest prefix with the best accuracy "
    "or 99 % of it; area: mean accuracy over the prefixes, weighted by inputs; seconds: of all trainings of the line."
)
READ_ROBOT = (
    "Retrained on all training images and the selected attacked ones. best: highest accuracy over the numbers of "
    "selected inputs, on attacked test images made once on the original model, %; clean, adversarial: accuracies of "
    "the same model; to best, to 99 %: fewest selected inputs with the best accuracy or 99 % of it; area: mean "
    "accuracy, weighted by selected inputs; seconds: of all trainings of the line."
)
ANEW = (
    "anew: accuracy of the best model on test images that RobOT's attacks make on that model itself, %. What it lacks "
    "of best was learnt against the old images alone. The original model's is its adversarial accuracy."
)
OVERWRITTEN = " In the published run, a third of CIFAR-10's adversarial inputs was a copy of another third."
PUBLISHED = "(in brackets): published in PeerJ CS 9:e1454 (2023), on all images, about twenty prefixes, one run."


def cells(rows: Sequence[Mapping]) -> dict[tuple, list]:
    """(dataset, model) -> its rows, by configuration and then by decreasing best accuracy."""
    return order.by_cell(rows, lambda row: (row["configuration"], -row["measures"]["best"]["value"]))


def name_of(dataset: str, model: str) -> str:
    """The name of a cell's tables."""
    return f"guided_retraining-{cell_name(dataset, model)}"


def guided_tables(rows: Sequence[Mapping]) -> list[Table]:
    """Two tables for every data set and model."""
    tables = []
    for (dataset, model), own in cells(rows).items():
        study, robot = of_study(own), [row for row in own if row["configuration"] == ROBOT]
        if study:
            tables += [_orders(dataset, model, study), _metrics(dataset, model, study)]
        if robot:
            tables.append(_orders(dataset, model, robot))
    return tables


def of_study(rows: Sequence[Mapping]) -> list:
    """The rows without those of RobOT's own retraining."""
    return [row for row in rows if row["configuration"] != ROBOT]


def _orders(dataset, model, rows):
    """The orders of C1 to C3, or RobOT's selections: those are measured on other inputs."""
    robot, lines = rows[0]["configuration"] == ROBOT, []
    part = "adversarial" if robot else "both"
    attacked = sorted({name for row in rows for name in row["measures"] if name.startswith(("anew", "autoattack@"))})
    for row in rows:
        measures = row["measures"]
        at_best = [best_point(curve, part) for curve in row["curves"]]
        parts = [
            100 * float(numpy.mean([point[half]["accuracy"] for point in at_best])) for half in ("clean", "adversarial")
        ]
        seconds = numpy.mean([sum(point["seconds"] for point in curve) for curve in row["curves"]])
        lines.append(
            (
                marks.label(row),
                _cell(measures["best"]),
                *map(Cell, parts),
                _cell(measures["inputs-to-best"], 0),
                _cell(measures["inputs-to-99"], 0),
                _cell(measures["area"]),
                Cell(float(seconds), digits=0),
                *(_cell(measures[name]) if name in measures else Cell(None) for name in attacked),
            )
        )
    first = rows[0]
    original = {
        part: 100 * numpy.mean([point[part]["accuracy"] for point in first["originals"]])
        for part in first["originals"][0]
    }
    original_note = (
        f"The original model: {original['both']:.1f} % of both, {original['clean']:.1f} % clean, "
        f"{original['adversarial']:.1f} % adversarial; {first['measures']['best']['n']} test inputs."
    )
    pools = ", ".join(dict.fromkeys(str(fact["inputs"]) for fact in first["rank"]))
    unverified = [] if all(row["verified"] for row in rows) else [
        "Unverified data: the files lack the published digest; do not compare with published numbers."
    ]  # fmt: skip
    alike = {name: value for name, value in first["hyperparameters"].items() if name != "prefixes"}
    counts = {row["configuration"]: len(row["curves"][0]) for row in rows}
    prefixes = ", ".join(f"{count} of {name}" for name, count in counts.items())
    spread = any(measure["spread"] is not None for row in rows for measure in row["measures"].values())
    columns = "order", "best", "clean", "adversarial", "to best", "to 99 %", "area", "seconds", *attacked
    table = Table(
        name_of(dataset, model) + ("-robot" if robot else ""),
        f"{dataset}, {model}: {'RobOT' if robot else 'guided retraining'}",
        columns,
        tuple(lines),
        (
            *unverified,
            *marks.raised_note(rows),
            READ_ROBOT if robot else READ,
            original_note,
            *_attacked_notes(rows, attacked),
            *([f"Selected from pools of {pools} attacked training images, a pool a seed."] if robot else []),
            *(["a ± b: mean and standard deviation over seeds."] if spread else []),
            *([] if robot else [PUBLISHED + (OVERWRITTEN if dataset == "cifar10" else "")]),
            f"All: {notes.settings(alike)}; seeds {', '.join(map(str, first['seeds']))}; prefixes: {prefixes}.",
            f"Machine: {', '.join(dict.fromkeys(row['device'] for row in rows))}.",
        ),
    )
    return marks.saturated(table, rows) if attacked else table


def _attacked_notes(rows, attacked):
    """What the columns of AutoAttack are, and the original model's accuracy there."""
    sentences = [ANEW] if "anew" in attacked else []
    for name in attacked:
        if name == "anew":
            continue
        [first, *_] = [row["measures"] for row in rows if name in row["measures"]]
        sentences.append(
            f"{name}: accuracy of the best model on {first[name]['n']} clean test images under AutoAttack (Linf), run "
            f"anew on it, %; the original model: {first[f'original-{name}']['value']:.1f} %."
        )
    return sentences


def _metrics(dataset, model, rows):
    """A line for each metric; the cost of ranking does not depend on the configuration."""
    lines, row_of_metric = [], {}
    for row in rows:
        row_of_metric.setdefault(row["metric"], row)
    for name, row in sorted(row_of_metric.items()):
        facts = row["rank"]
        apfd = [fact["apfd"] for fact in facts if fact["apfd"] is not None]
        lines.append(
            (
                name,
                Cell(float(numpy.mean([fact["seconds"] for fact in facts])), digits=2),
                Cell(float(numpy.mean([fact["ties"] for fact in facts])), digits=0),
                Cell(float(numpy.mean(apfd)) if apfd else None, digits=3),
            )
        )
    first = rows[0]["rank"][0]
    note = (
        f"{first['inputs']} inputs; the forward passes shared by all metrics took {first['forward_s']:.1f} s. APFD: of "
        "the order, with the inputs that the original model misclassifies as faults; ties: inputs with equal scores."
    )
    warned = dict.fromkeys(
        f"{name}: {warning}" for name, row in row_of_metric.items() for warning in row["rank"][0]["warnings"]
    )
    title = f"{dataset}, {model}: the metrics"
    columns = "metric", "seconds", "ties", "APFD"
    notes_below = (note, *warned, *marks.raised_note(rows))
    return Table(f"{name_of(dataset, model)}-metrics", title, columns, tuple(lines), notes_below)


def _cell(measure, digits=1):
    return Cell(measure["value"], measure["spread"], measure["published"], digits=digits)
