"""What a cell, a data set with a model, is called in the names of files and tables. Loads no Keras."""


def cell_name(dataset, model):
    """``<dataset>-<model>`` with what a file's name must not hold replaced."""
    return f"{dataset.replace(':', '-').replace('/', '-')}-{model}"
