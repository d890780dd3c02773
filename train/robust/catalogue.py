"""METHODS: every method of robust training, a strategy and a controller each, with the published hyper-parameters."""

import dataclasses
import functools
import math
from collections.abc import Callable

from train.robust import controller
from train.robust.adversarial import Adversarial
from train.robust.friendly import Friendly
from train.robust.perturbation import StepSize
from train.robust.replay import Replay
from train.robust.setup import DEAT, SETUPS
from train.robust.yopo import Yopo


@dataclasses.dataclass(frozen=True)
class Method:
    """strategy: what a batch is put through; controller: makes the controller of its number of steps; published: the
    method's name in the published tables, None where there is none; guard: a fall of the probe's robust
    accuracy by more than this share ends training (probe.fallen); select: what of the probe selects the epoch;
    fast_epochs: how long it was trained in the fast set-up, None where as long as the others."""

    title: str
    citation: str | None
    strategy: Adversarial | Replay | Yopo
    controller: Callable
    published: str | None = None
    guard: float = 0.2
    select: str = "probe_robust"
    fast_epochs: int | None = None

    @property
    def passes(self):
        """Forward and backward passes that an image takes in an epoch, at most."""
        steps = self.controller().most
        if not isinstance(self.strategy, Adversarial):
            return steps
        update = 1 if self.strategy.loss == "cross-entropy" else 2
        return steps + update + (0.5 if self.strategy.climbed == "kl" and steps else 0)

    def epochs(self, setup):
        """How many epochs of a set-up: its own, divided by the replays where perturbations persist, as FREE's are."""
        if self.fast_epochs and setup.title == SETUPS["fast"].title:
            return self.fast_epochs
        replays = self.controller().steps if getattr(self.strategy, "persistent", False) else 1
        return math.ceil(setup.epochs / replays)

    def tailored(self, setup):
        """(strategy, a fresh controller) under a set-up, which says DEAT's gamma, step size and most replays."""
        strategy, changes = self.strategy, {}
        if self.controller.func is controller.MagnitudeGuided:
            changes = {"gamma": setup.gamma}
        if isinstance(strategy, Replay) and strategy.step.rule == "cover":
            step = dataclasses.replace(strategy.step, share=setup.replay_share)
            strategy = dataclasses.replace(strategy, step=step)
            changes |= {"maximum": setup.replay_maximum} if changes else {}
        return strategy, self.controller(**changes)


def _fixed(steps):
    return functools.partial(controller.Fixed, steps=steps)


def _guided(maximum, start, **rule):
    return functools.partial(controller.MagnitudeGuided, gamma=1.01, maximum=maximum, start=start, **rule)


MADRY = "Madry, Makelov, Schmidt, Tsipras, Vladu, ICLR 2018"
WONG = "Wong, Rice, Kolter, ICLR 2020"
SHAFAHI = "Shafahi et al., NeurIPS 2019"
ZHANG_TRADES = "Zhang, Yu, Jiao, Xing, El Ghaoui, Jordan, ICML 2019"
WANG_MART = "Wang, Zou, Yi, Bailey, Ma, Gu, ICLR 2020"
ZHANG_FAT = "Zhang, Xu, Han, Niu, Cui, Sugiyama, Kankanhalli, ICML 2020"
ZHANG_YOPO = "Zhang, Zhang, Lu, Zhu, Dong, NeurIPS 2019"
TIAN = "Tian, Kuang, Jiang, Wu, Wang, KDD 2021"
AMATA = "Ye, Li, Zhou, Zhu, arXiv 2012.08112"

QUARTER = StepSize(share=0.25)  # 2/255 at 8/255
SEVEN = StepSize(share=0.007 / 0.031)
PGD = Adversarial(step=QUARTER)
TRADES = Adversarial(loss="trades", beta=6.0, climbed="kl", start="gaussian", step=SEVEN, attack_mode="eval")
MART = Adversarial(loss="mart", beta=5.0, start="gaussian", step=SEVEN, attack_mode="eval")
FREE = Replay(start="zero", step=StepSize(share=1.0))
REPLAY = Replay(step=StepSize(share=1.25, rule="cover"))  # 10/255 at 8/255
FRIEND = Friendly(tau=3)
FAT = Adversarial(step=SEVEN, attack_mode="eval", friendly=FRIEND)


