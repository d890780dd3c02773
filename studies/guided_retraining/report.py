"""What is made of the rows of guided retraining."""

from studies.guided_retraining.claims import guided_claims
from studies.guided_retraining.figures import figures
from studies.guided_retraining.row import pool
from studies.guided_retraining.tables import cells, guided_tables

__all__ = ["figures", "pool", "tables"]


def tables(rows):
    """The tables of every data set and model, and of the conclusions on each."""
    return [*guided_tables(rows), *(guided_claims(own) for own in cells(rows).values())]
