"""CONFIGURATIONS of guided retraining: initial weights, pool of inputs, and the prefixes that are trained on."""

import dataclasses
import math

import numpy


@dataclasses.dataclass(frozen=True)
class Configuration:
    """One configuration.

    original: start from the original model's weights (else from new weights).
    clean: the pool holds the clean training inputs beside the adversarial inputs.
    steps: data set -> inputs of a published step.
    """

    title: str
    original: bool
    clean: bool
    steps: dict


# digits: bundled, not in the study; a quarter of the pool [D]
WHOLE = {"gtsrb": 1750, "intel": 700, "cifar10": 2400, "mnist": 2800, "fashion_mnist": 2800, "digits": 360}
ADVERSARIAL = {"gtsrb": 190, "intel": 150, "cifar10": 300, "mnist": 340, "fashion_mnist": 340, "digits": 45}
CONFIGURATIONS = {
    "c1": Configuration("new weights, clean and adversarial inputs", False, True, WHOLE),
    "c2": Configuration("original weights, clean and adversarial inputs", True, True, WHOLE),
    "c3": Configuration("original weights, adversarial inputs only", True, False, ADVERSARIAL),
}


def prefixes(total: int, *, step: int | None = None, count: int | None = None) -> list[int]:
    """Sizes of the prefixes of an order: a list that ends with `total`.

    step: inputs that each prefix adds (the last may add fewer).
    count: number of prefixes instead, of sizes as equal as possible.
    Raises ValueError unless exactly one of `step` and `count` is passed and all are at least 1.
    """
    if (step is None) == (count is None) or min(size for size in (step, count, total) if size is not None) < 1:
        raise ValueError(
            f"total {total}, step {step}, count {count}: expected a total and one of the others, at least 1"
        )
    step = step or math.ceil(total / count)
    return [min(end, total) for end in range(step, total + step, step)]


def pool(ranked: numpy.ndarray, adversarial: numpy.ndarray, configuration: Configuration) -> numpy.ndarray:
    """The ranked inputs in the pool of a configuration: indices.

    ranked: order of clean and adversarial inputs, indices (N,).
    adversarial: bool (N,), which inputs are adversarial.
    """
    ranked = numpy.asarray(ranked)
    return ranked if configuration.clean else ranked[numpy.asarray(adversarial)[ranked]]
