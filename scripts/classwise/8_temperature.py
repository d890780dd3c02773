"""Claim 6: Temperature-PGD is stronger than PGD and CW of as many steps.

Reads the rows of 1_attack.py, of every seed; prints claim, evidence and verdict.
"""

from pipeline import command
from studies.classwise import claim_of_temperature, step

if __name__ == "__main__":
    command.run(step.of(claim_of_temperature.temperature), step.options(__doc__))
