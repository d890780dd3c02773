"""Collect the rows of every finished cell into tables, and write a report with figures for each cell.

Reads <runs>/dare/*/seed*/*/row*.json; writes <runs>/dare/<dataset>-<model>/report/. With --publish the rows go to
results/measured/ and the generated sections of README.md and REPRODUCTION.md are rewritten; --check only tells
whether those still say what results/measured/ holds.
"""

import argparse
import json
import pathlib

from results import (
    command,
    dare_report,
    dare_tables,
    differences,
    figures,
    report,
    row,
    sections,
    tables,
    what_matters,
    white_box,
)

ROOT = pathlib.Path(__file__).resolve().parents[2]
DOCUMENTS = ("README.md", "REPRODUCTION.md")
TABLES = {  # study of a row -> what makes its tables
    "dare": lambda rows: [*dare_tables.dare_tables(rows), *differences.difference_tables(rows)],
    "what_matters": what_matters.what_matters_tables,
    "white_box": white_box.white_box_tables,
}
POOLS = {"dare": row.pool, "what_matters": what_matters.pool, "white_box": white_box.pool}


def main(arguments):
    if arguments.check or arguments.publish:
        rows = collect(arguments.runs) if arguments.publish else []
        dirty = [one["method"] for one in rows if one.get("dirty")]
        if dirty:
            raise ValueError(f"rows of {', '.join(dirty)} were made from uncommitted code: commit, and test them again")
        for one in rows:
            row.save(one, ROOT / "results" / "measured" / one["study"])
        changed = publish(measured(), check=arguments.check)
        print(f"tables: {len(rows)} rows published, changed: {', '.join(changed) or 'nothing'}")
        return
    rows = collect(arguments.runs)
    if not rows:
        raise FileNotFoundError(f"{arguments.runs}/dare: no row.json; make them with scripts/dare/7_test.py")
    for table in make(rows):
        tables.print_table(table)
    for (_, dataset, model), methods in dare_tables.cells(of_study(rows, "dare")).items():
        cell = pathlib.Path(arguments.runs) / "dare" / f"{dataset}-{model}"
        first = sorted(cell.glob("seed*"))[0]
        own = make([one for one in rows if (one["dataset"], one["model"]) == (dataset, model)])
        own.append(dare_report.mined(first))
        tables.write(own, cell / "report")
        path = report.write_report(
            cell / "report",
            title=f"DARE on {dataset}, {model}",
            tables=own,
            figures=[
                *dare_report.draw(arguments, first),
                *dare_report.draw_rows([one for one in rows if (one["dataset"], one["model"]) == (dataset, model)]),
                *dare_report.draw_cells(rows),
            ],
            facts=facts(methods),
        )
        print(f"report: {path}")


def collect(runs):
    """One row a (study, data set, model, method), the seeds of a cell pooled, with its differences from controls."""
    found, folders = {}, {}
    for path in sorted(pathlib.Path(runs).glob("dare/*/seed*/*/row*.json")):
        if (path.parent / "run.json").is_file():
            one = json.loads(path.read_text(encoding="utf-8"))
            key = one["study"], one["dataset"], one["model"], one["method"]
            found.setdefault(key, []).append(one)
            folders.setdefault(key, []).append(path.parent)
    rows = [POOLS[study](seeds) for (study, *_), seeds in found.items()]
    differences.attach(of_study(rows, "dare"), folders)
    return rows


def measured():
    """The published rows of all studies."""
    return [one for study in TABLES for one in row.load_all(ROOT / "results" / "measured" / study)]


def of_study(rows, study):
    return [one for one in rows if one["study"] == study]


def make(rows):
    """The tables of all studies that have rows, in the order of TABLES."""
    return [table for study, tabulate in TABLES.items() for table in tabulate(of_study(rows, study))]


def publish(rows, *, check):
    """Write results/tables/, results/figures/ and the generated sections; returns the sections that changed."""
    made = make(rows)
    if not check:
        tables.write(made, ROOT / "results" / "tables")
        for name, _, figure in dare_report.draw_cells(rows):
            figures.save(figure, ROOT / "results" / "figures" / f"{name}.png")
        for dataset, model in dict.fromkeys((one["dataset"], one["model"]) for one in rows):
            own = [one for one in rows if (one["dataset"], one["model"]) == (dataset, model)]
            for name, _, figure in dare_report.draw_rows(own):
                figures.save(figure, ROOT / "results" / "figures" / f"{dataset}-{model}-{name.replace('/', '-')}.png")
    texts = {table.name: tables.markdown(table) for table in made}
    changed = []
    for document in DOCUMENTS:
        for name in sections.names(ROOT / document):
            if name in texts and sections.embed(ROOT / document, name, texts[name], check=check):
                changed.append(f"{document} {name}")
    return changed


def facts(methods):
    """What the report says was run: taken from the original's row."""
    first = methods[0]
    settings = {name: first[name] for name in ("dataset", "model", "seeds", "repeats", "device", "commit", "command")}
    return settings | first["hyperparameters"] | {"training command": first["commands"]["train"]}


def options():
    """The parser of the options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.set_defaults(seed=0)
    parser.add_argument("--runs", default="runs", help="folder of all run directories")
    parser.add_argument("--data-dir", help="folder of the original data files")
    either = parser.add_mutually_exclusive_group()
    either.add_argument("--publish", action="store_true", help="write results/measured/ and the generated sections")
    either.add_argument("--check", action="store_true", help="fail where a generated section is out of date")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    return parser


if __name__ == "__main__":
    command.run(main, options())
