"""The published training recipes of DARE's source models (ASE 2022 / TOSEM 2024; released train.py and params.py).

Milestones are shares of the run, so that a shorter run passes through the same phases [D]: the paper's 200
epochs put AlexNet's at 80 and 160. Keras 2's per-iteration ``decay=5e-4`` is dropped [D].
"""

import dataclasses


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """SGD with Nesterov momentum, a stepwise learning rate, and shift-and-flip augmentation.

    learning_rates: one more than `milestones`, which are shares of the run at which the rate changes.
    flip: mirror half of the images left to right; shift: largest shift as a share of each side;
    fill: "constant" (zeros) or "nearest" (the border pixel) for what a shift uncovers.
    """

    learning_rates: tuple
    milestones: tuple
    momentum: float = 0.9
    batch_size: int = 128
    epochs: int = 200
    flip: bool = True
    shift: float
    fill: str

    def learning_rate(self, epoch, epochs):
        """The rate of epoch `epoch` (counted from 1) in a run of `epochs` epochs."""
        passed = sum(epoch > round(share * epochs) for share in self.milestones)
        return self.learning_rates[passed]


VGG = Recipe(learning_rates=(0.01, 0.002, 0.0004, 0.00008), milestones=(0.3, 0.6, 0.8), shift=0.1, fill="nearest")
RECIPES = {
    "alexnet": Recipe(learning_rates=(0.01, 0.005, 0.001), milestones=(0.4, 0.8), shift=0.125, fill="constant"),
    "vgg16": VGG,
    "vgg19": VGG,
}

# The layers before these are frozen where a whole classifier is fine-tuned: dare-sl and the baselines [P]. A model
# that is not here is tuned whole.
FIRST_TUNED = {"alexnet": "conv2", "vgg16": "conv3_3", "vgg19": "conv3_3"}


def first_tuned(model):
    """The first layer that is tuned where a whole classifier is; None: all are. A width (alexnet@0.25) is ignored."""
    return FIRST_TUNED.get(model.partition("@")[0])


def recipe(model, input_shape=None):
    """The published recipe of a model of the catalogue; the VGG nets for images under 32x32 train as AlexNet does [P].

    input_shape: (H, W, C), or None for the model's own recipe; a width (alexnet@0.25) is ignored. Raises ValueError
    for a model without one.
    """
    model = model.partition("@")[0]
    if model not in RECIPES:
        raise ValueError(f"no training recipe for model {model!r}: expected one of {', '.join(RECIPES)}")
    return RECIPES["alexnet" if input_shape is not None and min(input_shape[:2]) < 32 else model]
