"""The rows of the class-wise study, made from saved flags, and functions that read them.

A measure has two entries beyond reporting.measures: "right" and "total", the correct and all images of each class.
The details of a row:

    classes         names
    confusion       measure -> counts (true class, predicted class)
    flags           measure -> which images are correct: packed, a text for each seed
    weight_norms    of the last layer, a list for each seed
    reached         of adv.reachable, if measured
"""

import argparse
import fractions
from collections.abc import Mapping, Sequence

import numpy

from adv import evaluate
from dare.flags import UNKNOWN, Flags
from data.split import Split
from pipeline import run_directory
from reporting import marks, order
from reporting import measures as of_measures
from reporting import row as result_row
from studies import catalogue

ROBUST = 1.5  # a model below so many times chance accuracy has no classes to compare
ORDER = ("original", "method", "baseline", "control", "lever", "retrained")


def measures(flags: Flags, split: Split, *, only: tuple[str, ...] = ("clean", "white-box/")) -> dict[str, dict]:
    """measure -> its accuracy, overall and by class, from the saved Flags of a model on `split`.

    only: starts of the measures' names
    Raises ValueError for flags of other data, and as evaluate.class_wise.
    """
    if flags.data != split.fingerprint:
        raise ValueError(f"flags of data {flags.data[:12]}, expected {split.fingerprint[:12]} of {split.name}")
    by_measure = {}
    for name, values in flags.correct.items():
        if name.startswith(only):
            divided = evaluate.class_wise(values, _labels(name, flags), classes=len(split.classes))
            counts = {"right": divided.correct.tolist(), "total": divided.total.tolist()}
            by_measure[name] = of_measures.share([values]) | counts
    return by_measure


def confusions(flags: Flags, split: Split, *, only: tuple[str, ...] = ("clean", "white-box/")) -> dict[str, list]:
    """measure -> counts of (true class, predicted class), (K, K) nested lists. Raises as evaluate.confusion."""
    return {
        name: evaluate.confusion(predicted, _labels(name, flags), classes=len(split.classes)).tolist()
        for name, predicted in flags.prediction.items()
        if name.startswith(only)
    }


def _labels(measure, flags):
    """The true labels of a measure's images. Raises ValueError if an older file lacks some."""
    labels = flags.label[measure]
    if (labels == UNKNOWN).any():
        raise ValueError(f"saved flags of model {flags.model[:12]} lack labels: delete them and test again")
    return labels


def divided(measure: dict) -> evaluate.ClassWise:
    """The evaluate.ClassWise of a row's measure."""
    return evaluate.ClassWise(numpy.array(measure["right"]), numpy.array(measure["total"]))


def worst(row: Mapping) -> str:
    """The measure of a row's robust accuracy: the worst case at the smallest epsilon.

    Without a worst case (no attack reaches APGD-T): the strongest attack at the smallest epsilon. Without an attack:
    "clean".
    """
    names = [name for name in row["measures"] if name.startswith("white-box/")]
    cases = [name for name in names if name.startswith("white-box/worst@")] or names

    def rank(name):
        return float(fractions.Fraction(name.rpartition("@")[2])), row["measures"][name]["value"]

    return min(cases, key=rank, default="clean")


def measure_of(row: Mapping, attack: str) -> str | None:
    """The name of a row's measure under an attack; None if it was not run."""
    return next((name for name in row["measures"] if name.startswith(f"white-box/{attack}@")), None)


def of_cell(arguments: argparse.Namespace) -> list[result_row.Row]:
    """The rows of a cell, seeds pooled. Raises FileNotFoundError without rows."""
    cell = run_directory.folder(arguments, "attack").parents[1].name
    [own] = cells(catalogue.collect(arguments.runs, "classwise", cell)).values()
    return own


def pool(rows: Sequence[Mapping]) -> result_row.Row:
    """One row for several seeds of one model, counts added up. Raises ValueError as reporting.row.pool."""
    added, together = of_measures.added, of_measures.together
    details = {"confusion": added, "weight_norms": together, "flags": together, "reached": added}
    return result_row.pool(rows, details=details)


def cells(rows: Sequence[Mapping]) -> dict[tuple, list]:
    """(dataset, model) -> its rows, by role and then by decreasing robust accuracy of the worst class."""
    return order.by_cell(
        rows, lambda row: (ORDER.index(row["role"]), -divided(row["measures"][worst(row)]).share.min())
    )


def models(rows: Sequence[Mapping]) -> list:
    """The rows of robust models, without levers and retrained models."""
    whole = [row for row in rows if row["role"] not in ("lever", "retrained")]
    return [row for row in whole if divided(row["measures"][worst(row)]).mean > ROBUST / len(row["classes"])]


def sound(rows: Sequence[Mapping], whole: bool = True) -> list:
    """The rows of `models` without raised checks, on which claims are judged. whole: False for rows of any role."""
    return marks.sound(models(rows) if whole else rows)[0]


def packed(flags: numpy.ndarray) -> str:
    """Flags, bool (N,), as "<N>:<hexadecimal bits>", for a row."""
    return f"{len(flags)}:{numpy.packbits(flags).tobytes().hex()}"


def unpacked(text: str) -> numpy.ndarray:
    """The inverse of `packed`: bool (N,)."""
    count, _, bits = text.partition(":")
    return numpy.unpackbits(numpy.frombuffer(bytes.fromhex(bits), numpy.uint8), count=int(count)).astype(bool)
