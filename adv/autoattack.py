"""AutoAttack: four attacks without a parameter to tune, each on the images that withstood those before it.

Croce and Hein, ICML 2020 (arXiv 2003.01690), section 5, and the released code's versions "standard", "plus" and "rand".
Where the released code and this differ:
1. [D] Seeds are explicit (released code: the clock).
2. [D] With fewer than ten classes each targeted attack aims at all others (released code: nine runs all the same).
`adv.evaluation.benchmark` runs it with its checks, attack by attack, and keeps the flags.
"""

import dataclasses

import numpy

from adv import search
from adv.apgd import APGD, AveragedAPGD
from adv.attack import Attack, check_least
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
    """The attacks of one version at a fixed epsilon; it has no `closest` of its own.

    norm: "linf" or "l2"; version: "standard", "plus" (more runs of more attacks) or "rand" (for models that draw random
    numbers); seed: of every attack. Raises ValueError for another norm or version.
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
    def attacks(self):
        """name -> attack, in the order in which they run."""
        return {
            name: kind(norm=self.norm, seed=self.seed, **settings)
            for name, (kind, settings) in VERSIONS[self.version].items()
        }

    def within(self, model, images, labels, *, epsilon, batch_size=256):
        """What the first attack that fools the model made of each image, else what the last attack left of it."""
        made, rows = images.copy(), numpy.arange(len(images))
        for attack in self.attacks.values():
            if not len(rows):
                break
            made[rows] = attack.within(model, images[rows], labels[rows], epsilon=epsilon, batch_size=batch_size)
            rows = rows[search.classes(model, made[rows], batch_size=batch_size) == labels[rows]]
        return made
