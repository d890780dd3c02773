"""Claim 4: a class's robustness goes with the norm of its weight vector in the last layer.

Reads the rows of 1_attack.py, of every seed; prints claim, evidence and verdict.
"""

from pipeline import command
from results import per_class_claims, per_class_step

if __name__ == "__main__":
    command.run(per_class_step.of(per_class_claims.weight_norms), per_class_step.options(__doc__))
