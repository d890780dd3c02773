"""Adversarial training: DEAT, its family, and the PGD baseline."""
