"""Hardening a trained net on inputs moved away from the mined ones: strategies, their targets, and what tunes."""
