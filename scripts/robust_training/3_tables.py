"""Collect the rows of every tested method into tables, a figure and the claims, and write a report for each cell.

Reads <runs>/robust_training/*/seed*/test-*/row.json; writes <runs>/robust_training/<dataset>-<model>/report/. With
--publish the rows go to results/measured/ and the generated sections of README.md and REPRODUCTION.md are rewritten.
"""

from pipeline import command
from studies import tables_step

if __name__ == "__main__":
    command.run(tables_step.of("robust_training", "Robust training"), tables_step.options(__doc__))
