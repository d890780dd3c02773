"""Tables and figures of robust training's rows."""

from collections.abc import Iterator, Mapping, Sequence

from reporting import claims
from reporting.cell import cell_name
from studies.robust_training import overfitting
from studies.robust_training.claims import deat_claims
from studies.robust_training.figures import trajectories
from studies.robust_training.tables import cells, pool, robust_training_tables

__all__ = ["figures", "pool", "tables"]


def tables(rows: Sequence[Mapping]) -> list:
    """The tables of every data set and model, with the claims."""
    return [*robust_training_tables(rows), *map(judged, cells(rows).values())]


def judged(rows: Sequence[Mapping]) -> claims.Judged:
    """The claims of one data set and model: those on robust overfitting where that was studied, and DEAT's."""
    deat = deat_claims(rows)
    if not overfitting.is_measured(rows):
        return deat
    own = overfitting.overfitting_claims(rows)
    if {claim.verdict for claim in deat.claims} == {"not measured"}:
        return own
    notes = [note for note in (*own.notes, *deat.notes) if note != claims.RULE and not note.startswith("Source: ")]
    title = "robust overfitting, and the claims of DEAT"
    return claims.table(own.name, own.cell, title, [*own.claims, *deat.claims], [*dict.fromkeys(notes)])


def figures(rows: Sequence[Mapping]) -> Iterator[tuple]:
    """Yield (file name, caption, Figure) of every cell."""
    for (dataset, model), own in cells(rows).items():
        caption = "accuracy on held-out images, clean (dotted) and under attack, against BP-epochs, by kind of method"
        yield f"{cell_name(dataset, model)}-bp-epochs", caption, trajectories(own)
