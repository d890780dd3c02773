"""ATTACKS: the catalogue of attacks by name, with the papers' hyper-parameters (adv/base.py has the base classes).

    minimal = adv.search.minimal(model, x, y, adv.attacks.get("pgd"))
    flags = adv.evaluate.robust_flags(model, x, y, adv.attacks.PGD(steps=10, rel_stepsize=0.25), epsilon=8 / 255)

- fgsm, pgd, bim, cw, jsma: the attacks of foolbox 2.3.0 as DARE called them [P]. Instead of a cross-entropy they ascend
  its log-odds, which never saturate (perturb.log_odds) [D].
- fgsm-float32 and so on: the same with foolbox's float32 cross-entropy, which differs where p_y rounds to 1 [P].
- deepfool, deepfool-linf: the DeepFool of foolbox 3.3.4.
- bim-linf: the BIM of its paper.
- pgd-7, pgd-20, pgd-100, cw-linf-20: the attacks in the tables of robust training.
- t-pgd-5: Temperature-PGD at 1/T = 5.
- pgd-strong: a PGD for white-box accuracy [D].
- apgd-ce, apgd-t, fab-t, square: the four attacks of AutoAttack (adv/autoattack.py runs them in turn).
- apgd-dlr, fab: further attacks of AutoAttack's version "plus".
- NAME-l2: the same attack in the L2 norm.

To add an attack, subclass `Attack` in a file of its own and add a line to `ATTACKS`.
"""

import difflib

from adv.apgd import APGD
from adv.base import Attack
from adv.bim import BIM
from adv.cw import CW
from adv.deepfool import DeepFool
from adv.fab import FAB
from adv.fgsm import FGSM
from adv.jsma import JSMA
from adv.pgd import PGD
from adv.square import Square
from adv.temperature_pgd import TemperaturePGD

__all__ = [
    "APGD", "ATTACKS", "BIM", "CW", "FAB", "FGSM", "JSMA", "PGD",
    "Attack", "DeepFool", "Square", "TemperaturePGD", "get",
]  # fmt: skip

ATTACKS = {
    "fgsm": FGSM(),
    "pgd": PGD(),
    "pgd-strong": PGD(rel_stepsize=0.1, random_start=True, restarts=5),
    "pgd-7": PGD(steps=7, rel_stepsize=0.25, random_start=True),
    "pgd-20": PGD(steps=20, rel_stepsize=0.25, random_start=True),
    "pgd-100": PGD(steps=100, rel_stepsize=0.25, random_start=True),
    "cw-linf-20": PGD(steps=20, rel_stepsize=0.25, random_start=True, loss="margin"),
    **{f"t-pgd-{inverse}": TemperaturePGD(temperature=1 / inverse) for inverse in (1, 2, 5, 10, 50)},
    "apgd-ce": APGD(loss="ce"),
    "apgd-dlr": APGD(loss="dlr"),
    "apgd-t": APGD(loss="dlr-targeted"),
    "fab": FAB(targeted=False),
    "fab-t": FAB(),
    "square": Square(),
    "pgd-l2": PGD(norm="l2", steps=10, rel_stepsize=15 / 128, random_start=True),
    "apgd-ce-l2": APGD(loss="ce", norm="l2"),
    "apgd-t-l2": APGD(loss="dlr-targeted", norm="l2"),
    "fab-l2": FAB(targeted=False, norm="l2"),
    "fab-t-l2": FAB(norm="l2"),
    "square-l2": Square(norm="l2"),
    "bim": BIM(norm="l1"),
    "bim-linf": BIM(norm="linf"),
    "cw": CW(),
    "jsma": JSMA(),
    "deepfool": DeepFool(norm="l2"),
    "deepfool-linf": DeepFool(norm="linf"),
    **{
        f"{name}-float32": attack
        for name, attack in (
            ("fgsm", FGSM(loss="ce-float32")),
            ("pgd", PGD(loss="ce-float32")),
            ("bim", BIM(norm="l1", loss="ce-float32")),
            ("jsma", JSMA(loss="ce-float32")),
        )
    },
}


def get(name: str | Attack, method: str | None = None) -> Attack:
    """The attack called `name` in the catalogue; an attack object is returned as it is.

    method: one that the attack must have, "within" or "closest".
    Raises ValueError with the nearest and all valid names, and for anything else than an object with that method.
    """
    if isinstance(name, str) and name not in ATTACKS:
        nearest = difflib.get_close_matches(name, ATTACKS, 1)
        hint = f"did you mean {nearest[0]!r}? " if nearest else ""
        raise ValueError(f"unknown attack {name!r}: {hint}valid names: {', '.join(ATTACKS)}")
    attack = ATTACKS[name] if isinstance(name, str) else name
    if method and (isinstance(attack, type) or not callable(getattr(attack, method, None))):
        seen = f"the class {attack.__name__}" if isinstance(attack, type) else f"of type {type(attack).__name__}"
        raise ValueError(
            f"the attack is {seen}, expected a name of adv.attacks.ATTACKS, or an object with the method {method!r}, "
            "such as adv.attacks.PGD() (foolbox's own attacks run by adv.foolbox_model.run)"
        )
    return attack
