"""What is made of the rows of the ablation."""

from reporting.cell import cell_name
from studies.ablation import figures as drawing
from studies.ablation.tables import cells, effects, pool, tables

__all__ = ["figures", "pool", "tables"]


def figures(rows):
    """(file name, caption, Figure) of every cell."""
    for (dataset, model), own in cells(rows).items():
        if not effects(own):  # no published setting, none beside it, or no adversarial
            continue
        caption = "One choice of DARE changed at a time; the dotted line is the published setting."
        yield f"{cell_name(dataset, model)}-ablation", caption, drawing.draw_cell(own)
