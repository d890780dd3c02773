"""Claim 4: a class's robustness goes with the norm of its weight vector in the last layer.

Reads the rows of 1_attack.py, of every seed; prints claim, evidence and verdict.
"""

from pipeline import command
from studies.classwise import claims, step

if __name__ == "__main__":
    command.run(step.of(claims.weight_norms), step.options(__doc__))
