"""Collect the curves of every order into tables, figures and the conclusions, and write a report for each cell.

Reads <runs>/guided_retraining/*/seed*/retrain/row-*.json; writes <runs>/guided_retraining/<dataset>-<model>/report/.
With --publish the rows go to results/measured/ and the generated sections of the documents are rewritten.
"""

from pipeline import command
from studies import tables_step

if __name__ == "__main__":
    command.run(tables_step.of("guided_retraining", "Guided retraining"), tables_step.options(__doc__))
