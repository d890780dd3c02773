"""BIM, the basic iterative method: PGD with fewer and larger steps; DARE's "bim" is foolbox's L1 variant of it."""

import dataclasses

from adv.pgd import PGD


@dataclasses.dataclass(frozen=True, kw_only=True)
class BIM(PGD):
    """Basic iterative method in L1 or Linf (Kurakin et al. 2017, section 2.1), with PGD's search over epsilon.

    norm: "l1" is foolbox 2.3.0's L1BasicIterativeAttack, which DARE ran as BIM [P]: 10 steps of a sixth of epsilon
    along gradient / ||gradient||_1. The search grows and bisects epsilon from .3, the *mean* absolute change of a
    value, and keeps the adversarial nearest in L2 (foolbox's default distance). `within` takes epsilon as the sum, like
    foolbox 3's L1BasicIterativeAttack: a mean of .3 on 28x28x1 is an L1 norm of 235.
    Norm "linf" is Kurakin's method with the same numbers (foolbox 2.3.0's LinfinityBasicIterativeAttack) [D].
    """

    title = "BIM"
    citation = "Kurakin, Goodfellow, Bengio, ICLR Workshop 2017"
    norm: str = "l1"
    steps: int = 10
    rel_stepsize: float = 0.05 / 0.3
