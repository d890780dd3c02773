"""What is made of the rows of robust training."""

from reporting.cell import cell_name
from studies.robust_training.claims import deat_claims
from studies.robust_training.figures import trajectories
from studies.robust_training.tables import cells, pool, robust_training_tables

__all__ = ["figures", "pool", "tables"]


def tables(rows):
    """The tables of every data set and model, and of the claims on each."""
    return [*robust_training_tables(rows), *(deat_claims(own) for own in cells(rows).values())]


def figures(rows):
    """(file name, caption, Figure) of every cell."""
    for (dataset, model), own in cells(rows).items():
        caption = "robust accuracy on held-out images against BP-epochs, by kind of method"
        yield f"{cell_name(dataset, model)}-bp-epochs", caption, trajectories(own)
