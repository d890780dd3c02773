"""The tables of one seed's finished rows, on the terminal and in a folder of the cell."""

import argparse
import pathlib
from collections.abc import Callable

from pipeline import records, run_directory
from reporting import row, tables


def write(arguments: argparse.Namespace, stages: str, tables_of: Callable) -> tuple[list, pathlib.Path]:
    """(the finished rows of a cell's stages "<stages>-*", the folder "<stages>" of their printed and written tables).

    tables_of: called with the rows, gives a list of reporting.tables.Table.
    Raises ValueError for a row whose stage was made from stages that have been replaced since.
    """
    folder = run_directory.folder(arguments, stages)
    finished = [stage for stage in sorted(folder.parent.glob(f"{stages}-*")) if run_directory.finished(stage)]
    for stage in finished:
        records.check_unmixed(stage)
    rows = [row.load(stage / "row.json") for stage in finished]
    seed_tables = tables_of(rows)
    for table in seed_tables:
        tables.print_table(table)
    tables.write(seed_tables, folder)
    print(f"{stages}: {len(rows)} rows ({folder})")
    return rows, folder