def _adaptive(strategy, rule):
    """A strategy under the magnitude-guided controller: step size and guide as the rule of the year has them."""
    if rule == "2021":
        return dataclasses.replace(strategy, guide="attack")
    return dataclasses.replace(strategy, step=dataclasses.replace(strategy.step, rule="cover"))


def _magnitude_guided(title, citation, strategy, maximum, published):
    both = f"{citation}; {DEAT}"
    older = {"rule": "2021", "step_share": strategy.step.share}
    name = f"m+{title.lower()}"
    return {
        name: Method(f"M+{title}", both, _adaptive(strategy, "2022"), _guided(maximum, 0)),
        f"{name}-2021": Method(
            f"M+{title}, rule of 2021", both, _adaptive(strategy, "2021"), _guided(maximum, 0, **older), published
        ),
    }


METHODS = {
    "standard": Method("no attack", None, Adversarial(start="zero", step=QUARTER), _fixed(0), None, 1.0, "probe_clean"),
    "pgd-7": Method("PGD-7", MADRY, PGD, _fixed(7), "PGD-7"),
    "pgd-10": Method("PGD-10", MADRY, PGD, _fixed(10)),
    "t-pgd-7": Method("Temperature-PGD-7, 1/T = 5", TIAN, Adversarial(step=QUARTER, climbed="tempered"), _fixed(7)),
    "fgsm-rs": Method("FGSM with random start", WONG, Adversarial(step=StepSize(share=1.25)), _fixed(1)),
    **{f"free-{m}": Method(f"FREE-{m}", SHAFAHI, FREE, _fixed(m), f"FREE-{m}") for m in (4, 6, 8)},
    "free-8-persistent": Method(
        "FREE-8, persistent perturbation",
        SHAFAHI,
        dataclasses.replace(FREE, persistent=True),
        _fixed(8),
        "FREE-8, persistent perturbation",
    ),
    "trades": Method("TRADES", ZHANG_TRADES, TRADES, _fixed(10), "TRADES"),
    "mart": Method("MART", WANG_MART, MART, _fixed(10), "MART"),
    "fat-5": Method("FAT-5", ZHANG_FAT, FAT, _fixed(5), "FAT-5"),
    "fat": Method("FAT", ZHANG_FAT, FAT, _fixed(10)),
    "fat-dynamic": Method(
        "FAT, tau 0, 1 and 2",
        ZHANG_FAT,
        dataclasses.replace(FAT, friendly=Friendly(tau=0, rises=(50 / 120, 90 / 120))),
        _fixed(10),
    ),
    "f+trades": Method(
        "F+TRADES", f"{ZHANG_TRADES}; {ZHANG_FAT}", dataclasses.replace(TRADES, friendly=FRIEND), _fixed(10), "F+TRADES"
    ),
    "f+mart": Method(
        "F+MART", f"{WANG_MART}; {ZHANG_FAT}", dataclasses.replace(MART, friendly=FRIEND), _fixed(10), "F+MART"
    ),
    "yopo-5-3": Method("YOPO-5-3", ZHANG_YOPO, Yopo(inner=3, step=QUARTER), _fixed(5), "YOPO-5-3"),
    "amata-2-10": Method(
        "Amata-2-10",
        AMATA,
        Adversarial(step=StepSize(share=2.5, rule="spread")),  # 20/255 over the steps, at 8/255
        functools.partial(controller.Linear, first=2, last=10),
        "Amata-2-10",
    ),
    "m+deat": Method("M+DEAT", DEAT, REPLAY, _guided(8, 1), "M+DEAT"),
    "deat-d": Method("DEAT-d", DEAT, REPLAY, functools.partial(controller.Delayed, delay=3, maximum=5), fast_epochs=12),
    "deat-p": Method("DEAT-p", DEAT, REPLAY, functools.partial(controller.AccuracyThreshold, threshold=0.4, maximum=4)),
    **_magnitude_guided("PGD", MADRY, PGD, 7, "M+PGD"),
    **_magnitude_guided("TRADES", ZHANG_TRADES, TRADES, 10, "M+TRADES"),
    **_magnitude_guided("MART", WANG_MART, MART, 10, "M+MART"),
}
