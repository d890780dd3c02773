"""Tables and figures of the class-wise study's rows."""

from collections.abc import Mapping, Sequence

from studies.classwise.claims import claims_table
from studies.classwise.figures import figures
from studies.classwise.rows import cells, pool
from studies.classwise.tables import class_tables

__all__ = ["figures", "pool", "tables"]


def tables(rows: Sequence[Mapping]) -> list:
    """The tables of every data set and model, with the claims."""
    return [*class_tables(rows), *(claims_table(own) for own in cells(rows).values())]
