"""Claim 2: the order of the classes is the same over attacks and over defences.

Reads the rows of 1_attack.py, of every seed; prints claim, evidence and verdict.
"""

from pipeline import command
from results import per_class_claims, per_class_step

if __name__ == "__main__":
    command.run(per_class_step.of(per_class_claims.consistency), per_class_step.options(__doc__))
