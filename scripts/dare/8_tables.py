"""Collect the rows of every finished cell into tables, and write a report with figures for each cell.

Reads <runs>/dare/*/seed*/*/row*.json and what the other stages left, as far as they have been run; writes
<runs>/dare/<dataset>-<model>/report/. With --publish the rows go to results/measured/ and the generated sections of
README.md and REPRODUCTION.md are rewritten; --check only tells whether those still say what results/measured/ holds.
"""

import itertools
import pathlib

from pipeline import command
from reporting import figures
from studies import catalogue, tables_step
from studies.dare import report, tables


def main(arguments):
    if arguments.check:
        catalogue.write(catalogue.measured(), check=True)
        print("tables: the documents say what was measured")
        return
    tables_step.of("dare", "DARE", further=further, document=publish_examples)(arguments)


def further(arguments, folder, rows):
    """What the reports of this study hold beside the tables of their rows."""
    original = catalogue.of_study(rows, "dare")
    first = seed(folder, rows)
    settings = {name: original[0][name] for name in ("repeats",)} | original[0]["hyperparameters"] if original else {}
    return {
        "tables": report.mined(first),
        "figures": itertools.chain(report.draw(arguments, first), report.draw_rows(rows), report.draw_cells(rows)),
        "facts": settings,
        "left_out": list(report.left_out(first)),
        "how_to_read": report.HOW_TO_READ,
    }


def seed(folder, rows):
    """The folder of the first seed that the rows of a cell are of."""
    return folder / f"seed{min(seed for row in rows for seed in row['seeds'])}"


def publish_examples(arguments, rows):
    """Keep the grids of adversarial images in results/figures/, beside the figures that are made of rows."""
    for _, dataset, model in tables.cells(catalogue.of_study(rows, "dare")):
        own = [row for row in rows if (row["dataset"], row["model"]) == (dataset, model)]
        folder = seed(pathlib.Path(arguments.runs) / "dare" / f"{dataset}-{model}", own)
        for name, _, figure in report.adversarials(arguments, folder):
            if name.startswith("examples-"):
                path = catalogue.ROOT / "results" / "figures" / f"{dataset}-{model}-{name}.png"
                figures.save(figure, path, dpi=90)


def options():
    """The parser of the options."""
    parser = tables_step.options(__doc__)
    parser.add_argument("--data-dir", help="folder of the original data files")
    parser.add_argument("--check", action="store_true", help="fail where a generated section is out of date")
    parser.needs(("--runs", "--data-dir", "--publish"), lambda asked: not asked.check, "no --check")
    return parser


if __name__ == "__main__":
    command.run(main, options())
