"""For each cell of a study: a few lines on the terminal, and a report with all tables.

A cell whose rows cannot be read or shown is named and left out, and the others are written; the exit status is then 2.
"""

import argparse
import pathlib
import sys
import textwrap
from collections.abc import Mapping, Sequence

from pipeline import command
from reporting import report, row, tables
from reporting.cell import cell_name
from studies import catalogue

WIDTH = 80  # columns of the summary


def write(arguments: argparse.Namespace, study: catalogue.Study) -> None:
    """Write the report of every cell of a study. Raises ValueError if a cell was left out."""
    names = cells(arguments.runs, study.runs)
    failed = [name for name in names if not shown(arguments, study, name)]
    if failed:
        raise ValueError(f"{len(failed)} of {len(names)} cells left out, for the reasons above: {', '.join(failed)}")


def cells(runs: str | pathlib.Path, folder: str) -> list[str]:
    """The names of the cells that have a finished row. Raises FileNotFoundError if there is none."""
    names = sorted({path.parents[2].name for path in catalogue.finished(runs, folder)})
    if not names:
        catalogue.collect(runs, folder)  # raises the error that names the stage to run
    return names


def shown(arguments: argparse.Namespace, study: catalogue.Study, name: str) -> bool:
    """Print the tables of a cell and write its report. On an error, print the reason and return False."""
    try:
        rows = catalogue.collect(arguments.runs, study.runs, name)
        folder = pathlib.Path(arguments.runs) / study.runs / name
        left_out = []
        own = catalogue.tables(rows, left_out)
        summarise(rows, own, everything=arguments.verbose)
        extra = {"tables": [], "figures": [], "facts": {}, "left_out": []}
        report_of = catalogue.STUDIES[study.runs].report
        if hasattr(report_of, "of_cell"):
            extra |= report_of.of_cell(arguments, folder, rows)
        cell = cell_name(rows[0]["dataset"], rows[0]["model"])
        figures = [*catalogue.whole("figures of stages", lambda: extra.pop("figures"), left_out)]
        figures += [(file.removeprefix(f"{cell}-"), *rest) for file, *rest in catalogue.figures(rows, left_out)]
        left_out = [*extra.pop("left_out"), *left_out]
        tables.write(own + extra["tables"], folder / "report")
        path = report.write_report(
            folder / "report",
            title=f"{study.title} on {rows[0]['dataset']}, {rows[0]['model']}",
            tables=own + extra.pop("tables"),
            figures=figures,
            facts=facts(rows) | extra.pop("facts"),
            left_out=left_out,
            **extra,
        )
    except (ValueError, OSError, ArithmeticError) as error:
        print(f"tables: {name}: left out, {command.sentence(error)}", file=sys.stderr, flush=True)
        return False
    for sentence in left_out:
        print(f"tables: {name}: left out, {sentence}")
    print(f"report: {path}")
    return True


def summarise(rows: Sequence[Mapping], all_tables: list, *, everything: bool) -> None:
    """Print the result of one cell: its study's summary, or its verdicts if the study has no summary.

    all_tables: of the cell; everything: print these instead of the summary
    """
    short = [table for name in catalogue.STUDIES for table in catalogue.summary(name, rows)[:1]]
    lines = [line for name in catalogue.STUDIES for line in catalogue.sentences(name, rows)]
    lines = lines or [
        f"{claim.verdict}: {claim.claim}" for table in all_tables for claim in getattr(table, "claims", ())
    ]
    everything = everything or not (short or lines)  # a study without summary, sentences and claims
    for table in all_tables if everything else short:
        tables.print_table(table, width=None if everything else WIDTH)
    for line in lines:
        print(textwrap.fill(line, WIDTH, subsequent_indent="  "))


def facts(rows: Sequence[Mapping]) -> dict:
    """The report's section on what was run: facts of the first row, and the commands of all."""
    first = rows[0]
    shared = {name: first[name] for name in ("dataset", "model", "seeds", "device", "commit")}
    return shared | {"commands": row.commands(rows)}


def options(description: str, *, example: str = "") -> command.Parser:
    """The parser of a script that writes reports. example: options of a command."""
    parser = command.Parser(description=description, example=example)
    parser.set_defaults(seed=0)
    parser.add_argument("--runs", type=command.path, default="runs", help="folder of all run directories")
    parser.add_argument(
        "--data-dir", type=command.path, help="folder of the data files, for examples of adversarial images"
    )
    parser.add_argument("--unverified", action="store_true", help="admit data files without the published digest")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    parser.add_argument("--verbose", action="store_true", help="print all tables, not only a summary")
    return parser
