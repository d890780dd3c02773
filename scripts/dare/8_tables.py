"""Collect the rows of every finished cell into tables, and write a report with figures for each cell.

Reads <runs>/dare/*/seed*/*/row*.json and what the other stages left, as far as they have been run; writes
<runs>/dare/<dataset>-<model>/report/. The same as scripts/tables.py --study dare.
"""

from pipeline import command

from studies import catalogue, cell_reports


def main(arguments):
    cell_reports.write(arguments, catalogue.STUDIES["dare"])


if __name__ == "__main__":
    command.run(main, cell_reports.options(__doc__))
