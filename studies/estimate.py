"""What commands cost before any of them is run: images trained on, disk, and hours as published rows measured them."""

import dataclasses
import functools

import data
import models
from pipeline import stages
from studies import publish


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
    yield hours([one for commands in cells for one in commands])
    if unknown:
        yield f"not counted, since their images would have to be read: {', '.join(sorted(unknown))}"


def hours(commands):
    """The sentence on time: seconds of every stage that published rows measured for its data set and model."""
    known, seconds, asked = measured(), 0.0, 0
    found = 0
    for _, path, *options in commands:
        module = stages.script(path)
        if not hasattr(module, "stages"):
            continue
        arguments = module.options().parse_args(options)
        try:
            names = module.stages(arguments)
        except FileNotFoundError:  # which they are follows from what is not there yet
            asked += 1
            continue
        asked += len(names)
        times = [known.get((arguments.dataset, arguments.model, name)) for name in names]
        found += sum(one is not None for one in times)
        seconds += sum(one for one in times if one is not None)
    if not found:
        return f"hours: not known, as no published row measured any of the {asked} stages"
    said = f"hours: {seconds / 3600:.1f}, as published rows measured {found} of {asked} stages on their devices"
    return f"{said}; the other stages are not measured" if found < asked else said


def measured():
    """(data set, model, stage) -> seconds of the last published row that says."""
    found = {}
    for row in publish.measured():
        for one in (row, *(row.get("origins") or ())):
            for stage, seconds in (one.get("wall_s") or {}).items():
                if seconds is not None:
                    found[row["dataset"], row["model"], stage] = seconds
    return found


def half(dataset):
    """Images of x_train, and of x_validation, of the half split of a catalogued data set."""
    return (data.DATASETS[dataset].counts[0] + 1) // 2


@functools.cache
def parameters(dataset, model):
    """The parameters of a model on the images of a catalogued data set."""
    entry = data.DATASETS[dataset]
    return models.build(model, entry.shape, len(entry.classes)).count_params()
