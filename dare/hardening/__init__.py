"""Feature-adversarial hardening of a trained net and its rivals: strategies, their targets, and the tuning loop."""
