"""Tensors and variables, on either backend."""

import typing
from collections.abc import Sequence

Tensor = typing.Any  # a tensor of Keras's backend; callers of compiled functions may pass NumPy arrays


def assign(variables: Sequence, values: Sequence) -> None:
    """Assign values to variables, in order."""
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
