"""Variables of a model or optimizer, on either backend."""


def assign(variables, values):
    """Assign values to variables, in order."""
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
