"""The class-wise study: its rows, tables and figures, made of saved flags and of rows (study "classwise").

A measure of a row has, beside what reporting.row says, "right" and "total": how many images of each class. A row also
has "classes" (their names), "confusion" (measure -> true class by class named), "flags" (measure -> which images are
right, packed, one text a seed), "weight_norms" (of the last layer, one list a seed), and where measured "reached".

classwise-<dataset>-<model>           one line a model: mean, worst class, deviation and spread over classes
classwise-<dataset>-<model>-classes   one line a model, one column a class: robust accuracy; -clean: clean accuracy
classwise-<dataset>-<model>-attacks   rank correlation of the class accuracies of every two attacks; -models: of models
classwise-<dataset>-<model>-claims    the published claims (studies/classwise/claims.py)
"""

import fractions

import numpy
import scipy.stats

from adv import evaluate
from reporting import marks, notes, order
from reporting import row as result_row
from reporting.order import cell_name
from reporting.tables import Cell, Table

ROBUST = 1.5  # times the accuracy of chance, below which a model has no classes to compare
ORDER = ("original", "method", "baseline", "control", "lever", "retrained")
READ = "robust: correct on x_test under {}, each attack run on all images that are correct without one."
EVERY, STRONGEST = "every attack below", "the attack that fools most, none of them being margin-based"
SAVED = "robust: correct on x_test under the saved attacks, {}."
MEANS = "mean: over classes; worst class: the one with the lowest share; sd, max - min: over classes, in points."
STRATIFIED = "As many images of each class are attacked; clean accuracy is of all test images."


def measures(flags, split, *, only=("clean", "white-box/")):
    """measure -> its share of right answers, in all and by class, of saved Flags of a model on `split`.

    Raises ValueError where the flags are of other data, and as evaluate.class_wise.
    """
    if flags.data != split.fingerprint:
        raise ValueError(f"flags of data {flags.data[:12]}, expected {split.fingerprint[:12]}: those of {split.name}")
    found = {}
    for name, values in flags.flags.items():
        if name.startswith(only):
            divided = evaluate.class_wise(values, labels(name, flags, split), classes=len(split.classes))
            counts = {"right": divided.right.tolist(), "total": divided.total.tolist()}
            found[name] = result_row.share([values]) | counts
    return found


def confusions(flags, split, *, only=("clean", "white-box/")):
    """measure -> which class each class is taken for, (K, K) nested lists, of flags that hold predictions."""
    return {
        name: evaluate.confusion(said, labels(name, flags, split), classes=len(split.classes)).tolist()
        for name, said in flags.prediction.items()
        if name.startswith(only)
    }


def labels(measure, flags, split):
    """The true labels of the images that a measure is of."""
    own = split.y_train if measure.startswith(("er/", "er-x")) else split.y_test
    return own[flags.index[measure]]


def divided(measure):
    """The evaluate.ClassWise of a row's measure."""
    return evaluate.ClassWise(numpy.array(measure["right"]), numpy.array(measure["total"]))


def worst(row):
    """The measure that stands for a row's robust accuracy: the worst case within the smallest radius that there is one
    for; without one, of attacks none of which is margin-based, that of the one that fools most there; "clean" where
    there was no attack."""
    names = [name for name in row["measures"] if name.startswith("white-box/")]
    cases = [name for name in names if name.startswith("white-box/worst@")] or names

    def rank(name):
        return float(fractions.Fraction(name.rpartition("@")[2])), row["measures"][name]["value"]

    return min(cases, key=rank, default="clean")


def measure_of(row, attack):
    """The name of a row's measure under a single attack; None where it was not run."""
    return next((name for name in row["measures"] if name.startswith(f"white-box/{attack}@")), None)


def pool(rows):
    """One row for several seeds of one model: counts added up. Raises ValueError as reporting.row.pool."""
    if len(rows) == 1:
        return rows[0]
    made = result_row.pool(rows)
    for name, measure in made["measures"].items():
        for part in ("right", "total"):
            measure[part] = _sum([row["measures"][name][part] for row in rows])
    made["confusion"] = {name: _sum([row["confusion"][name] for row in rows]) for name in made["confusion"]}
    made["weight_norms"] = [one for row in rows for one in row["weight_norms"]]
    made["flags"] = {name: [one for row in rows for one in row["flags"][name]] for name in rows[0]["flags"]}
    if all(row.get("reached") for row in rows):
        made["reached"] = {name: _sum([row["reached"][name] for row in rows]) for name in rows[0]["reached"]}
    return made


def _sum(values):
    return numpy.sum([numpy.asarray(value) for value in values], axis=0).tolist()


def cells(rows):
    """(dataset, model) -> its rows by role, then the most robust on the worst class first."""
    found = {}
    for row in rows:
        found.setdefault((row["dataset"], row["model"]), []).append(row)
    for own in found.values():
        own.sort(key=lambda row: (ORDER.index(row["role"]), -divided(row["measures"][worst(row)]).share.min()))
    return found


