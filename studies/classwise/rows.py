"""The rows of the class-wise study, made of saved flags, and what is read off them.

A measure of a row has, beside what reporting.measures says, "right" and "total": how many images of each class. The
details are "classes" (their names), "confusion" (measure -> true class by class named), "flags" (measure -> which
images are right, packed, one text a seed), "weight_norms" (of the last layer, one list a seed), and where measured
"reached".
"""

import fractions

import numpy

from adv import evaluate
from dare.flags import UNKNOWN
from pipeline import run_directory
from reporting import marks
from reporting import measures as of_measures
from reporting import row as result_row
from studies import catalogue

ROBUST = 1.5  # times the accuracy of chance, below which a model has no classes to compare
ORDER = ("original", "method", "baseline", "control", "lever", "retrained")


def measures(flags, split, *, only=("clean", "white-box/")):
    """measure -> its share of right answers, in all and by class, of saved Flags of a model on `split`.

    Raises ValueError where the flags are of other data, and as evaluate.class_wise.
    """
    if flags.data != split.fingerprint:
        raise ValueError(f"flags of data {flags.data[:12]}, expected {split.fingerprint[:12]}: those of {split.name}")
    found = {}
    for name, values in flags.correct.items():
        if name.startswith(only):
            divided = evaluate.class_wise(values, _labels(name, flags), classes=len(split.classes))
            counts = {"right": divided.correct.tolist(), "total": divided.total.tolist()}
            found[name] = of_measures.share([values]) | counts
    return found


def confusions(flags, split, *, only=("clean", "white-box/")):
    """measure -> which class each class is taken for, (K, K) nested lists. Errors as evaluate.confusion."""
    return {
        name: evaluate.confusion(predicted, _labels(name, flags), classes=len(split.classes)).tolist()
        for name, predicted in flags.prediction.items()
        if name.startswith(only)
    }


def _labels(measure, flags):
    """The true labels of the images that a measure is of. Raises ValueError where an earlier file does not have all."""
    found = flags.label[measure]
    if (found == UNKNOWN).any():
        raise ValueError(f"saved flags of model {flags.model[:12]} lack labels: delete them and test again")
    return found


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


def of_cell(arguments):
    """The rows of the cell that the arguments name, its seeds pooled. Raises FileNotFoundError for none."""
    cell = run_directory.folder(arguments, "attack").parents[1].name
    [own] = cells(catalogue.collect(arguments.runs, "classwise", cell)).values()
    return own


def pool(rows):
    """One row for several seeds of one model: counts added up. Raises ValueError as reporting.row.pool."""
    added, together = of_measures.added, of_measures.together
    made = {"confusion": added, "weight_norms": together, "flags": together, "reached": added}
    return result_row.pool(rows, details=made)


def cells(rows):
    """(dataset, model) -> its rows by role, then the most robust on the worst class first."""
    found = {}
    for row in rows:
        found.setdefault((row["dataset"], row["model"]), []).append(row)
    for own in found.values():
        own.sort(key=lambda row: (ORDER.index(row["role"]), -divided(row["measures"][worst(row)]).share.min()))
    return found


def models(rows):
    """The rows of whole models that are robust at all: levers and retrained ones are changes of these."""
    whole = [row for row in rows if row["role"] not in ("lever", "retrained")]
    return [row for row in whole if divided(row["measures"][worst(row)]).mean > ROBUST / len(row["classes"])]


def sound(rows, whole=True):
    """Those of `models` whose checks were all passed: what a claim may be judged by. whole: False: of any role."""
    return marks.sound(models(rows) if whole else rows)[0]


def packed(flags):
    """Flags, bool (N,), as "<N>:<hexadecimal bits>", for a row."""
    return f"{len(flags)}:{numpy.packbits(flags).tobytes().hex()}"


def unpacked(text):
    """The flags that `packed` made into text."""
    count, _, bits = text.partition(":")
    return numpy.unpackbits(numpy.frombuffer(bytes.fromhex(bits), numpy.uint8), count=int(count)).astype(bool)
