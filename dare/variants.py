"""The catalogue of DARE's variants, as data: how each uses the mined targets.

`dare`, `dare-s` and `dare-sl` are the papers' (ASE 2022; TOSEM 33(3) 2024) [P], with budgets and rates of the released
README. Each other variant changes one choice of `dare` [D]: how the class slices are combined, the layer, epoch or
neurons of the targets, Adam and batch norm as in the released code, or the budget.
"""

import dataclasses

GRID = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Variant:
    """One way to use mined targets.

    through: "regression" tunes G; "classifier" tunes the whole net on one-hot labels.
    combine: how the class slices become one mask (None: no slicing).
    layer: None for the layer of mining; "last-hidden" for the layer that the logits read.
    source: the epoch whose activation is the target: "surest" (most confident), "random" or "newest" of the mined ones.
    neurons: None for all of R; a rule of key_neurons.RULES for the neurons in the slice of the sample's class.
    statistics: "frozen"; "moving" for batch norm in training mode.
    reset_optimizer: forget Adam's moments after each step.
    steps or epochs, batch_size: the budget.
    learning_rates: the published value, or the grid that a study chooses from on validation adversarials.
    """

    title: str
    through: str = "regression"
    combine: str | None = None
    layer: str | None = None
    source: str = "surest"
    neurons: str | None = None
    statistics: str = "frozen"
    reset_optimizer: bool = False
    steps: int | None = None
    epochs: int | None = None
    batch_size: int = 128
    learning_rates: tuple = GRID

    @property
    def retargets(self) -> bool:
        """Whether the targets differ from the mined ones, so that checkpoints are read again."""
        return self.layer is not None or self.source != "surest"


DARE = Variant(title="DARE", combine="intersection", steps=10)
DARE_S = Variant(title="DARE without slicing", epochs=10, batch_size=32, learning_rates=(1e-6,))
DARE_SL = Variant(
    title="DARE without slicing and transformation",
    through="classifier",
    epochs=10,
    batch_size=32,
    learning_rates=(1e-4,),
)


def _as(base, title, **changes):
    """`base` under another title, with changes."""
    return dataclasses.replace(base, title=title, **changes)


VARIANTS = {
    "dare": DARE,
    "dare-s": DARE_S,
    "dare-sl": DARE_SL,
    "dare-union": _as(DARE, "DARE with the union of the class slices", combine="union"),
    "dare-majority": _as(DARE, "DARE with what most class slices hold", combine="majority"),
    "dare-key": _as(DARE, "DARE on the key neurons of each sample's class", neurons="average"),
    "dare-last": _as(DARE, "DARE at the last hidden layer", layer="last-hidden"),
    "dare-rand": _as(DARE, "DARE towards a random mined epoch", source="random"),
    "dare-newest": _as(DARE, "DARE towards the newest mined epoch", source="newest"),
    "dare-released": _as(
        DARE, "DARE with Adam reset and batch norm moving, as released", statistics="moving", reset_optimizer=True
    ),
    "dare-10-epochs": _as(DARE_S, "DARE with the budget of dare-s", combine="intersection"),
    "dare-s-10-steps": _as(
        DARE_S, "dare-s with the budget of DARE", steps=10, epochs=None, batch_size=128, learning_rates=GRID
    ),
}
