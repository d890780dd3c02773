"""Collect the rows of every finished cell into tables, and write a report with figures for each cell.

Reads <runs>/dare/*/seed*/*/row*.json; writes <runs>/dare/<dataset>-<model>/report/. With --publish the rows go to
results/measured/ and the generated sections of README.md and REPRODUCTION.md are rewritten; --check only tells
whether those still say what results/measured/ holds.
"""

import contextlib
import pathlib

from results import command, dare_report, dare_tables, figures, report, studies, tables


def main(arguments):
    if arguments.check:
        studies.write(studies.measured(), check=True)
        print("tables: the documents say what was measured")
        return
    if arguments.publish:
        rows = []
        with contextlib.suppress(FileNotFoundError):  # none of one's own: those that are published are written anew
            rows = studies.collect(arguments.runs, "dare")
        changed = studies.publish(rows)
        for _, dataset, model in dare_tables.cells(studies.of_study(rows, "dare")):
            publish_examples(arguments, dataset, model)
        print(f"tables: {len(rows)} rows published, changed: {', '.join(changed) or 'nothing'}")
        return
    rows = studies.collect(arguments.runs, "dare")
    for table in studies.make(rows):
        tables.print_table(table)
    for (_, dataset, model), methods in dare_tables.cells(studies.of_study(rows, "dare")).items():
        cell, first = folders(arguments, dataset, model)
        own = [one for one in rows if (one["dataset"], one["model"]) == (dataset, model)]
        made = [*studies.make(own), dare_report.mined(first)]
        tables.write(made, cell / "report")
        path = report.write_report(
            cell / "report",
            title=f"DARE on {dataset}, {model}",
            tables=made,
            figures=[
                *dare_report.draw(arguments, first),
                *dare_report.draw_rows(own),
                *dare_report.draw_cells(rows),
            ],
            facts=facts(methods),
        )
        print(f"report: {path}")


def folders(arguments, dataset, model):
    """(the folder of a cell, that of its first seed)."""
    cell = pathlib.Path(arguments.runs) / "dare" / f"{dataset}-{model}"
    return cell, sorted(cell.glob("seed*"))[0]


def publish_examples(arguments, dataset, model):
    """Keep the grids of adversarial images in results/figures/, beside the figures that are made of rows."""
    for name, _, figure in dare_report.adversarials(arguments, folders(arguments, dataset, model)[1]):
        if name.startswith("examples-"):
            figures.save(figure, studies.ROOT / "results" / "figures" / f"{dataset}-{model}-{name}.png", dpi=90)


def facts(methods):
    """What the report says was run: taken from the original's row."""
    first = methods[0]
    settings = {name: first[name] for name in ("dataset", "model", "seeds", "repeats", "device", "commit", "command")}
    return settings | first["hyperparameters"] | {"training command": first["commands"]["train"]}


def options():
    """The parser of the options."""
    parser = command.Parser(description=__doc__)
    parser.set_defaults(seed=0)
    parser.add_argument("--runs", default="runs", help="folder of all run directories")
    parser.add_argument("--data-dir", help="folder of the original data files")
    either = parser.add_mutually_exclusive_group()
    either.add_argument("--publish", action="store_true", help="write results/measured/ and the generated sections")
    either.add_argument("--check", action="store_true", help="fail where a generated section is out of date")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    parser.needs(("--runs", "--data-dir"), lambda asked: not asked.check, "no --check")
    return parser


if __name__ == "__main__":
    command.run(main, options())
