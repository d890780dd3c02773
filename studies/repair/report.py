"""Tables, figures and claims of the repair study's rows."""

from collections.abc import Iterator, Mapping, Sequence

from reporting.cell import cell_name
from studies.repair import claims
from studies.repair import figures as drawing
from studies.repair.attach import attach
from studies.repair.tables import cells, pool
from studies.repair.tables import tables as of_rows

__all__ = ["attach", "figures", "pool", "tables"]


def tables(rows: Sequence[Mapping]) -> list:
    """Two tables of every cell, and its claims."""
    return [*of_rows(rows), *(claims.repair_claims(methods) for methods in cells(rows).values())]


def figures(rows: Sequence[Mapping]) -> Iterator[tuple]:
    """Yield (file name, caption, Figure) of every cell that has a row of the original, against which it is drawn."""
    for (dataset, model), methods in cells(rows).items():
        if all(row["role"] != "original" for row in methods):
            continue
        caption = "Repair: change of clean accuracy against ER and against accuracy under AutoAttack."
        yield f"{cell_name(dataset, model)}-repair", caption, drawing.draw_cell(methods)
