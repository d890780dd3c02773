"""Temperature-PGD: PGD on a softmax of another temperature."""

import dataclasses
import math
from collections.abc import Callable

from adv.base import check_above_0
from adv.pgd import PGD
from models import perturb


@dataclasses.dataclass(frozen=True, kw_only=True)
class TemperaturePGD(PGD):
    """PGD on -log softmax(z / T)_y, by a surrogate whose gradient has the same sign and does not underflow.

    Tian et al., KDD 2021. Steps, step size and start are those of pgd-20, so that only the loss differs [D].
    temperature: T, above 0 (1: PGD; towards 0: CW-Linf on the margin).
    The attack loss is perturb.surrogate_tempered [D].
    Raises ValueError for another temperature, and as PGD.
    """

    title = "Temperature-PGD"
    citation = "Tian, Kuang, Jiang, Wu, Wang, KDD 2021"
    steps: int = 20
    rel_stepsize: float = 0.25
    random_start: bool = True
    loss: str = "tempered"
    temperature: float = 0.2

    def __post_init__(self):
        check_above_0(self, temperature=math.inf)
        super().__post_init__()

    @property
    def losses(self) -> dict[str, Callable]:
        """The losses that `loss` may name: "tempered", at this attack's temperature."""
        return {"tempered": perturb.tempered(self.temperature)}
