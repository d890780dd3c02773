"""The estimated cost of commands: images trained on, disk, and hours."""

import dataclasses
import functools
import math
from collections.abc import Iterable, Iterator, Sequence

import data
import models
from pipeline import stages
from studies import hours


@dataclasses.dataclass(frozen=True)
class Cost:
    """The cost of one command of a training stage.

    images: forward and backward passes, in images
    files: number of weight files that it keeps, each with all parameters
    """

    images: int
    files: int = 0


def lines(cells: Iterable[Sequence[list[str]]]) -> Iterator[str]:
    """Yield the estimate as sentences. cells: lists of commands [python, script, *options]."""
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
    yield hours.sentence([line for commands in cells for line in commands], hours.measured())
    if unknown:
        yield f"not counted, because their images would have to be read: {', '.join(sorted(unknown))}"


def half(dataset: str) -> int:
    """The number of images in x_train, and in x_validation, of the half split of a catalogued data set."""
    return (data.DATASETS[dataset].counts[0] + 1) // 2


@functools.cache
def parameters(dataset: str, model: str) -> int:
    """The number of parameters of a model for a catalogued data set."""
    return _built(dataset, model).count_params()


@functools.cache
def work(dataset: str, model: str) -> int:
    """The multiplications in a model's convolutions and dense layers for an image of a catalogued data set."""
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
