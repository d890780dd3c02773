"""The rows of a study's run directories: a few lines on the terminal and a report with all tables for each cell.

A cell whose rows cannot be read or shown is said and left out, and the others get theirs; the exit status is then 2.
"""

import pathlib
import sys
import textwrap

from pipeline import command
from reporting import report, tables
from reporting.cell import cell_name
from studies import catalogue

WIDTH = 80  # columns of the summary


def write(arguments, study):
    """The report of every cell of a study. Raises ValueError where one was left out."""
    found = cells(arguments.runs, study.runs)
    failed = [name for name in found if not shown(arguments, study, name)]
    if failed:
        raise ValueError(f"{len(failed)} of {len(found)} cells left out, as said above: {', '.join(failed)}")


def cells(runs, folder):
    """The names of the cells that have a finished row. Raises FileNotFoundError where there is none."""
    found = sorted({path.parents[2].name for path in catalogue.finished(runs, folder)})
    if not found:
        catalogue.collect(runs, folder)  # says what makes one
    return found


def shown(arguments, study, name):
    """Print the tables of a cell and write its report; whether that could be done, and if not, say why."""
    try:
        rows = catalogue.collect(arguments.runs, study.runs, name)
        folder = pathlib.Path(arguments.runs) / study.runs / name
        left_out = []
        made = catalogue.tables(rows, left_out)
        summarise(rows, made, everything=arguments.verbose)
        added = {"tables": [], "figures": [], "facts": {}, "left_out": []}
        main = catalogue.STUDIES[study.runs].report
        if hasattr(main, "of_cell"):
            added |= main.of_cell(arguments, folder, rows)
        cell = cell_name(rows[0]["dataset"], rows[0]["model"])
        figures = [*catalogue.whole("figures of stages", lambda: added.pop("figures"), left_out)]
        figures += [(one.removeprefix(f"{cell}-"), *drawn) for one, *drawn in catalogue.figures(rows, left_out)]
        left_out = [*added.pop("left_out"), *left_out]
        tables.write(made + added["tables"], folder / "report")
        path = report.write_report(
            folder / "report",
            title=f"{study.title} on {rows[0]['dataset']}, {rows[0]['model']}",
            tables=made + added.pop("tables"),
            figures=figures,
            facts=facts(rows) | added.pop("facts"),
            left_out=left_out,
            **added,
        )
    except (ValueError, OSError, ArithmeticError) as error:
        print(f"tables: {name}: left out, {command.sentence(error)}", file=sys.stderr, flush=True)
        return False
    for sentence in left_out:
        print(f"tables: {name}: left out, {sentence}")
    print(f"report: {path}")
    return True


def summarise(rows, made, *, everything):
    """Print what one cell's rows show, in the words of its study: its summary, or else its verdicts.

    made: all tables of the cell; everything: print these instead.
    """
    short = [table for name in catalogue.STUDIES for table in catalogue.summary(name, rows)[:1]]
    for table in made if everything else short:
        tables.print_table(table, width=None if everything else WIDTH)
    said = [sentence for name in catalogue.STUDIES for sentence in catalogue.sentences(name, rows)]
    said = said or [f"{claim.verdict}: {claim.claim}" for table in made for claim in getattr(table, "claims", ())]
    for sentence in said:
        print(textwrap.fill(sentence, WIDTH, subsequent_indent="  "))


def facts(rows):
    """What the report says was run: of the first row, and the commands of all."""
    first = rows[0]
    commands = (line for row in rows for line in (*(row["commands"] or {}).values(), row["command"]))
    shared = {name: first[name] for name in ("dataset", "model", "seeds", "device", "commit")}
    return shared | {"commands": list(dict.fromkeys(commands))}


def options(description):
    """The parser of a script that writes reports."""
    parser = command.Parser(description=description)
    parser.set_defaults(seed=0)
    parser.add_argument("--runs", type=command.path, default="runs", help="folder of all run directories")
    parser.add_argument(
        "--data-dir", type=command.path, help="folder of the data files, for examples of adversarial images"
    )
    parser.add_argument("--unverified", action="store_true", help="admit data files without the published digest")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    parser.add_argument("--verbose", action="store_true", help="print all tables, not only a summary")
    return parser
