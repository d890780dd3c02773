"""What is made of DARE's rows."""

import pathlib

from reporting import measure_words, order
from reporting.cell import cell_name
from reporting.row import pool
from studies.dare import cell_report, claims, differences, figures_of_rows
from studies.dare import summary as short
from studies.dare import tables as dare_tables
from studies.dare.differences import attach
from studies.dare.summary import sentences

__all__ = ["attach", "examples", "figures", "of_cell", "pool", "sentences", "summary", "tables"]

HOW_TO_READ = """\
- **clean**: share of the unmodified test images that are classified as their true label.
- **Empirical Robustness (ER)**, one column an attack: share of fixed adversarial images, made once by attacking the
  *original* model, that the tested model classifies as their true label. An adversarial image of minimal size lies
  just across the original's boundary, so *any* change of weights brings some of them back: ER says that a boundary
  moved, not that a model is robust.
- **Controls** measure how much of ER comes from that alone: random noise of the same size, as many plain training
  steps, an older checkpoint, an average of checkpoints. A method has shown something beyond them only where it
  exceeds its controls by more than the intervals.
- **held-out**: ER on adversarials of test images. **×1.1, ×1.5**: ER after moving each adversarial so many times as
  far from its original: what is left once a boundary's small shift no longer suffices.
- **worst case**: share of images correct under every attack at once; the note below the table says what became of those
  on which an attack failed.
- **†**: a check of the model was raised, and a note names it: its robustness may be hidden, or its numbers say nothing.
- **attack@epsilon** (white box): the attack is run anew on the very model under test, and its image may be epsilon
  away in any pixel (pixels in [0, 1]). Only these columns and the median minimal perturbation speak of robustness
  against somebody who knows the model. Even they are an upper bound: a stronger attack may find more.
- **(in brackets)**: the published value. It is of other source models, so compare the order of methods before the
  values.
"""


def tables(rows):
    """Accuracy, transfer and white box of every cell, how far methods differ from controls, and the claims."""
    judged = [claims.dare_claims(methods) for methods in dare_tables.cells(rows).values()]
    return [*dare_tables.dare_tables(rows), *differences.difference_tables(rows), *judged]


def summary(rows):
    """The short table of one cell, and the same of one method of each kind."""
    return [short.table(rows), short.table(rows, short.FEW)]


def figures(rows):
    """(file name, caption, Figure) of every cell, and of all of them together."""
    for (_, dataset, model), methods in dare_tables.cells(rows).items():
        cell = cell_name(dataset, model)
        yield (
            f"{cell}-robustness",
            "Every method: clean images, each attack's adversarials, the worst white-box case.",
            figures_of_rows.robustness(methods),
        )
        caption = "Robustness as the papers score it, against accuracy when the model itself is attacked."
        measures = measure_words.shown_in_figures(methods[0]["measures"])
        for measure in (name for name in measures if name.startswith("white-box/") and order.attacks(methods)):
            name = f"{cell}-transfer-{measure.partition('/')[2]}".replace("/", "-")
            yield name, caption, figures_of_rows.transfer_against_white_box(methods, measure)
    yield from _together(rows)


def _together(rows):
    """DARE as published, the baselines, and the controls that need no tuning, or only noise: nothing without ER."""
    rows = [row for row in rows if order.attacks([row])]
    baselines = *(f"adv-{attack}" for attack in order.ATTACKS), "distillation"
    methods = ("dare", "dare-s", "dare-sl", *baselines, "weight-noise", "checkpoint", "swa", "other-seed")
    if any(row["method"] in methods for row in rows):
        caption = (
            "Empirical Robustness of every model and attack; in brackets the published value, where there is one: the "
            "mean of nine runs on other source models."
        )
        yield "er-by-attack", caption, figures_of_rows.er_by_attack(rows, methods)


def of_cell(arguments, folder, rows):
    """What the report of a cell holds beside its rows: what the stages of its first seed left. folder: of the cell."""
    original, first = [row for row in rows if row["study"] == "dare"], first_seed(folder, rows)
    facts = {"repeats": original[0]["repeats"]} | original[0]["hyperparameters"] if original else {}
    return {
        "tables": cell_report.mined(first),
        "figures": cell_report.draw(arguments, first),
        "facts": facts,
        "left_out": list(cell_report.left_out(first)),
        "how_to_read": HOW_TO_READ,
    }


def first_seed(folder, rows):
    """The folder of the first seed that the rows of a cell are of."""
    return folder / f"seed{min(seed for row in rows for seed in row['seeds'])}"


def examples(arguments, rows):
    """(file name, Figure): the grids of adversarial images of every cell that the rows are of, which are published
    beside the figures of rows."""
    for _, dataset, model in dare_tables.cells(rows):
        own = [row for row in rows if (row["dataset"], row["model"]) == (dataset, model)]
        folder = first_seed(pathlib.Path(arguments.runs) / "dare" / f"{dataset}-{model}", own)
        for name, _, figure in cell_report.adversarials(arguments, folder):
            if name.startswith("examples-"):
                yield f"{cell_name(dataset, model)}-{name}", figure
