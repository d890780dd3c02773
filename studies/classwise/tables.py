"""The tables of the class-wise study.

classwise-<dataset>-<model>           one line a model: mean, worst class, deviation and spread over classes
classwise-<dataset>-<model>-classes   one line a model, one column a class: robust accuracy; -clean: clean accuracy
classwise-<dataset>-<model>-attacks   rank correlation of the class accuracies of every two attacks; -models: of models
classwise-<dataset>-<model>-claims    the published claims (studies/classwise/claims.py)
"""

import numpy

from reporting import attack_words, marks, notes, order, statistics
from reporting.cell import cell_name
from reporting.tables import Cell, Table
from studies.classwise import rows as class_rows

READ = "robust: correct on x_test under {}, each attack run on all images that are correct without one."
EVERY = "every attack below"
STRONGEST = "the attack that fools most, none of them being margin-based"
SAVED = "robust: correct on x_test under the saved attacks, {}."
MEANS = "mean: over classes; worst class: the one with the lowest share; sd, max - min: over classes, in points."
STRATIFIED = "As many images of each class are attacked; clean accuracy is of all test images."


def name_of(dataset, model, study="classwise"):
    """What the tables of a cell are called; of flags that another study saved, after it too."""
    study = "classwise" if study == "classwise" else f"classwise-{study}"
    return f"{study}-{cell_name(dataset, model)}"


def class_tables(rows):
    """The tables of every data set and model, of models under attack alone. Returns a list of Table."""
    made = []
    for (dataset, model), own in class_rows.cells(rows).items():
        whole = [row for row in own if row["role"] != "retrained" and class_rows.worst(row) != "clean"]
        if whole:
            made += [_summary(dataset, model, whole)]
            made += [_by_class(dataset, model, whole, part) for part in ("robust", "clean")]
        if class_rows.models(whole) and rows[0]["study"] == "classwise":
            made += correlations(dataset, model, class_rows.models(whole))
    return made


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
    said = [READ.format(STRONGEST if strongest else EVERY), STRATIFIED]
    if study != "classwise":
        said = [
            SAVED.format(", ".join(dict.fromkeys(class_rows.worst(row).removeprefix("white-box/") for row in rows)))
        ]
    said += [MEANS, "[low, high]: 95 % interval (Wilson, over the images of the class).", *_lines(rows)]
    table = Table(name_of(dataset, model, study), title, columns, tuple(lines), (*said, *marks.margins(rows)))
    return marks.saturated(table, rows)


def _by_class(dataset, model, rows, part):
    """Accuracy of each class with its interval: "robust" or "clean"."""
    lines = []
    for row in rows:
        found = class_rows.divided(row["measures"][class_rows.worst(row) if part == "robust" else "clean"])
        ends = 100 * found.interval
        values = zip(found.share, *ends, strict=True)
        cells = [Cell(100 * float(share), low=low, high=high, digits=0) for share, low, high in values]
        lines.append((marks.label(row), *cells))
    name = f"{name_of(dataset, model, rows[0]['study'])}-classes{'' if part == 'robust' else '-clean'}"
    title = f"{dataset}, {model}: {part} accuracy of each class, %"
    said = "[low, high]: 95 % interval (Wilson, over the images of the class)."
    table = Table(name, title, ("model", *rows[0]["classes"]), tuple(lines), (said, *marks.raised_note(rows)))
    return marks.saturated(table, rows) if part == "robust" else table


def correlations(dataset, model, rows):
    """Two tables of rank correlations (Spearman) of class accuracies: between attacks, the mean over models, and
    between models under their worst case. rows: models whose classes can be compared."""
    names = [f"white-box/{one}" for one in order.attacks(rows, "white-box") if not one.startswith("worst@")]
    attacks = [name for name in names if all(name in row["measures"] for row in rows)]
    shares = {
        (row["method"], name): class_rows.divided(row["measures"][name]).share for row in rows for name in attacks
    }

    def between(one, other):
        return float(
            numpy.mean([statistics.spearman(shares[row["method"], one], shares[row["method"], other]) for row in rows])
        )

    made = []
    if len(attacks) > 1:
        short = [name.removeprefix("white-box/") for name in attacks]
        lines = [(label, *(Cell(between(one, other), digits=2) for other in attacks))
                 for label, one in zip(short, attacks, strict=True)]  # fmt: skip
        title = f"{dataset}, {model}: rank correlation of class accuracies between attacks"
        said = f"Spearman, mean of {len(rows)} models.", *marks.raised_note(rows)
        made.append(Table(f"{name_of(dataset, model)}-attacks", title, ("attack", *short), tuple(lines), said))
    if len(rows) > 1:
        found = [class_rows.divided(row["measures"][class_rows.worst(row)]).share for row in rows]
        methods = [marks.label(row) for row in rows]
        lines = [(label, *(Cell(statistics.spearman(one, other), digits=2) for other in found))
                 for label, one in zip(methods, found, strict=True)]  # fmt: skip
        title = f"{dataset}, {model}: rank correlation of class accuracies between models"
        said = "Spearman, of the robust accuracies of the classes.", *marks.raised_note(rows)
        columns = "model", *map(str, methods)
        made.append(Table(f"{name_of(dataset, model)}-models", title, columns, tuple(lines), said))
    return made


def _lines(rows):
    shown = []
    for row in rows:
        hyperparameters = {name: value for name, value in row["hyperparameters"].items() if name == "epsilon"}
        role = "method" if row["role"] == "lever" else row["role"]
        shown.append({**row, "role": role, "hyperparameters": hyperparameters})
    names = list(dict.fromkeys(name for row in rows for name in row["attacks"] if name.startswith("white-box/")))
    said = []
    for name in names:
        own = [row["attacks"][name] for row in rows if name in row["attacks"]]
        alike = {key: value for key, value in own[0].items() if all(one.get(key) == value for one in own)}
        said.append(f"{name}: {attack_words.words(alike)}.")
    return [*marks.raised_note(rows), *said, *notes.lines(shown)]
