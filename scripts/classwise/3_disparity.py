"""Claim 1: the classes of one model differ strongly in robust accuracy.

Reads the rows of 1_attack.py, of every seed; prints claim, evidence and verdict.
"""

from pipeline import command
from studies.classwise import claims, step

if __name__ == "__main__":
    command.run(step.of(claims.disparity), step.options(__doc__))