def name_of(dataset, model, study="classwise"):
    """What the tables of a cell are called; of flags that another study saved, after it too."""
    study = "classwise" if study == "classwise" else f"classwise-{study}"
    return f"{study}-{cell_name(dataset, model)}"


def class_tables(rows):
    """The tables of every data set and model, of models under attack alone. Returns a list of Table."""
    made = []
    for (dataset, model), own in cells(rows).items():
        whole = [row for row in own if row["role"] != "retrained" and worst(row) != "clean"]
        if whole:
            made += [_summary(dataset, model, whole)]
            made += [_by_class(dataset, model, whole, part) for part in ("robust", "clean")]
        if models(whole) and rows[0]["study"] == "classwise":
            made += correlations(dataset, model, models(whole))
    return made


def _summary(dataset, model, rows):
    lines = []
    for row in rows:
        clean, robust = divided(row["measures"]["clean"]), divided(row["measures"][worst(row)])
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
    strongest = not any("/worst@" in worst(row) for row in rows)
    said = [READ.format(STRONGEST if strongest else EVERY), STRATIFIED]
    if study != "classwise":
        said = [SAVED.format(", ".join(dict.fromkeys(worst(row).removeprefix("white-box/") for row in rows)))]
    said += [MEANS, "[low, high]: 95 % interval (Wilson, over the images of the class).", *_lines(rows)]
    table = Table(name_of(dataset, model, study), title, columns, tuple(lines), (*said, *marks.margins(rows)))
    return marks.saturated(table, rows)


def _by_class(dataset, model, rows, part):
    """Accuracy of each class with its interval: "robust" or "clean"."""
    lines = []
    for row in rows:
        found = divided(row["measures"][worst(row) if part == "robust" else "clean"])
        ends = 100 * found.interval
        values = zip(found.share, *ends, strict=True)
        cells = [Cell(100 * float(share), low=low, high=high, digits=0) for share, low, high in values]
        lines.append((marks.label(row), *cells))
    name = f"{name_of(dataset, model, rows[0]['study'])}-classes{'' if part == 'robust' else '-clean'}"
    title = f"{dataset}, {model}: {part} accuracy of each class, %"
    said = "[low, high]: 95 % interval (Wilson, over the images of the class)."
    table = Table(name, title, ("model", *rows[0]["classes"]), tuple(lines), (said, *marks.said(rows)))
    return marks.saturated(table, rows) if part == "robust" else table


def correlations(dataset, model, rows):
    """Two tables of rank correlations (Spearman) of class accuracies: between attacks, the mean over models, and
    between models under their worst case. rows: models whose classes can be compared."""
    names = [f"white-box/{one}" for one in order.attacks(rows, "white-box") if not one.startswith("worst@")]
    attacks = [name for name in names if all(name in row["measures"] for row in rows)]
    shares = {(row["method"], name): divided(row["measures"][name]).share for row in rows for name in attacks}

    def between(one, other):
        return float(numpy.mean([spearman(shares[row["method"], one], shares[row["method"], other]) for row in rows]))

    made = []
    if len(attacks) > 1:
        short = [name.removeprefix("white-box/") for name in attacks]
        lines = [(label, *(Cell(between(one, other), digits=2) for other in attacks))
                 for label, one in zip(short, attacks, strict=True)]  # fmt: skip
        title = f"{dataset}, {model}: rank correlation of class accuracies between attacks"
        said = f"Spearman, mean of {len(rows)} models.", *marks.said(rows)
        made.append(Table(f"{name_of(dataset, model)}-attacks", title, ("attack", *short), tuple(lines), said))
    if len(rows) > 1:
        found = [divided(row["measures"][worst(row)]).share for row in rows]
        methods = [marks.label(row) for row in rows]
        lines = [(label, *(Cell(spearman(one, other), digits=2) for other in found))
                 for label, one in zip(methods, found, strict=True)]  # fmt: skip
        title = f"{dataset}, {model}: rank correlation of class accuracies between models"
        said = "Spearman, of the robust accuracies of the classes.", *marks.said(rows)
        columns = "model", *map(str, methods)
        made.append(Table(f"{name_of(dataset, model)}-models", title, columns, tuple(lines), said))
    return made


def spearman(one, other):
    """Spearman's rank correlation; 0 where one of the two is the same for all classes."""
    if numpy.ptp(one) == 0 or numpy.ptp(other) == 0:
        return 0.0
    return float(numpy.corrcoef(scipy.stats.rankdata(one), scipy.stats.rankdata(other))[0, 1])


def models(rows):
    """The rows of whole models that are robust at all: levers and retrained ones are changes of these."""
    whole = [row for row in rows if row["role"] not in ("lever", "retrained")]
    return [row for row in whole if divided(row["measures"][worst(row)]).mean > ROBUST / len(row["classes"])]


def sound(rows, whole=True):
    """Those of `models` whose checks were all passed: what a claim may be judged by. whole: False: of any role."""
    return marks.sound(models(rows) if whole else rows)[0]


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
        said.append(f"{name}: {notes.attack(alike)}.")
    return [*marks.said(rows), *said, *notes.lines(shown)]
