"""Claim 2: the order of the classes is the same over attacks and over defences.

Reads the rows of 1_attack.py, of every seed; prints claim, evidence and verdict.
"""

from pipeline import command
from studies.classwise import claims, step

if __name__ == "__main__":
    command.run(step.of(claims.consistency), step.options(__doc__))
