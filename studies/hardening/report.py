"""Tables and figures of hardening's rows."""

from collections.abc import Iterator, Mapping, Sequence

from reporting.cell import cell_name
from studies.hardening.figures import trajectories
from studies.hardening.tables import cells, pool, tables

__all__ = ["figures", "pool", "tables"]


def figures(rows: Sequence[Mapping]) -> Iterator[tuple]:
    """Yield (file name, caption, Figure) of every cell."""
    for dataset, model in cells(rows):
        own = [row for row in rows if (row["dataset"], row["model"]) == (dataset, model)]
        caption = "Hardening strategies: accuracy under attack against weight change and effort."
        yield f"{cell_name(dataset, model)}-hardening", caption, trajectories(own)
