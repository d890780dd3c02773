"""Robustness class by class: which classes are weak, and which claims on them hold."""
