"""Tables and figures of the ablation's rows."""

from collections.abc import Iterator, Mapping, Sequence

from reporting.cell import cell_name
from studies.ablation import figures as drawing
from studies.ablation.tables import cells, effects, pool, tables

__all__ = ["figures", "pool", "tables"]


def figures(rows: Sequence[Mapping]) -> Iterator[tuple]:
    """Yield (file name, caption, Figure) of every cell."""
    for (dataset, model), own in cells(rows).items():
        if not effects(own):  # no published setting, nothing to compare it with, or no ER
            continue
        caption = "One choice of DARE changed at a time; the dotted line is the published setting."
        yield f"{cell_name(dataset, model)}-ablation", caption, drawing.draw_cell(own)
