"""Adversarial training: DEAT, related methods, and the PGD baseline."""
