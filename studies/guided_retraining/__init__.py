"""Retraining on the inputs that a metric puts first."""
