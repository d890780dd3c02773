"""The name of a cell (a data set with a model) in files and tables. Loads no Keras."""


def cell_name(dataset: str, model: str) -> str:
    """``<dataset>-<model>``, without characters that a file name must not hold."""
    return f"{dataset.replace(':', '-').replace('/', '-')}-{model}"
