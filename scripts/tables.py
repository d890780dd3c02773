"""Collect the rows of every finished cell of a study into tables, and write a report with figures for each cell.

Reads <runs>/<study>/*/seed*/*/row*.json and what the other stages left, as far as they have been run; writes
<runs>/<study>/<dataset>-<model>/report/. Rows of ablation and hardening lie beside DARE's, and are shown with them.
"""

try:
    from pipeline import command
except ModuleNotFoundError as error:  # another Python than that of the environment
    raise SystemExit(f"no module {error.name}: run it with .venv/bin/python (make quick makes it)") from None

import argparse

from studies import catalogue, cell_reports


def main(arguments: argparse.Namespace) -> None:
    cell_reports.write(arguments, catalogue.STUDIES[arguments.study])


def options() -> command.Parser:
    """The parser of the options."""
    parser = cell_reports.options(__doc__, example="--study dare --verbose")
    parser.add_argument("--study", choices=catalogue.STUDIES, default="dare", help="whose rows")
    return parser


if __name__ == "__main__":
    command.run(main, options())
