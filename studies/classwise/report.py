"""What is made of the rows of the class-wise study."""

from studies.classwise.claims import claims_table
from studies.classwise.figures import figures
from studies.classwise.rows import cells, pool
from studies.classwise.tables import class_tables

__all__ = ["figures", "pool", "tables"]


def tables(rows):
    """The tables of every data set and model, and of the claims on each."""
    return [*class_tables(rows), *(claims_table(own) for own in cells(rows).values())]
