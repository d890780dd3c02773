"""The order of attacks and methods in tables and figures, and rows by cell."""

import fractions
from collections.abc import Callable, Iterable, Mapping, Sequence

from adv import attacks as catalogue

ATTACKS = tuple(catalogue.ATTACKS)


def by_cell(
    rows: Iterable[Mapping], rank: Callable | None = None, *, keys: Sequence[str] = ("dataset", "model")
) -> dict[tuple, list]:
    """The values of `keys` -> the rows that have them, cells in the order of their first rows.

    rank: of a row, by which those of a cell are sorted (None: they keep their order)
    """
    cells = {}
    for row in rows:
        cells.setdefault(tuple(row[key] for key in keys), []).append(row)
    return {cell: sorted(own, key=rank) if rank else own for cell, own in cells.items()}


def attacks(rows: Sequence[Mapping], kind: str = "er") -> list[str]:
    """The attacks with a measure "<kind>/<attack>" in any row, in the catalogue's order, without "worst"."""
    names = {measure.split("/", 1)[1] for row in rows for measure in row["measures"] if measure.startswith(kind + "/")}
    return sorted(names - {"worst"}, key=lambda attack: place(attack, ATTACKS))


def place(name: str, order: Sequence[str]) -> tuple:
    """A sorting key: the position in `order`, then alphabetical for unknown names, then the epsilon after @."""
    stem, _, size = name.partition("@")
    return (order.index(stem) if stem in order else len(order), stem, float(fractions.Fraction(size or 0)))
