"""The study of guided retraining: its tables and figures, made of rows (studies/guided_retraining/row.py).

guided_retraining-<dataset>-<model>          one line an order, grouped by configuration: best, inputs, area, time
guided_retraining-<dataset>-<model>-metrics  one line a metric: seconds, ties, APFD
"""

import numpy

from reporting import marks, notes
from reporting.cell import cell_name
from reporting.tables import Cell, Table

READ = (
    "best: highest accuracy on clean and adversarial test inputs together, over the prefixes of the order, %; clean,"
    " adversarial: of the same model; to best, to 99 %: inputs of the shortest prefix with the best accuracy, with 99 %"
    " of it; area: mean accuracy over the prefixes, by inputs; seconds: of all trainings of the line."
)
OVERWRITTEN = " There a third of CIFAR-10's adversarial inputs was a copy of another third."
PUBLISHED = "(in brackets): published in PeerJ CS 9:e1454 (2023), on all images, about twenty prefixes, one run."


def cells(rows):
    """(dataset, model) -> its rows, by configuration, then the best first."""
    found = {}
    for row in rows:
        found.setdefault((row["dataset"], row["model"]), []).append(row)
    for own in found.values():
        own.sort(key=lambda row: (row["configuration"], -row["measures"]["best"]["value"]))
    return found


def name_of(dataset, model):
    return f"guided_retraining-{cell_name(dataset, model)}"


def guided_tables(rows):
    """Two tables for every data set and model. Returns a list of Table."""
    made = []
    for (dataset, model), own in cells(rows).items():
        made += [_orders(dataset, model, own), _metrics(dataset, model, own)]
    return made


def _orders(dataset, model, rows):
    lines = []
    for row in rows:
        measures = row["measures"]
        at_best = [max(curve, key=lambda one: one["both"]["accuracy"]) for curve in row["curves"]]
        parts = [
            100 * float(numpy.mean([one[part]["accuracy"] for one in at_best])) for part in ("clean", "adversarial")
        ]
        seconds = numpy.mean([sum(one["seconds"] for one in curve) for curve in row["curves"]])
        lines.append(
            (
                marks.label(row),
                _cell(measures["best"]),
                *map(Cell, parts),
                _cell(measures["inputs-to-best"], 0),
                _cell(measures["inputs-to-99"], 0),
                _cell(measures["area"]),
                Cell(float(seconds), digits=0),
            )
        )
    first = rows[0]
    original = {
        part: 100 * numpy.mean([one[part]["accuracy"] for one in first["originals"]]) for part in first["originals"][0]
    }
    said = (
        f"The original model: {original['both']:.1f} % of both, {original['clean']:.1f} % clean, "
        f"{original['adversarial']:.1f} % adversarial; {first['measures']['best']['n']} test inputs."
    )
    unverified = [] if all(row["verified"] for row in rows) else [
        "Unverified data: from files without the published digest, so compare no published number."
    ]  # fmt: skip
    alike = {name: value for name, value in first["hyperparameters"].items() if name != "prefixes"}
    counts = {row["configuration"]: len(row["curves"][0]) for row in rows}
    prefixes = ", ".join(f"{count} of {name}" for name, count in counts.items())
    spread = any(measure["spread"] is not None for row in rows for measure in row["measures"].values())
    columns = "order", "best", "clean", "adversarial", "to best", "to 99 %", "area", "seconds"
    return Table(
        name_of(dataset, model),
        f"{dataset}, {model}: guided retraining",
        columns,
        tuple(lines),
        (
            *unverified,
            *marks.raised_note(rows),
            READ,
            said,
            *(["a ± b: mean and standard deviation over seeds."] if spread else []),
            PUBLISHED + (OVERWRITTEN if dataset == "cifar10" else ""),
            f"All: {notes.settings(alike)}; seeds {', '.join(map(str, first['seeds']))}; prefixes: {prefixes}.",
            f"Machine: {', '.join(dict.fromkeys(row['device'] for row in rows))}.",
        ),
    )


def _metrics(dataset, model, rows):
    """One line a metric; what ranking took does not depend on the configuration."""
    lines, seen = [], {}
    for row in rows:
        seen.setdefault(row["metric"], row)
    for name, row in sorted(seen.items()):
        facts = row["rank"]
        apfd = [one["apfd"] for one in facts if one["apfd"] is not None]
        lines.append(
            (
                name,
                Cell(float(numpy.mean([one["seconds"] for one in facts])), digits=2),
                Cell(float(numpy.mean([one["ties"] for one in facts])), digits=0),
                Cell(float(numpy.mean(apfd)) if apfd else None, digits=3),
            )
        )
    first = rows[0]["rank"][0]
    said = (
        f"{first['inputs']} inputs; the forward passes that all metrics share took {first['forward_s']:.1f} s. APFD: of"
        " the order as a prioritiser of the inputs that the original model gets wrong; ties: inputs that score alike."
    )
    warned = dict.fromkeys(f"{name}: {one}" for name, row in seen.items() for one in row["rank"][0]["warnings"])
    title = f"{dataset}, {model}: the metrics"
    columns = "metric", "seconds", "ties", "APFD"
    told = (said, *warned, *marks.raised_note(rows))
    return Table(f"{name_of(dataset, model)}-metrics", title, columns, tuple(lines), told)


def _cell(measure, digits=1):
    return Cell(measure["value"], measure["spread"], measure["published"], digits=digits)
