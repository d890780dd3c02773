"""Collect the rows of every attacked model into tables, figures and the claims, and write a report for each cell.

Reads <runs>/classwise/*/seed*/*/row.json; writes <runs>/classwise/<dataset>-<model>/report/. With --publish the rows
go to results/measured/ and the generated sections of README.md and REPRODUCTION.md are rewritten.
"""

from pipeline import command
from studies import tables_step

if __name__ == "__main__":
    command.run(tables_step.of("classwise", "Robustness by class"), tables_step.options(__doc__))
