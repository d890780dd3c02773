"""Claim 6: Temperature-PGD is stronger than PGD and CW of as many steps.

Reads the rows of 1_attack.py, of every seed; prints claim, evidence and verdict.
"""

from pipeline import command
from results import per_class_step, per_class_temperature

if __name__ == "__main__":
    command.run(per_class_step.of(per_class_temperature.temperature), per_class_step.options(__doc__))
