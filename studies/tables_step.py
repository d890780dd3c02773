"""The last step of a study: the rows of its run directories into tables, figures and a report for each cell.

A cell whose rows cannot be read or shown is said and left out, and the others get theirs; the exit status is then 2.
"""

import pathlib
import sys

from pipeline import command
from pipeline.arguments import Parser
from reporting import report, tables
from studies import catalogue


def of(study, title, *, further=lambda arguments, folder, rows: {}, document=None):
    """A script's main. title: what its reports are headed, before "on <data set>, <model>".

    further: (arguments, folder of the cell, its rows) -> what the reports hold beside the rows' own tables and figures,
    as arguments of report.write_report; document: (arguments, rows) -> None, called when rows have been published.
    """

    def main(arguments):
        if arguments.publish:
            rows = published(arguments, study)
            changed = catalogue.publish(rows, add=arguments.add)
            if document is not None:
                document(arguments, rows)
            print(f"tables: {len(rows)} rows published, changed: {', '.join(changed) or 'nothing'}")
            return
        found = cells(arguments.runs, study)
        failed = [name for name in found if not shown(arguments, study, title, name, further)]
        if failed:
            raise ValueError(f"{len(failed)} of {len(found)} cells left out, as said above: {', '.join(failed)}")

    return main


def published(arguments, study):
    """The rows to publish: none of one's own where there is none, so that those that are published are written anew."""
    try:
        cells(arguments.runs, study)
    except FileNotFoundError:
        return []
    return catalogue.collect(arguments.runs, study)


def cells(runs, study):
    """The names of the cells that have a finished row. Raises FileNotFoundError where there is none."""
    rows = (pathlib.Path(runs) / study).glob("*/seed*/*/row*.json")
    found = sorted({path.parents[2].name for path in rows if (path.parent / "run.json").is_file()})
    if not found:
        catalogue.collect(runs, study)  # says what makes one
    return found


def shown(arguments, study, title, name, further):
    """Print the tables of a cell and write its report; whether that could be done, and if not, say why."""
    try:
        rows = catalogue.collect(arguments.runs, study, name)
        folder = pathlib.Path(arguments.runs) / study / name
        made = catalogue.make(rows)
        for table in made:
            tables.print_table(table)
        added = further(arguments, folder, rows)
        made += added.pop("tables", [])
        tables.write(made, folder / "report")
        path = report.write_report(
            folder / "report",
            title=f"{title} on {rows[0]['dataset']}, {rows[0]['model']}",
            tables=made,
            figures=added.pop("figures", None) or catalogue.STUDIES[study].draw(rows),
            facts=facts(rows) | added.pop("facts", {}),
            **added,
        )
    except (ValueError, OSError, ArithmeticError) as error:
        print(f"tables: {name}: left out, {command.sentence(error)}", file=sys.stderr, flush=True)
        return False
    for sentence in added.get("left_out", []):
        print(f"tables: {name}: left out, {sentence}")
    print(f"report: {path}")
    return True


def facts(rows):
    """What the report says was run: of the first row, and the commands of all."""
    first = rows[0]
    commands = (line for row in rows for line in (*row.get("commands", {}).values(), row["command"]))
    shared = {name: first[name] for name in ("dataset", "model", "seeds", "device", "commit")}
    return shared | {"commands": list(dict.fromkeys(commands))}


def options(description):
    """The parser of such a step."""
    parser = Parser(description=description)
    parser.set_defaults(seed=0)
    parser.add_argument("--runs", default="runs", help="folder of all run directories")
    parser.add_argument("--publish", action="store_true", help="write results/measured/ and the generated sections")
    parser.add_argument("--add", action="store_true", help="publish beside the seed that is there, not in its place")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    parser.needs(["--add"], lambda asked: asked.publish, "--publish")
    return parser
