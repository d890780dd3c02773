"""AutoAttack: four attacks without parameters to tune, each run on the images that withstood the attacks before it.

Croce and Hein, ICML 2020 (arXiv 2003.01690), section 5, and the released code's versions "standard", "plus" and "rand".
Differences from the released code:
1. [D] Seeds are explicit (released code: the clock).
2. [D] With fewer than ten classes each targeted attack has one run a class (released code: always nine runs).

`adv.evaluation.benchmark` runs the attacks one by one, with checks, and saves the flags.
"""

from __future__ import annotations

import dataclasses

import keras
import numpy

from adv import search
from adv.apgd import APGD, AveragedAPGD
from adv.base import Attack, check_least
from adv.fab import FAB
from adv.square import Square

VERSIONS = {  # name -> (class, hyper-parameters) in the order in which they run
    "standard": {
        "apgd-ce": (APGD, {"loss": "ce"}),
        "apgd-t": (APGD, {"loss": "dlr-targeted"}),
        "fab-t": (FAB, {"targeted": True}),
        "square": (Square, {}),
    },
    "plus": {
        "apgd-ce": (APGD, {"loss": "ce", "restarts": 5}),
        "apgd-dlr": (APGD, {"loss": "dlr", "restarts": 5}),
        "fab": (FAB, {"targeted": False, "restarts": 5}),
        "square": (Square, {}),
        "apgd-t": (APGD, {"loss": "dlr-targeted"}),
        "fab-t": (FAB, {"targeted": True}),
    },
    "rand": {
        "apgd-ce": (AveragedAPGD, {"loss": "ce"}),
        "apgd-dlr": (AveragedAPGD, {"loss": "dlr"}),
    },
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class AutoAttack(Attack):
    """The attacks of one version at a fixed epsilon; it has no `closest`.

    norm: "linf" or "l2".
    version: "standard", "plus" (more attacks and restarts) or "rand" (for randomised models).
    seed: of every attack.
    Raises ValueError for another norm or version.
    """

    title = "AutoAttack"
    citation = "Croce, Hein, ICML 2020"
    norm: str = "linf"
    version: str = "standard"
    seed: int = 0

    def __post_init__(self):
        for name, valid in (("norm", ("linf", "l2")), ("version", tuple(VERSIONS))):
            if getattr(self, name) not in valid:
                raise ValueError(f"{name} is {getattr(self, name)!r}, expected one of {', '.join(valid)}")
        check_least(self, seed=0)

    @property
    def attacks(self) -> dict[str, Attack]:
        """name -> attack, in the order in which they run."""
        return {
            name: kind(norm=self.norm, seed=self.seed, **settings)
            for name, (kind, settings) in VERSIONS[self.version].items()
        }

    def within(
        self, model: keras.Model, images: numpy.ndarray, labels: numpy.ndarray, *, epsilon: float, batch_size: int = 256
    ) -> numpy.ndarray:
        """For each image the result of the first attack that fools the model, else that of the last attack.

        Arguments as in base.Attack.within.
        """
        attacked, rows = images.copy(), numpy.arange(len(images))
        for attack in self.attacks.values():
            if not len(rows):
                break
            attacked[rows] = attack.within(model, images[rows], labels[rows], epsilon=epsilon, batch_size=batch_size)
            rows = rows[search.classes(model, attacked[rows], batch_size=batch_size) == labels[rows]]
        return attacked
