"""The published training recipes of DARE's source models (ASE 2022 / TOSEM 2024; released train.py and params.py).

Milestones are fractions of the run, so that a shorter run has the same phases [D]: in the paper's 200 epochs AlexNet's
are 80 and 160. Keras 2's per-iteration ``decay=5e-4`` is left out [D].
"""

import dataclasses
import math
import numbers
from collections.abc import Sequence
from typing import Any

FILLS = ("constant", "nearest")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """SGD with Nesterov momentum, a stepwise learning rate, and shift-and-flip augmentation.

    milestones: fractions of the run at which the learning rate changes.
    learning_rates: one more than milestones.
    flip: mirror half of the images left to right.
    shift: largest shift as a fraction of each side.
    fill: uncovered pixels: "constant" (zeros) or "nearest" (the border pixel).
    Raises ValueError for a number out of its range, another fill, and another number of learning rates.
    """

    learning_rates: tuple
    milestones: tuple
    momentum: float = 0.9
    batch_size: int = 128
    epochs: int = 200
    flip: bool = True
    shift: float
    fill: str

    def __post_init__(self):
        if len(self.learning_rates) != len(self.milestones) + 1:
            counts = f"{len(self.learning_rates)} learning_rates for {len(self.milestones)} milestones"
            raise ValueError(f"{counts}, expected one more than milestones: one before the first, and one from each on")
        check_numbers(self, whole=("batch_size", "epochs"), shares=("momentum", "shift"), sizes=("learning_rates",))
        if self.fill not in FILLS:
            raise ValueError(f"fill is {self.fill!r}, expected one of {', '.join(FILLS)}")

    def learning_rate(self, epoch: int, epochs: int) -> float:
        """The learning rate of epoch `epoch` (from 1) in a run of `epochs` epochs."""
        passed = sum(epoch > round(fraction * epochs) for fraction in self.milestones)
        return self.learning_rates[passed]


def check_numbers(
    entry: Any, *, whole: Sequence[str] = (), shares: Sequence[str] = (), sizes: Sequence[str] = ()
) -> None:
    """Raise ValueError for a field of a recipe or set-up out of its range: late in a training it would cost all of it.

    whole: names of whole numbers of at least 1; shares: of numbers from 0 to 1; sizes: of finite numbers of at least 0,
    or tuples of them.
    """
    kinds = (
        (whole, "a whole number of at least 1", lambda value: isinstance(value, numbers.Integral) and value >= 1),
        (shares, "a number from 0 to 1", lambda value: isinstance(value, numbers.Real) and 0 <= value <= 1),
        (sizes, "finite, at least 0", lambda value: isinstance(value, numbers.Real) and 0 <= value < math.inf),
    )
    for names, expected, holds in kinds:
        for name in names:
            value = getattr(entry, name)
            if not all(map(holds, value if isinstance(value, list | tuple) else [value])):
                raise ValueError(f"{name} is {value!r}, expected {expected}")


VGG = Recipe(learning_rates=(0.01, 0.002, 0.0004, 0.00008), milestones=(0.3, 0.6, 0.8), shift=0.1, fill="nearest")
RECIPES = {
    "alexnet": Recipe(learning_rates=(0.01, 0.005, 0.001), milestones=(0.4, 0.8), shift=0.125, fill="constant"),
    "vgg16": VGG,
    "vgg19": VGG,
}

# Models that are not listed are tuned completely. Where a whole classifier is fine-tuned (dare-sl and the baselines),
# the layers before these are frozen [P].
FIRST_TUNED = {"alexnet": "conv2", "vgg16": "conv3_3", "vgg19": "conv3_3"}


def first_tuned(model: str) -> str | None:
    """The first tuned layer of a model, None: all are tuned. A width (alexnet@0.25) is ignored."""
    return FIRST_TUNED.get(model.partition("@")[0])


def recipe(model: str, input_shape: tuple | None = None) -> Recipe:
    """The published recipe of a model of the catalogue; for images under 32x32 the VGG nets use AlexNet's [P].

    model: name; a width (alexnet@0.25) is ignored.
    input_shape: (H, W, C), or None for the model's own recipe.
    Raises ValueError for a model without a recipe.
    """
    model = model.partition("@")[0]
    if model not in RECIPES:
        raise ValueError(f"no training recipe for model {model!r}: expected one of {', '.join(RECIPES)}")
    return RECIPES["alexnet" if input_shape is not None and min(input_shape[:2]) < 32 else model]
