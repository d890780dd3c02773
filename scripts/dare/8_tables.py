"""Collect the rows of every finished cell into tables, and write a report with figures for each cell.

Reads <runs>/dare/*/seed*/test-*/row.json; writes <runs>/dare/<dataset>-<model>/report/. With --publish the rows go to
results/measured/dare/ and the generated sections of README.md and REPRODUCTION.md are rewritten; --check only tells
whether those still say what results/measured/ holds.
"""

import argparse
import csv
import json
import pathlib

import numpy

from results import command, dare_tables, figures, image_figures, report, row, run, sections, tables
from adv import adversarial_set
from dare import get_ats
import data
from train.history import History

ROOT = pathlib.Path(__file__).resolve().parents[2]
MEASURED = ROOT / "results" / "measured" / "dare"
DOCUMENTS = ("README.md", "REPRODUCTION.md")


def main(arguments):
    if arguments.check or arguments.publish:
        rows = collect(arguments.runs) if arguments.publish else []
        dirty = [one["method"] for one in rows if one.get("dirty")]
        if dirty:
            raise ValueError(f"rows of {', '.join(dirty)} were made from uncommitted code: commit, and test them again")
        for one in rows:
            row.save(one, MEASURED)
        changed = publish(row.load_all(MEASURED), check=arguments.check)
        print(f"tables: {len(rows)} rows published, changed: {', '.join(changed) or 'nothing'}")
        return
    rows = collect(arguments.runs)
    if not rows:
        raise FileNotFoundError(f"{arguments.runs}/dare: no row.json; make them with scripts/dare/7_test.py")
    made = dare_tables.dare_tables(rows)
    for table in made:
        tables.print_table(table)
    for (_, dataset, model), methods in dare_tables.cells(rows).items():
        cell = pathlib.Path(arguments.runs) / "dare" / f"{dataset}-{model}"
        own = [table for table in made if table.name.startswith(f"dare-{dataset}-{model}-")]
        tables.write(own, cell / "report")
        path = report.write_report(
            cell / "report",
            title=f"DARE on {dataset}, {model}",
            tables=own,
            figures=draw(arguments, sorted(cell.glob("seed*"))[0], methods),
            facts=facts(methods),
        )
        print(f"report: {path}")


def collect(runs):
    """One row a (data set, model, method), the seeds of a cell pooled."""
    found = {}
    for path in sorted(pathlib.Path(runs).glob("dare/*/seed*/test-*/row.json")):
        if (path.parent / "run.json").is_file():
            one = json.loads(path.read_text(encoding="utf-8"))
            found.setdefault((one["dataset"], one["model"], one["method"]), []).append(one)
    return [row.pool(seeds) for seeds in found.values()]


def publish(rows, *, check):
    """Write results/tables/ and the generated sections; returns the names of the sections that changed."""
    made = dare_tables.dare_tables(rows)
    if not check:
        tables.write(made, ROOT / "results" / "tables")
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


def draw(arguments, cell, methods):
    """The report's figures, of one seed's run directories."""
    with open(cell / "train" / "metrics.csv", newline="", encoding="utf-8") as file:
        metrics = list(csv.DictReader(file))
    yield "training-history", "Training of the original model.", figures.training_history(metrics)
    targets = get_ats.Targets.load(cell / "get_ats" / "targets.h5")
    epochs, counts = numpy.unique(targets.epoch, return_counts=True)
    caption = "Which epoch the selected samples take their activation from, and how much surer it was of them."
    yield "chosen-epochs", caption, figures.chosen_epochs(epochs, counts, targets.gain)
    frozen = run.record(cell / "slice")["frozen_share"]
    yield "frozen-share", "Share of connections that slicing would freeze.", figures.frozen_share(frozen)
    yield "robustness", "Every measure of every method.", figures.robustness(methods)
    dataset = command.load_dataset(cell_arguments(arguments, cell))
    split = data.load_split(cell / "train" / "split.h5", dataset)
    model = History(cell / "train" / "history").final_model()
    for folder in sorted(cell.glob("generate_adv-*")):
        part = adversarial_set.load(folder / "adversarials.h5").parts["test"]
        moved = numpy.abs(part.images - data.to_unit(split.x_train[part.index])).max((1, 2, 3)) > 0
        chosen = numpy.flatnonzero(moved)[:8]
        if not len(chosen):
            continue
        yield (
            folder.name,
            f"The first adversarial images of {folder.name.partition('-')[2]}.",
            image_figures.adversarial_examples(
                split.x_train[part.index[chosen]],
                part.images[chosen],
                part.labels[chosen],
                numpy.argmax(model(part.images[chosen], training=False), -1),
                split.classes,
                folder.name.partition("-")[2],
            ),
        )


def cell_arguments(arguments, cell):
    """The data arguments of a trained cell, from its run.json."""
    trained = run.record(cell / "train")["arguments"]
    return argparse.Namespace(**{**trained, **vars(arguments)})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.set_defaults(seed=0)
    parser.add_argument("--runs", default="runs", help="folder of all run directories")
    parser.add_argument("--data-dir", help="folder of the original data files")
    either = parser.add_mutually_exclusive_group()
    either.add_argument("--publish", action="store_true", help="write results/measured/ and the generated sections")
    either.add_argument("--check", action="store_true", help="fail where a generated section is out of date")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    command.run(main, parser)
