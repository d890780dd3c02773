"""Retraining on the inputs that a metric ranks first."""
