"""Divide what other studies have measured by class: no model is attacked, only their saved flags are read.

Reads <runs>/<study>/<dataset>-<model>/seed<k>/test-*/ of the studies dare and robust_training; writes tables and heat
maps into <runs>/classwise/<dataset>-<model>/seed<k>/report-<study>/.
"""

try:
    from pipeline import command, records, run_directory
except ModuleNotFoundError as error:  # another Python than that of the environment
    raise SystemExit(f"no module {error.name}: run it with .venv/bin/python (make quick makes it)") from None

import argparse
from collections.abc import Iterator, Mapping
import dataclasses

from dare.flags import Flags
import data
from data import files
from reporting import figures, tables
from reporting import row as result_row
from studies.classwise import figures as class_figures
from studies.classwise import models_to_attack
from studies.classwise import rows as class_rows
from studies.classwise import tables as class_tables
from studies.robust_training import trained_models


def main(arguments: argparse.Namespace) -> None:
    rows_of = {study: list(saved(arguments, study)) for study in models_to_attack.STUDIES}
    if not any(rows_of.values()):
        raise FileNotFoundError(
            f"{run_directory.folder(command.narrow(arguments, study='*'), 'test-*')}: no saved flags; make them with "
            "scripts/dare/7_test.py or scripts/robust_training/2_test.py"
        )
    for study, rows in rows_of.items():
        folder = run_directory.folder(arguments, f"report-{study}")
        for table in class_tables.class_tables(rows):
            tables.print_table(table)
            tables.write([table], folder)
        for name, _, figure in class_figures.figures(rows):
            figures.save(figure, folder / f"{name}.png")
        if rows:
            files.write_json(folder / "rows.json", [dict(row) for row in rows])
            print(f"report: {len(rows)} models of {study} ({folder})")


def saved(arguments: argparse.Namespace, study: str) -> Iterator[Mapping]:
    """The rows of the models whose flags a study has saved, divided by class."""
    narrowed, dataset = command.narrow(arguments, study=study), None
    for path in sorted(run_directory.folder(narrowed, "test").parent.glob("test-*/row.json")):
        if not run_directory.finished(path.parent):
            continue
        records.check_unmixed(path.parent)
        row = result_row.load(path)
        if study == "dare":
            dataset = dataset or command.load_dataset(arguments)
            split, name = data.load_split(run_directory.folder(narrowed, "train") / "split.h5", dataset), "flags-0.h5"
        else:
            split = trained_models.robust(narrowed, row["method"])[0]
            name = f"flags-{row['hyperparameters']['selected_epoch']}.h5"
        flags = Flags.load(path.parent / name, data=split.fingerprint)
        details = {"confusion": class_rows.confusions(flags, split), "classes": list(split.classes)}
        yield result_row.detailed(dataclasses.replace(row, measures=class_rows.measures(flags, split)), **details)


def options() -> command.Parser:
    """The script's argument parser."""
    parser = command.parser(__doc__, study="classwise", example="--dataset fashion_mnist --model small_cnn@0.5")
    parser.set_defaults(model="small_cnn")
    return parser


if __name__ == "__main__":
    command.run(main, options())
