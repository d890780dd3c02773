"""What commands cost before any of them is run: images trained on, disk, and hours as published rows measured them."""

import dataclasses
import functools
import math

import data
import models
from pipeline import stages
from studies import hours


@dataclasses.dataclass(frozen=True)
class Cost:
    """What one command of a training stage costs. images: that it trains on, once for each of their forward and
    backward passes; files: weights that it keeps, each of all parameters."""

    images: int
    files: int = 0


def lines(cells):
    """The estimate of cells, each a list of commands [python, script, *options], as sentences."""
    images, size, unknown = 0, 0.0, set()
    for commands in cells:
        for _, path, *options in commands:
            module = stages.script(path)
            if hasattr(module, "cost"):
                arguments = module.options().parse_args(options)
                if arguments.dataset not in data.DATASETS:
                    unknown.add(arguments.dataset)
                    continue
                cost = module.cost(arguments)
                images += cost.images
                size += 4e-9 * cost.files * parameters(arguments.dataset, arguments.model) if cost.files else 0
    yield f"images trained on by the training stages, at most: {images:,}"
    yield f"weights kept: {size:.1f} GB"
    yield hours.sentence([one for commands in cells for one in commands], hours.measured())
    if unknown:
        yield f"not counted, since their images would have to be read: {', '.join(sorted(unknown))}"


def half(dataset):
    """Images of x_train, and of x_validation, of the half split of a catalogued data set."""
    return (data.DATASETS[dataset].counts[0] + 1) // 2


@functools.cache
def parameters(dataset, model):
    """The parameters of a model on the images of a catalogued data set."""
    return _built(dataset, model).count_params()


@functools.cache
def work(dataset, model):
    """Multiplications of a model's convolutions and dense layers on one image of a catalogued data set."""
    total = 0
    for layer in _built(dataset, model).layers:
        kernel = getattr(layer, "kernel", None)
        if kernel is not None:
            total += math.prod(kernel.shape) * math.prod(layer.output.shape[1:-1])
    return total


@functools.cache
def _built(dataset, model):
    entry = data.DATASETS[dataset]
    return models.build(model, entry.shape, len(entry.classes))
