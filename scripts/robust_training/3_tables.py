"""Collect the rows of every tested method into tables, a figure and the claims, and write a report for each cell.

Reads <runs>/robust_training/*/seed*/test-*/row.json; writes <runs>/robust_training/<dataset>-<model>/report/. With
--publish the rows go to results/measured/ and the generated sections of README.md and REPRODUCTION.md are rewritten.
"""

import argparse
import pathlib

from results import command, report, robust_training, studies, tables


def main(arguments):
    rows = studies.collect(arguments.runs, "robust_training")
    if arguments.publish:
        changed = studies.publish(rows)
        print(f"tables: {len(rows)} rows published, changed: {', '.join(changed) or 'nothing'}")
        return
    for (dataset, model), own in robust_training.cells(rows).items():
        made = studies.make(own)
        for table in made:
            tables.print_table(table)
        folder = pathlib.Path(arguments.runs) / "robust_training" / f"{dataset.replace(':', '-')}-{model}" / "report"
        tables.write(made, folder)
        path = report.write_report(
            folder,
            title=f"Robust training on {dataset}, {model}",
            tables=made,
            figures=studies.STUDIES["robust_training"].draw(own),
            facts={name: own[0][name] for name in ("dataset", "model", "seeds", "device", "commit", "command")},
        )
        print(f"report: {path}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.set_defaults(seed=0)
    parser.add_argument("--runs", default="runs", help="folder of all run directories")
    parser.add_argument("--publish", action="store_true", help="write results/measured/ and the generated sections")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    command.run(main, parser)
