"""The last step of a study: rows of its run directories into tables, figures and a report for each cell."""

import pathlib

from results import report, studies, tables
from results.parser import Parser


def of(study, title):
    """A script's main. title: what its reports are headed, before "on <data set>, <model>"."""

    def main(arguments):
        rows = studies.collect(arguments.runs, study)
        if arguments.publish:
            changed = studies.publish(rows, add=arguments.add)
            print(f"tables: {len(rows)} rows published, changed: {', '.join(changed) or 'nothing'}")
            return
        for dataset, model in dict.fromkeys((row["dataset"], row["model"]) for row in rows):
            own = [row for row in rows if (row["dataset"], row["model"]) == (dataset, model)]
            made = studies.make(own)
            for table in made:
                tables.print_table(table)
            folder = pathlib.Path(arguments.runs) / study / f"{dataset.replace(':', '-')}-{model}" / "report"
            tables.write(made, folder)
            path = report.write_report(
                folder,
                title=f"{title} on {dataset}, {model}",
                tables=made,
                figures=studies.STUDIES[study].draw(own),
                facts={name: own[0][name] for name in ("dataset", "model", "seeds", "device", "commit", "command")},
            )
            print(f"report: {path}")

    return main


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
