"""Ablation of DARE: one of its choices changed at a time."""
