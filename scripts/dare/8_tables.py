"""Collect the rows of every finished cell into tables, and write a report with figures for each cell.

Reads <runs>/dare/*/seed*/*/row*.json and what the other stages left, as far as they have been run; writes
<runs>/dare/<dataset>-<model>/report/. The same as scripts/tables.py --study dare.
"""

try:
    from pipeline import command
except ModuleNotFoundError as error:  # another Python than that of the environment
    raise SystemExit(f"no module {error.name}: run it with .venv/bin/python (make quick makes it)") from None

import argparse

from studies import catalogue, cell_reports


def main(arguments: argparse.Namespace) -> None:
    cell_reports.write(arguments, catalogue.STUDIES["dare"])


def options() -> command.Parser:
    """The parser of the options."""
    return cell_reports.options(__doc__, example="--verbose")


if __name__ == "__main__":
    command.run(main, options())
