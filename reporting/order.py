"""In which order attacks and methods stand."""

import fractions

from adv import attacks as catalogue

ATTACKS = tuple(catalogue.ATTACKS)


def attacks(rows, kind="er"):
    """The attacks with a measure "<kind>/<attack>" in any row, in the order of the catalogue, without "worst"."""
    found = {measure.split("/", 1)[1] for row in rows for measure in row["measures"] if measure.startswith(kind + "/")}
    return sorted(found - {"worst"}, key=lambda attack: place(attack, ATTACKS))


def place(name, order):
    """A sorting key: the place in `order`, then alphabetical for names that it lacks, then the size after @."""
    stem, _, size = name.partition("@")
    return (order.index(stem) if stem in order else len(order), stem, float(fractions.Fraction(size or 0)))
