"""The tables of the class-wise study.

classwise-<dataset>-<model>           a line for each model: mean, worst class, deviation and spread over classes
classwise-<dataset>-<model>-classes   models down, classes across: robust accuracy; -clean: clean accuracy
classwise-<dataset>-<model>-attacks   rank correlation of class accuracies between attacks; -models: between models
classwise-<dataset>-<model>-claims    the published claims (studies/classwise/claims.py)
"""

from collections.abc import Mapping, Sequence

import numpy

from reporting import attack_words, marks, notes, order, statistics
from reporting.cell import cell_name
from reporting.tables import Cell, Table
from studies.classwise import rows as class_rows

READ = "robust: accuracy on x_test under {}; attacks are run on all images that are correct without an attack."
EVERY = "every attack below"
STRONGEST = "the strongest attack (neither APGD-T nor AutoAttack is among them)"
SAVED = "robust: accuracy on x_test under the saved attacks, {}."
MEANS = "mean: over classes; worst class: the class with the lowest accuracy; sd, max - min: over classes, in points."
STRATIFIED = "Equally many images of each class are attacked. Clean accuracy is over all test images."


def name_of(dataset: str, model: str, study: str = "classwise") -> str:
    """The name of a cell's tables. study: the study that saved the flags, part of the name if it is another study."""
    study = "classwise" if study == "classwise" else f"classwise-{study}"
    return f"{study}-{cell_name(dataset, model)}"


def class_tables(rows: Sequence[Mapping]) -> list[Table]:
    """The tables of every data set and model, for attacked models only."""
    result = []
    for (dataset, model), own in class_rows.cells(rows).items():
        whole = [row for row in own if row["role"] != "retrained" and class_rows.worst(row) != "clean"]
        if whole:
            result += [_summary(dataset, model, whole)]
            result += [_by_class(dataset, model, whole, part) for part in ("robust", "clean")]
        if class_rows.models(whole) and rows[0]["study"] == "classwise":
            result += correlations(dataset, model, class_rows.models(whole))
    return result


def _summary(dataset, model, rows):
    lines = []
    for row in rows:
        clean, robust = (
            class_rows.divided(row["measures"]["clean"]),
            class_rows.divided(row["measures"][class_rows.worst(row)]),
        )
        low, high = 100 * robust.interval[:, robust.worst]
        lines.append(
            (
                marks.label(row),
                Cell(100 * clean.mean),
                Cell(100 * clean.share.min()),
                Cell(100 * robust.mean),
                Cell(100 * robust.share.min(), low=low, high=high),
                row["classes"][robust.worst],
                Cell(100 * robust.std),
                Cell(100 * robust.spread),
            )
        )
    columns = "model", "clean", "clean, worst class", "robust", "robust, worst class", "which", "sd", "max - min"
    study, title = rows[0]["study"], f"{dataset}, {model}: robust accuracy over classes, %"
    strongest = not any("/worst@" in class_rows.worst(row) for row in rows)
    sentences = [READ.format(STRONGEST if strongest else EVERY), STRATIFIED]
    if study != "classwise":
        sentences = [
            SAVED.format(", ".join(dict.fromkeys(class_rows.worst(row).removeprefix("white-box/") for row in rows)))
        ]
    sentences += [MEANS, "[low, high]: 95 % interval (Wilson, over the images of the class).", *_lines(rows)]
    table = Table(name_of(dataset, model, study), title, columns, tuple(lines), (*sentences, *marks.margins(rows)))
    return marks.saturated(table, rows)


def _by_class(dataset, model, rows, part):
    """Accuracy of each class with its interval: "robust" or "clean"."""
    lines = []
    for row in rows:
        by_class = class_rows.divided(row["measures"][class_rows.worst(row) if part == "robust" else "clean"])
        ends = 100 * by_class.interval
        values = zip(by_class.share, *ends, strict=True)
        cells = [Cell(100 * float(share), low=low, high=high, digits=0) for share, low, high in values]
        lines.append((marks.label(row), *cells))
    name = f"{name_of(dataset, model, rows[0]['study'])}-classes{'' if part == 'robust' else '-clean'}"
    title = f"{dataset}, {model}: {part} accuracy of each class, %"
    note = "[low, high]: 95 % interval (Wilson, over the images of the class)."
    sentences = note, *marks.raised_note(rows), *(marks.margins(rows) if part == "robust" else ())
    table = Table(name, title, ("model", *rows[0]["classes"]), tuple(lines), sentences)
    return marks.saturated(table, rows) if part == "robust" else table


def correlations(dataset: str, model: str, rows: Sequence[Mapping]) -> list[Table]:
    """Two tables of rank correlations (Spearman) of class accuracies: between attacks and between models.

    Between attacks: the mean over models. Between models: under their worst case.

    rows: models whose classes can be compared
    """
    names = [f"white-box/{name}" for name in order.attacks(rows, "white-box") if not name.startswith("worst@")]
    attacks = [name for name in names if all(name in row["measures"] for row in rows)]
    shares = {
        (row["method"], name): class_rows.divided(row["measures"][name]).share for row in rows for name in attacks
    }

    def between(first, second):
        return float(
            numpy.mean(
                [statistics.spearman(shares[row["method"], first], shares[row["method"], second]) for row in rows]
            )
        )

    result = []
    if len(attacks) > 1:
        short = [name.removeprefix("white-box/") for name in attacks]
        lines = [(label, *(Cell(between(first, second), digits=2) for second in attacks))
                 for label, first in zip(short, attacks, strict=True)]  # fmt: skip
        title = f"{dataset}, {model}: rank correlation of class accuracies between attacks"
        sentences = f"Spearman, mean of {len(rows)} models.", *marks.raised_note(rows)
        result.append(Table(f"{name_of(dataset, model)}-attacks", title, ("attack", *short), tuple(lines), sentences))
    if len(rows) > 1:
        worst_shares = [class_rows.divided(row["measures"][class_rows.worst(row)]).share for row in rows]
        methods = [marks.label(row) for row in rows]
        lines = [(label, *(Cell(statistics.spearman(first, second), digits=2) for second in worst_shares))
                 for label, first in zip(methods, worst_shares, strict=True)]  # fmt: skip
        title = f"{dataset}, {model}: rank correlation of class accuracies between models"
        sentences = "Spearman, of the robust accuracies of the classes.", *marks.raised_note(rows)
        columns = "model", *map(str, methods)
        result.append(Table(f"{name_of(dataset, model)}-models", title, columns, tuple(lines), sentences))
    return result


def _lines(rows):
    described = []
    for row in rows:
        hyperparameters = {name: value for name, value in row["hyperparameters"].items() if name == "epsilon"}
        role = "method" if row["role"] == "lever" else row["role"]
        described.append({**row, "role": role, "hyperparameters": hyperparameters})
    names = list(dict.fromkeys(name for row in rows for name in row["attacks"] if name.startswith("white-box/")))
    sentences = []
    for name in names:
        own = [row["attacks"][name] for row in rows if name in row["attacks"]]
        alike = {
            key: value for key, value in own[0].items() if all(specification.get(key) == value for specification in own)
        }
        sentences.append(f"{name}: {attack_words.words(alike)}.")
    return [*marks.raised_note(rows), *sentences, *notes.lines(described)]
