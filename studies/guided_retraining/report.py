"""Tables and figures of guided retraining's rows."""

from collections.abc import Mapping, Sequence

from studies.guided_retraining.claims import guided_claims
from studies.guided_retraining.figures import figures
from studies.guided_retraining.row import pool
from studies.guided_retraining.tables import cells, guided_tables

__all__ = ["figures", "pool", "tables"]


def tables(rows: Sequence[Mapping]) -> list:
    """The tables of every data set and model, with the conclusions."""
    return [*guided_tables(rows), *(guided_claims(own) for own in cells(rows).values())]
