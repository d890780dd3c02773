"""CONFIGURATIONS of guided retraining: what a model starts from, what the pool holds, and its prefixes."""

import dataclasses
import math

import numpy


@dataclasses.dataclass(frozen=True)
class Configuration:
    """title; original: starts from the original model's weights, else from new ones; clean: the clean training inputs
    are in the pool beside the adversarial ones; steps: data set -> inputs of one published step."""

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


def prefixes(total, *, step=None, count=None):
    """How many inputs each prefix of an order holds: a list that ends with `total`.

    step: inputs that each adds (the last one fewer); or instead count: how many prefixes, as equal as they can be.
    Raises ValueError unless exactly one of the two is given, of at least 1.
    """
    if (step is None) == (count is None) or min(one for one in (step, count, total) if one is not None) < 1:
        raise ValueError(
            f"total {total}, step {step}, count {count}: expected a total and one of the others, at least 1"
        )
    step = step or math.ceil(total / count)
    return [min(end, total) for end in range(step, total + step, step)]


def pool(ranked, adversarial, configuration):
    """The order of the inputs that a configuration takes: indices into all of them.

    ranked: an order (N,) of clean and adversarial inputs; adversarial: bool (N,), which are adversarial.
    """
    ranked = numpy.asarray(ranked)
    return ranked if configuration.clean else ranked[numpy.asarray(adversarial)[ranked]]
