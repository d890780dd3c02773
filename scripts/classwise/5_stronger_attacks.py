"""Claim 3: what stronger attacks fool in addition lies mainly in the vulnerable classes.

Reads the rows of 1_attack.py, of every seed; prints claim, evidence and verdict.
"""

from pipeline import command
from studies.classwise import claims, step

if __name__ == "__main__":
    command.run(step.of(claims.stronger), step.options(__doc__))
