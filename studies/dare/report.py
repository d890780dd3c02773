"""Tables, figures and sentences of DARE's rows."""

import argparse
import pathlib
from collections.abc import Iterator, Mapping, Sequence

from reporting import measure_words, order
from reporting import measures as of_measures
from reporting import row as result_row
from reporting.cell import cell_name
from studies.dare import cell_report, claims, differences, figures_of_rows, overview, scoreboard
from studies.dare import summary as short
from studies.dare import tables as dare_tables
from studies.dare.differences import attach
from studies.dare.summary import sentences

__all__ = ["attach", "examples", "figures", "of_cell", "pool", "sentences", "summary", "tables"]

HOW_TO_READ = """\
- **clean**: fraction of the unmodified test images that the model classifies correctly.
- **Empirical Robustness (ER)**, a column for each attack: fraction of fixed adversarial images, made once by attacking
  the *original* model, that the tested model classifies correctly. A minimal adversarial image lies just across the
  original's decision boundary, so *any* change of weights makes some of them correct again. A high ER shows that the
  boundary moved. It does not show that the model is robust.
- **Controls** measure this effect alone: random noise of the same size, as many plain training steps, an older
  checkpoint, an average of checkpoints. A method has an effect of its own only if it exceeds the controls
  significantly.
- **held-out**: ER on adversarials of test images. **×1.1, ×1.5**: ER after each perturbation is enlarged by this
  factor, so that a small shift of the boundary no longer suffices.
- **worst case**: fraction of images that are correct under every attack. A note below the table says how images on
  which an attack failed are counted.
- **†**: a check of the model was raised, and a note names it. Its robustness may be overestimated, or its numbers are
  meaningless.
- **attack@epsilon** (white box): accuracy when the attack is run on the tested model itself, with Linf radius epsilon
  (pixels in [0, 1]). Only these columns and the median minimal perturbation measure robustness against an attacker who
  knows the model. They are upper bounds: a stronger attack may fool more images.
- **(in brackets)**: the published value. It is of other source models, so compare the ranking of methods rather than
  the values.
"""


def pool(rows: Sequence[Mapping]) -> result_row.Row:
    """One row for several seeds, as differences.pool; what the repeats of all seeds moved and cost is joined."""
    return differences.pool(rows, weights_changed=_joined, relative_change=_joined, passes=_joined)


def _joined(lists):
    """The lists of all seeds in one; None if a seed does not have it, as rows of older tests."""
    return None if None in lists else of_measures.together(lists)


def tables(rows: Sequence[Mapping]) -> list:
    """Accuracy, transfer and white box of every cell, differences from controls, claims; the main table of all."""
    judged = [claims.dare_claims(methods) for methods in dare_tables.cells(rows).values()]
    over_nets = [*overview.overview(rows), *scoreboard.scoreboard(rows)]
    return [*dare_tables.dare_tables(rows), *differences.difference_tables(rows), *judged, *over_nets]


def summary(rows: Sequence[Mapping]) -> list:
    """The short table of one cell, and the same of one method of each kind."""
    return [short.table(rows), short.table(rows, short.FEW)]


def figures(rows: Sequence[Mapping]) -> Iterator[tuple]:
    """Yield (file name, caption, Figure) of every cell, and of all cells together."""
    for (_, dataset, model), methods in dare_tables.cells(rows).items():
        cell = cell_name(dataset, model)
        yield (
            f"{cell}-robustness",
            "Every method: accuracy on clean images, ER for each attack, and the white-box worst case.",
            figures_of_rows.robustness(methods),
        )
        caption = "Mean Empirical Robustness against accuracy under white-box attack."
        measures = measure_words.shown_in_figures(methods[0]["measures"])
        for measure in (name for name in measures if name.startswith("white-box/") and order.attacks(methods)):
            name = f"{cell}-transfer-{measure.partition('/')[2]}".replace("/", "-")
            yield name, caption, figures_of_rows.transfer_against_white_box(methods, measure)
        if any("changed" in row["measures"] for row in methods) and order.attacks(methods):
            caption = (
                "What ER measures: mean ER, and white-box accuracy, by how much a model differs from the original."
            )
            yield f"{cell}-change", caption, figures_of_rows.against_change(methods)
    yield from _together(rows)


def _together(rows):
    """Yield the figure of ER by attack: DARE as published, baselines, and controls without tuning."""
    rows = [row for row in rows if order.attacks([row])]
    baselines = *(f"adv-{attack}" for attack in order.ATTACKS), "distillation"
    methods = ("dare", "dare-s", "dare-sl", *baselines, "weight-noise", "checkpoint", "swa", "other-seed")
    if any(row["method"] in methods for row in rows):
        caption = (
            "Empirical Robustness of every model and attack; in brackets the published value, a mean of nine runs on "
            "other source models."
        )
        yield "er-by-attack", caption, figures_of_rows.er_by_attack(rows, methods)


def of_cell(arguments: argparse.Namespace, folder: pathlib.Path, rows: Sequence[Mapping]) -> dict:
    """Further contents of a cell's report, from the stages of its first seed. folder: of the cell."""
    original, first = [row for row in rows if row["study"] == "dare"], first_seed(folder, rows)
    facts = {"repeats": original[0]["repeats"]} | original[0]["hyperparameters"] if original else {}
    return {
        "tables": cell_report.mined(first),
        "figures": cell_report.draw(arguments, first),
        "facts": facts,
        "left_out": list(cell_report.left_out(first)),
        "how_to_read": HOW_TO_READ,
    }


def first_seed(folder: pathlib.Path, rows: Sequence[Mapping]) -> pathlib.Path:
    """The folder of the first seed of a cell's rows."""
    return folder / f"seed{min(seed for row in rows for seed in row['seeds'])}"


def examples(arguments: argparse.Namespace, rows: Sequence[Mapping]) -> Iterator[tuple]:
    """Yield (file name, Figure): the published grids of adversarial images of every cell of the rows."""
    for _, dataset, model in dare_tables.cells(rows):
        own = [row for row in rows if (row["dataset"], row["model"]) == (dataset, model)]
        folder = first_seed(pathlib.Path(arguments.runs) / "dare" / f"{dataset}-{model}", own)
        for name, _, figure in cell_report.adversarials(arguments, folder):
            if name.startswith("examples-"):
                yield f"{cell_name(dataset, model)}-{name}", figure
