"""The error of a training whose loss, weights or logits are no longer finite."""


class Diverged(ArithmeticError):
    """Training diverged: its loss, weights or logits are not finite. Other arithmetic errors are faults of the code."""
